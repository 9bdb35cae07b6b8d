// Golden frames: pictures in the bundle with the scores they must give. The twin of csflow.runtime.bundle.golden.
#pragma once

#include "bundle/calibration.h"
#include "engine/engine.h"

namespace csflow {

struct GoldenCheck {
    std::int32_t frames = 0, flips = 0;
    double score_error = 0.0, map_error = 0.0;

    /// Whether an engine of this name may start: no verdict differs, scores and maps are within what is allowed.
    bool passed(const std::string &engine_name) const;
};

/// Largest relative error of a score and of a map on the golden frames.
struct Tolerances {
    double score, map;
};

/// By the precision in the engine's name, such as tensorrt-fp16: what the decision gate asks for.
Tolerances tolerances(const std::string &engine_name);

/// Score the golden frames one by one and compare. BUNDLE_ERROR, BUNDLE_CORRUPTED: they are missing or damaged.
GoldenCheck check_golden(Engine &engine, const Bundle &bundle, const Calibration &calibration);

/// Let nothing decide that does not agree: ENGINE_MISMATCH, and the message says by how much.
void require_passed(const GoldenCheck &check, const Engine &engine);

} // namespace csflow
