#include "detector/cycle.h"
#include "detector/reasons.h"

namespace csflow {

csflow_status Cycle::step(const csflow_cycle_in &in, csflow_cycle_out &out) noexcept {
    if (taken_.test_and_set(std::memory_order_acquire)) {
        return CSFLOW_BUSY;
    }
    const bool rising = in.req != 0 && !req_;
    req_ = in.req != 0;
    ++calls_;
    if (phase_ == RUNNING) {
        watch();
    } else if (rising) {
        begin(in);
    } else if (in.req == 0) {
        // The end was shown by an earlier call, and REQ has fallen.
        phase_ = WAITING;
        out_ = {};
        out_.status = CSFLOW_IDLE;
    }
    out_.cycles = calls_;
    out_.result.struct_size = sizeof out_.result;
    out = out_;
    taken_.clear(std::memory_order_release);
    return CSFLOW_OK;
}

void Cycle::begin(const csflow_cycle_in &in) noexcept {
    const std::int64_t start = now_ns();
    csflow_result late{};
    if (late_ && detector_.poll(late) != CSFLOW_PENDING) {
        late_ = false;
    }
    const csflow_status status = guarded([&] { detector_.begin(&in.image, false); });
    if (status != CSFLOW_OK) {
        detector_.store_error();
        end(status, error_result(status, reason_of(status), in.image.frame_id));
        return;
    }
    phase_ = RUNNING;
    frame_id_ = in.image.frame_id;
    deadline_ns_ = in.deadline_ms == 0 ? 0 : start + std::int64_t{in.deadline_ms} * 1000000;
    out_ = {};
    out_.busy = 1;
    out_.status = CSFLOW_PENDING;
}

void Cycle::watch() noexcept {
    csflow_result result{};
    if (detector_.poll(result) == CSFLOW_OK) {
        end(result.status, result);
    } else if (deadline_ns_ != 0 && now_ns() >= deadline_ns_) {
        late_ = true;
        store_error("no verdict in time: the part has none; ask for less, or allow more time");
        detector_.store_error();
        end(CSFLOW_DEADLINE, error_result(CSFLOW_DEADLINE, CSFLOW_REASON_DEADLINE, frame_id_));
    }
}

void Cycle::end(csflow_status status, const csflow_result &result) noexcept {
    phase_ = ENDED;
    out_ = {};
    out_.done = status == CSFLOW_OK;
    out_.error = status != CSFLOW_OK;
    out_.status = status;
    out_.result = result;
}

} // namespace csflow
