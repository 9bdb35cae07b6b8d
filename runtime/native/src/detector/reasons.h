// Why a verdict is not OK, and what goes over the wire: the numbers of csflow.h. The twin of csflow.runtime.faults.
#pragma once

#include "csflow.h"

#include <cstdint>

namespace csflow {

/// CSFLOW_CODE_... of a verdict.
std::uint16_t code_of(std::int32_t verdict) noexcept;

/// CSFLOW_REASON_... for a verdict on a score.
std::uint16_t reason_of_verdict(std::int32_t verdict) noexcept;

/// CSFLOW_REASON_... for the status of a picture that was refused or failed.
std::uint16_t reason_of(csflow_status status) noexcept;

/// The result of a picture that has none: ERROR.
csflow_result error_result(csflow_status status, std::uint16_t reason, std::uint64_t frame_id) noexcept;

} // namespace csflow
