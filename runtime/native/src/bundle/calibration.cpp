#include "bundle/calibration.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace csflow {
namespace {

constexpr const char *kRemedy = "correct the file or run 'csflow calibrate' again";

std::vector<double> parse_scores(const Object &in) {
    const Json &listed = in.array("scores");
    in.require(!listed.items.empty() && listed.items.size() <= kMaxScores, "scores (1 to 100000 of them)");
    std::vector<double> scores;
    scores.reserve(listed.items.size());
    for (const Json &score : listed.items) {
        in.require(score.is_number(), "scores");
        scores.push_back(score.real);
    }
    in.require(std::is_sorted(scores.begin(), scores.end()), "scores (in ascending order)");
    return scores;
}

} // namespace

std::int32_t Calibration::verdict(double score) const noexcept {
    if (!std::isfinite(score) || score <= 0.0) {
        return CSFLOW_VERDICT_ERROR;
    }
    if (score > reject_threshold) {
        return CSFLOW_VERDICT_NOK;
    }
    return score > warn_threshold ? CSFLOW_VERDICT_UNCERTAIN : CSFLOW_VERDICT_OK;
}

double Calibration::p_value(double score) const noexcept {
    if (!std::isfinite(score)) {
        return std::numeric_limits<double>::quiet_NaN();
    }
    const auto above = scores.end() - std::lower_bound(scores.begin(), scores.end(), score);
    return static_cast<double>(1 + above) / static_cast<double>(scores.size() + 1);
}

Calibration parse_calibration(std::string_view text, const std::string &where) {
    const Json body = parse_json(text, CSFLOW_CALIBRATION_ERROR, where, kRemedy);
    const Object in(body, {"reject_threshold", "warn_threshold", "false_reject_rate", "confidence", "bound",
                           "warn_rate", "scores", "weights_sha256", "backend", "created_utc", "format_version"},
                    CSFLOW_CALIBRATION_ERROR, where);
    Calibration calibration;
    calibration.reject_threshold = in.number("reject_threshold");
    calibration.warn_threshold = in.number("warn_threshold");
    in.require(calibration.warn_threshold <= calibration.reject_threshold, "warn_threshold (above reject_threshold)");
    for (const char *rate : {"false_reject_rate", "confidence", "bound", "warn_rate"}) {
        in.require(in.number(rate) >= 0.0 && in.number(rate) <= 1.0, rate);
    }
    calibration.scores = parse_scores(in);
    calibration.weights_sha256 = in.text("weights_sha256");
    in.text("backend");
    in.text("created_utc");
    in.require(!in.has("format_version") || in.whole("format_version") == 1, "format_version");
    return calibration;
}

Calibration load_calibration(const Bundle &bundle) {
    std::string text;
    if (!bundle.read_calibration(text)) {
        fail(CSFLOW_CALIBRATION_ERROR, "bundle %s has no thresholds: run 'csflow calibrate DIR' with good parts",
             bundle.path().c_str());
    }
    const std::string where = bundle.path() + "/calibration.json";
    Calibration calibration = parse_calibration(text, where);
    if (calibration.weights_sha256 != bundle.manifest().weights_sha256) {
        fail(CSFLOW_CALIBRATION_ERROR, "%s belongs to another model; run 'csflow calibrate' for this one",
             where.c_str());
    }
    return calibration;
}

} // namespace csflow
