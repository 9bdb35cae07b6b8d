// csflow_cycle: REQ, BUSY, DONE, ERROR, STATUS, as function blocks of a PLC have them.
#pragma once

#include "detector/detector.h"

namespace csflow {

class Cycle {
public:
    /// The handshake of one detector; begins its pictures and polls their results.
    explicit Cycle(Detector &detector) noexcept : detector_(detector) {}

    /// One call of a PLC's task: look at `in`, say in `out` where the picture stands. BUSY: another thread is in it.
    csflow_status step(const csflow_cycle_in &in, csflow_cycle_out &out) noexcept;

private:
    enum Phase { WAITING, RUNNING, ENDED };

    void begin(const csflow_cycle_in &in) noexcept;
    void watch() noexcept;
    void end(csflow_status status, const csflow_result &result) noexcept;

    Detector &detector_;
    std::atomic_flag taken_ = ATOMIC_FLAG_INIT;
    Phase phase_ = WAITING;
    bool req_ = false;  // at the last call
    bool late_ = false; // a picture that missed its deadline is still in work
    std::uint32_t calls_ = 0;
    std::uint64_t frame_id_ = 0;  // of the picture in work
    std::int64_t deadline_ns_ = 0; // 0: none
    csflow_cycle_out out_{};
};

} // namespace csflow
