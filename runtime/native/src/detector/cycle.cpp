// csflow_cycle: REQ, BUSY, DONE, ERROR, STATUS, as function blocks of a PLC have them; and the words of errors.
#include "detector/detector.h"

namespace csflow {
csflow_status Detector::cycle(const csflow_cycle_in &in, csflow_cycle_out &out) noexcept {
    if (in_cycle_.test_and_set(std::memory_order_acquire)) {
        return CSFLOW_BUSY;
    }
    const bool rising = in.req != 0 && !cycle_.req;
    cycle_.req = in.req != 0;
    ++cycle_.calls;
    if (cycle_.phase == Cycle::RUNNING) {
        watch_cycle();
    } else if (rising) {
        begin_cycle(in);
    } else if (in.req == 0) {
        // The end was shown by an earlier call, and REQ has fallen.
        cycle_.phase = Cycle::WAITING;
        cycle_.out = {};
        cycle_.out.status = CSFLOW_IDLE;
    }
    cycle_.out.cycles = cycle_.calls;
    cycle_.out.result.struct_size = sizeof cycle_.out.result;
    out = cycle_.out;
    in_cycle_.clear(std::memory_order_release);
    return CSFLOW_OK;
}

void Detector::begin_cycle(const csflow_cycle_in &in) noexcept {
    const std::int64_t start = now_ns();
    csflow_result late{};
    if (cycle_.late && poll(late) != CSFLOW_PENDING) {
        cycle_.late = false;
    }
    const csflow_status status = guarded([&] { begin(&in.image, false); });
    if (status != CSFLOW_OK) {
        store_error();
        end_cycle(status, error_result(status, reason_of(status), in.image.frame_id));
        return;
    }
    cycle_.phase = Cycle::RUNNING;
    cycle_.deadline_ns = in.deadline_ms == 0 ? 0 : start + std::int64_t{in.deadline_ms} * 1000000;
    cycle_.out = {};
    cycle_.out.busy = 1;
    cycle_.out.status = CSFLOW_PENDING;
}

void Detector::watch_cycle() noexcept {
    csflow_result result{};
    if (poll(result) == CSFLOW_OK) {
        end_cycle(result.status, result);
    } else if (cycle_.deadline_ns != 0 && now_ns() >= cycle_.deadline_ns) {
        cycle_.late = true;
        csflow::store_error("no verdict in time: the part has none; ask for less, or allow more time");
        store_error();
        // Of the picture in work only its number may be read here; `begin` wrote it on this task's behalf.
        end_cycle(CSFLOW_DEADLINE, error_result(CSFLOW_DEADLINE, CSFLOW_REASON_DEADLINE, image_.frame_id));
    }
}

void Detector::end_cycle(csflow_status status, const csflow_result &result) noexcept {
    cycle_.phase = Cycle::ENDED;
    cycle_.out = {};
    cycle_.out.done = status == CSFLOW_OK;
    cycle_.out.error = status != CSFLOW_OK;
    cycle_.out.status = status;
    cycle_.out.result = result;
}

void Detector::store_error() noexcept {
    const std::lock_guard<std::mutex> lock(error_mutex_);
    copy_text(stored_error(), error_, sizeof error_);
}

std::size_t Detector::last_error(char *text, std::size_t size) noexcept {
    const std::lock_guard<std::mutex> lock(error_mutex_);
    return copy_text(error_, text, size);
}

} // namespace csflow
