// Golden frames: pictures in the bundle with the scores they must give. The twin of csflow.runtime.bundle.golden and
// csflow.runtime.engines.golden_check.
#pragma once

#include "bundle/calibration.h"
#include "engine/engine.h"

#include <optional>

namespace csflow {

/// Largest errors on the golden frames: of a score, as a share of `GoldenSet`'s unit; of a map, as a share of its sum.
struct Tolerances {
    double score, map;
};

/// Relative distance to a threshold within which a verdict may differ: neither side is surer than that.
constexpr double kGoldenBand = 0.005;

/// What the precision in the engine's name explains, of several the narrowest: what the decision gate asks for.
/// `by_spread`: errors of scores are shares of the spread of good scores (format 2), not of the score (format 1).
Tolerances tolerances(const std::string &engine_name, bool by_spread);

struct GoldenCheck {
    std::int32_t frames = 0, flips = 0;
    double score_error = 0.0, map_error = 0.0;
    bool by_spread = false;

    /// Whether an engine of this name may start: no verdict differs, scores and maps are within what is allowed.
    bool passed(const std::string &engine_name) const;
};

/// What the decision gate finds wrong with the errors; empty where nothing is.
std::vector<std::string> problems_of(const GoldenCheck &check, const std::string &engine_name);

/// One golden frame.
struct GoldenFrame {
    std::vector<std::uint8_t> pixels; // (S, S, 3) RGB
    double score;
    std::size_t rows, cell; // expected holds rows x rows means over cell x cell values of the map
    std::vector<double> expected;
};

/// Mean and standard deviation of the scores of the good training pictures.
struct Spread {
    double centre, deviation;
};

/// The golden frames of a bundle, read and checked once.
class GoldenSet {
public:
    /// BUNDLE_ERROR, BUNDLE_CORRUPTED: they are missing or damaged.
    explicit GoldenSet(const Bundle &bundle);

    /// Score them one by one and compare.
    GoldenCheck check(Engine &engine, const Calibration &calibration) const;

private:
    double unit(double score) const noexcept;
    double score_error(double got, double expected) const noexcept;

    std::vector<GoldenFrame> frames_;
    std::optional<Spread> spread_; // none in bundles of format 1
};

/// Let nothing decide that does not agree: ENGINE_MISMATCH, and the message says by how much.
void require_passed(const GoldenCheck &check, const Engine &engine);

} // namespace csflow
