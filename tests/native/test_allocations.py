"""libcsflow allocates nothing for a picture, whatever its back end does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

Run = Callable[..., str]

# In front of the real library, which is searched for every other function: says when OpenVINO is at work.
IN_FRONT = """
#define _GNU_SOURCE
#include <dlfcn.h>
void csflow_test_backend(int begins);
int ov_infer_request_infer(void *request) {
    int (*real)(void *) = (int (*)(void *))dlsym(dlopen(LIBRARY, RTLD_LAZY), "ov_infer_request_infer");
    csflow_test_backend(1);
    const int status = real(request);
    csflow_test_backend(0);
    return status;
}
"""


def test_pictures_allocate_nothing_outside_openvino(
    built: Path, calibrated: Path, openvino_library: Path, run: Run, tmp_path: Path
) -> None:
    (tmp_path / "front.c").write_text(IN_FRONT)
    front = tmp_path / "libfront.so"
    links = (f"-Wl,-rpath,{openvino_library.parent}", "-Wl,--no-as-needed", openvino_library, "-ldl")
    run("cc", "-shared", "-fPIC", f'-DLIBRARY="{openvino_library}"', tmp_path / "front.c", "-o", front, *links)
    program = built / "runtime" / "native" / "test" / "count_allocations"
    ours, theirs = map(int, run(program, calibrated, front, "openvino-fp32", 20).split())
    assert ours == 0
    assert theirs > 0, "the counter does not see OpenVINO"
