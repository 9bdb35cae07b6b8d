"""What every CUDA driver must do."""

from typing import Any

__all__ = ["CONTRACT", "COPIED", "run_contract"]

# What every driver must do, as a program: the real bindings run it in a process of their own, which loads the fake
# libcuda. It prints the bytes that came back from the GPU.
CONTRACT = """
def run(driver, mapped):
    assert driver.start() == 1
    context = driver.retain(0)
    driver.push(context)
    stream, event = driver.make_stream(), driver.make_event()
    block, memory = driver.host_alloc(16, mapped), driver.malloc(16)
    assert block.array.shape == (16,) and bool(block.device) is mapped
    block.array[:] = range(16)
    driver.copy_to_device(memory, block, 8, stream)
    back = driver.host_alloc(16, False)
    back.array[:] = 0
    driver.copy_to_host(back, memory, 8, stream)
    driver.record(event, stream)
    driver.wait(event)
    copied = back.array.tolist()
    if not driver.no_capture:
        driver.begin_capture(stream)
        graph = driver.end_capture(stream)
        driver.launch(graph, stream)
        driver.destroy_graph(graph)
    for each in (block, back):
        driver.host_free(each)
    driver.free(memory)
    driver.destroy_event(event)
    driver.destroy_stream(stream)
    driver.pop()
    driver.release(0, context)
    return copied
"""
COPIED = [0, 1, 2, 3, 4, 5, 6, 7] + [0] * 8
run_contract: dict[str, Any] = {}
exec(CONTRACT, run_contract)
