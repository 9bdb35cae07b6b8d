#include "detector/reasons.h"

#include <limits>

namespace csflow {

std::uint16_t code_of(std::int32_t verdict) noexcept {
    switch (verdict) {
    case CSFLOW_VERDICT_OK: return CSFLOW_CODE_OK;
    case CSFLOW_VERDICT_NOK: return CSFLOW_CODE_NOK;
    case CSFLOW_VERDICT_UNCERTAIN: return CSFLOW_CODE_UNCERTAIN;
    case CSFLOW_VERDICT_ERROR: return CSFLOW_CODE_ERROR;
    default: return CSFLOW_CODE_NONE;
    }
}

std::uint16_t reason_of_verdict(std::int32_t verdict) noexcept {
    switch (verdict) {
    case CSFLOW_VERDICT_NOK: return CSFLOW_REASON_ABOVE_REJECT;
    case CSFLOW_VERDICT_UNCERTAIN: return CSFLOW_REASON_ABOVE_WARN;
    case CSFLOW_VERDICT_ERROR: return CSFLOW_REASON_NOT_FINITE;
    default: return CSFLOW_REASON_NONE;
    }
}

std::uint16_t reason_of(csflow_status status) noexcept {
    switch (status) {
    case CSFLOW_OK: return CSFLOW_REASON_NONE;
    case CSFLOW_INVALID_ARGUMENT:
    case CSFLOW_SOURCE_ERROR: return CSFLOW_REASON_PICTURE;
    case CSFLOW_PART_NOT_FOUND: return CSFLOW_REASON_PICTURE;
    case CSFLOW_INFERENCE_ERROR: return CSFLOW_REASON_INFERENCE;
    case CSFLOW_BUSY: return CSFLOW_REASON_BUSY;
    case CSFLOW_DEADLINE: return CSFLOW_REASON_DEADLINE;
    case CSFLOW_WORKER_CRASHED: return CSFLOW_REASON_WORKER_CRASHED;
    case CSFLOW_WORKER_HUNG: return CSFLOW_REASON_WORKER_HUNG;
    default: return CSFLOW_REASON_INTERNAL;
    }
}

csflow_result error_result(csflow_status status, std::uint16_t reason, std::uint64_t frame_id) noexcept {
    constexpr double none = std::numeric_limits<double>::quiet_NaN();
    csflow_result result{};
    result.status = status;
    result.frame_id = frame_id;
    result.verdict = CSFLOW_VERDICT_ERROR;
    result.verdict_code = CSFLOW_CODE_ERROR;
    result.reason = reason;
    result.score = result.warn_threshold = result.reject_threshold = result.p_value = none;
    result.peak_x = result.peak_y = -1;
    return result;
}

} // namespace csflow
