// From score to verdict: calibration.json and the rule that applies it. The twin of csflow.runtime.bundle.calibration.
#pragma once

#include "bundle/bundle.h"

#include <vector>

namespace csflow {

constexpr std::size_t kMaxScores = 100000;

struct Calibration {
    double reject_threshold = 0.0, warn_threshold = 0.0;
    std::vector<double> scores; // of the good calibration parts, ascending
    std::string weights_sha256; // of the model that gave them

    /// CSFLOW_VERDICT_...: anything not finite, zero or negative is ERROR, never OK.
    std::int32_t verdict(double score) const noexcept;

    /// Conformal p-value (1 + #{s_i >= score}) / (n + 1); NaN for a score that is not finite.
    double p_value(double score) const noexcept;
};

/// Read and check the content of a calibration.json. CALIBRATION_ERROR where it is malformed.
Calibration parse_calibration(std::string_view text, const std::string &where);

/// The calibration of `bundle`. CALIBRATION_ERROR: there is none, it is malformed, or it belongs to another model.
Calibration load_calibration(const Bundle &bundle);

} // namespace csflow
