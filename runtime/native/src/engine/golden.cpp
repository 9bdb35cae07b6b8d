#include "engine/golden.h"
#include "bundle/png.h"
#include "engine/name.h"
#include "numbers.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace csflow {
namespace {

struct Row {
    const char *precision;
    Tolerances allowed;
};

constexpr const char *kGolden = "golden/golden.json";
constexpr const char *kTrainAgain = "train again";
constexpr Row kBySpread[] = {{"fp32", {1e-3, 1e-3}}, {"fp16", {1e-1, 2e-2}}, {"bf16", {2.5e-1, 1e-1}},
                             {"int8", {5e-1, 1.5e-1}}};
constexpr Row kByScore[] = {{"fp32", {1e-4, 1e-3}}, {"fp16", {1e-2, 2e-2}}, {"bf16", {5e-2, 1e-1}},
                            {"int8", {1e-1, 1.5e-1}}};
// At a start, where the machine or the library may be another one than at the gate, these are the least.
constexpr Tolerances kStartBySpread = {2.5e-1, 1e-1};
constexpr Tolerances kStartByScore = {5e-2, 1e-1};
constexpr double kSmall = 1e-6; // keeps a score of nothing from being divided by
constexpr std::size_t kMaxFrames = 1000;
constexpr std::int64_t kMaxCell = 65535;
constexpr double kInfinity = std::numeric_limits<double>::infinity();

Tolerances at_start(bool by_spread) { return by_spread ? kStartBySpread : kStartByScore; }

void parse_map(const Object &in, GoldenFrame &golden) {
    const std::vector<Json> &rows = in.array("anomaly_map").items;
    golden.rows = rows.size();
    in.require(!rows.empty(), "anomaly_map");
    for (const Json &row : rows) {
        in.require(row.kind == Json::ARRAY && row.items.size() == golden.rows, "anomaly_map");
        for (const Json &value : row.items) {
            in.require(value.is_number(), "anomaly_map");
            golden.expected.push_back(value.real);
        }
    }
}

GoldenFrame parse_frame(const Json &value, const Bundle &bundle, const std::string &where) {
    const Object in(value, {"file", "label", "score", "anomaly_map", "cell"}, CSFLOW_BUNDLE_CORRUPTED, where);
    in.text("label");
    const std::int64_t cell = in.has("cell") ? in.whole("cell") : 1;
    in.require(cell >= 1 && cell <= kMaxCell, "cell");
    GoldenFrame golden{{}, in.number("score"), 0, static_cast<std::size_t>(cell), {}};
    parse_map(in, golden);
    const std::string name = "golden/" + in.text("file");
    const std::int32_t side = bundle.manifest().image_size;
    if (!decode_png(bundle.read(name), side, golden.pixels)) {
        fail(CSFLOW_BUNDLE_CORRUPTED, "%s/%.100s is not an RGB PNG of %d pixels square: %s", bundle.path().c_str(),
             name.c_str(), side, kTrainAgain);
    }
    return golden;
}

bool has_value(const Object &in, const char *key) { return in.has(key) && in.at(key).kind != Json::NOTHING; }

std::optional<Spread> parse_spread(const Object &in) {
    const bool there = has_value(in, "spread");
    in.require(has_value(in, "centre") == there, "centre (it and spread stand together)");
    if (!there) {
        return std::nullopt;
    }
    in.require(in.number("spread") > 0.0, "spread");
    return Spread{in.number("centre"), in.number("spread")};
}

double finite_or_infinite(double error) { return std::isfinite(error) ? error : kInfinity; }

double cell_mean(const Map &map, std::size_t row, std::size_t column, std::size_t cell) {
    double sum = 0.0;
    for (std::size_t y = row * cell; y < (row + 1) * cell; ++y) {
        for (std::size_t x = column * cell; x < (column + 1) * cell; ++x) {
            sum += static_cast<double>(map.values[y * static_cast<std::size_t>(map.width) + x]);
        }
    }
    return sum / static_cast<double>(cell * cell);
}

double map_error(const Map &map, const GoldenFrame &golden) {
    const std::size_t side = golden.rows * golden.cell;
    if (static_cast<std::size_t>(map.height) != side || static_cast<std::size_t>(map.width) != side) {
        return kInfinity;
    }
    double difference = 0.0;
    double total = 0.0;
    for (std::size_t i = 0; i < golden.expected.size(); ++i) {
        const double mean = cell_mean(map, i / golden.rows, i % golden.rows, golden.cell);
        difference += std::abs(mean - golden.expected[i]);
        total += golden.expected[i];
    }
    return finite_or_infinite(difference / std::max(total, kSmall));
}

// A threshold is itself a good part's score, and that part may be a golden frame.
bool on_a_threshold(double expected, double got, const Calibration &calibration) {
    const auto near = [&](double threshold) {
        const double band = kGoldenBand * threshold;
        return std::abs(expected - threshold) <= band && std::abs(got - threshold) <= band;
    };
    return near(calibration.warn_threshold) || near(calibration.reject_threshold);
}

} // namespace

Tolerances tolerances(const std::string &engine_name, bool by_spread) {
    const std::string precision = EngineName::parse(engine_name).narrowest();
    for (const Row &row : by_spread ? kBySpread : kByScore) {
        if (precision == row.precision) {
            return row.allowed;
        }
    }
    return at_start(by_spread);
}

bool GoldenCheck::passed(const std::string &engine_name) const {
    const Tolerances least = at_start(by_spread);
    const Tolerances own = tolerances(engine_name, by_spread);
    return flips == 0 && score_error <= std::max(least.score, own.score) && map_error <= std::max(least.map, own.map);
}

std::vector<std::string> problems_of(const GoldenCheck &check, const std::string &engine_name) {
    const Tolerances limits = tolerances(engine_name, check.by_spread);
    std::vector<std::string> problems;
    if (!(check.score_error <= limits.score)) {
        problems.push_back("a score on the golden frames is off by " + percent(check.score_error) +
                           (check.by_spread ? " of the spread of good scores" : "") + ", at most " +
                           percent(limits.score) + " is rounding");
    }
    if (!(check.map_error <= limits.map)) {
        problems.push_back("a map on the golden frames is off by " + percent(check.map_error) + ", at most " +
                           percent(limits.map) + " is rounding");
    }
    return problems;
}

GoldenSet::GoldenSet(const Bundle &bundle) {
    const std::string where = bundle.path() + "/" + kGolden;
    const Json body = parse_json(bundle.read(kGolden), CSFLOW_BUNDLE_CORRUPTED, where, kTrainAgain);
    const Object in(body, {"frames", "centre", "spread"}, CSFLOW_BUNDLE_CORRUPTED, where);
    spread_ = parse_spread(in);
    const std::vector<Json> &listed = in.array("frames").items;
    in.require(!listed.empty() && listed.size() <= kMaxFrames, "frames (1 to 1000 of them)");
    for (const Json &frame : listed) {
        frames_.push_back(parse_frame(frame, bundle, where));
    }
}

// A score is known up to a shift that a method chose, so no share of the score itself means anything; format 1 holds
// CS-Flow's scores alone, and is judged by that share as it always was.
double GoldenSet::unit(double score) const noexcept {
    return spread_.has_value() ? std::max(spread_->deviation, std::abs(score - spread_->centre))
                               : std::max(std::abs(score), kSmall);
}

double GoldenSet::score_error(double got, double expected) const noexcept {
    return finite_or_infinite(std::abs(got - expected) / unit(expected));
}

GoldenCheck GoldenSet::check(Engine &engine, const Calibration &calibration) const {
    GoldenCheck found;
    found.by_spread = spread_.has_value();
    for (const GoldenFrame &golden : frames_) {
        std::copy(golden.pixels.begin(), golden.pixels.end(), engine.input());
        const auto score = static_cast<double>(engine.infer());
        found.score_error = std::max(found.score_error, score_error(score, golden.score));
        found.map_error = std::max(found.map_error, map_error(engine.map(), golden));
        const bool flipped = calibration.verdict(score) != calibration.verdict(golden.score);
        found.flips += !on_a_threshold(golden.score, score, calibration) && flipped;
        ++found.frames;
    }
    return found;
}

void require_passed(const GoldenCheck &check, const Engine &engine) {
    if (!check.passed(engine.name())) {
        fail(CSFLOW_ENGINE_MISMATCH, "engine %s does not agree with the trained model on the golden frames: %d of %d "
                                     "verdicts differ, largest error of a score %s, of a map %s; run 'csflow export' "
                                     "again", engine.name(), check.flips, check.frames,
             percent(check.score_error).c_str(), percent(check.map_error).c_str());
    }
}

} // namespace csflow
