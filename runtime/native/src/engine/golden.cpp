#include "engine/golden.h"
#include "bundle/png.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace csflow {
namespace {

constexpr const char *kGolden = "golden/golden.json";
// At a start, where the machine or the library may be another one than at the gate, these are the least.
constexpr Tolerances kAtStart = {0.05, 0.1};
constexpr double kBand = 0.005;
constexpr double kSmall = 1e-6;
constexpr std::size_t kStride = 32; // pixels of the input per value of a scale0 map
constexpr double kInfinity = std::numeric_limits<double>::infinity();

struct Golden {
    std::string file;
    double score;
    std::size_t rows, columns, cell; // expected holds means over cell x cell values of the map
    std::vector<double> expected;
};

void parse_row(const Json &row, Golden &golden, const Object &in) {
    in.require(row.kind == Json::ARRAY && (golden.rows == 0 || row.items.size() == golden.columns), "anomaly_map");
    for (const Json &value : row.items) {
        in.require(value.is_number(), "anomaly_map");
        golden.expected.push_back(value.real);
    }
    golden.columns = row.items.size();
    ++golden.rows;
}

// Values along a side of the map, as the manifest defines it.
std::size_t map_side(const Manifest &manifest) {
    const auto side = static_cast<std::size_t>(manifest.image_size);
    return manifest.anomaly_map == "product-mean-z2" ? side : side / kStride;
}

Golden parse_frame(const Json &value, const Manifest &manifest, const std::string &where) {
    const Object in(value, {"file", "label", "score", "anomaly_map", "cell"}, CSFLOW_BUNDLE_CORRUPTED, where);
    in.text("label");
    const std::int64_t cell = in.has("cell") ? in.whole("cell") : 1;
    in.require(cell >= 1 && cell <= 65535, "cell");
    Golden golden{in.text("file"), in.number("score"), 0, 0, static_cast<std::size_t>(cell), {}};
    for (const Json &row : in.array("anomaly_map").items) {
        parse_row(row, golden, in);
    }
    in.require(golden.rows == golden.columns && golden.rows * golden.cell == map_side(manifest), "anomaly_map");
    return golden;
}

std::vector<Golden> load(const Bundle &bundle) {
    const std::string where = bundle.path() + "/" + kGolden;
    const Json body = parse_json(bundle.read(kGolden), CSFLOW_BUNDLE_CORRUPTED, where, "train again");
    const Object in(body, {"frames"}, CSFLOW_BUNDLE_CORRUPTED, where);
    std::vector<Golden> frames;
    for (const Json &frame : in.array("frames").items) {
        frames.push_back(parse_frame(frame, bundle.manifest(), where));
    }
    in.require(!frames.empty(), "frames");
    return frames;
}

double finite_or_infinite(double error) { return std::isfinite(error) ? error : kInfinity; }

double score_error(double got, double expected) {
    return finite_or_infinite(std::abs(got - expected) / std::max(std::abs(expected), kSmall));
}

double cell_mean(const Map &map, std::size_t row, std::size_t column, std::size_t cell) {
    double sum = 0.0;
    for (std::size_t y = row * cell; y < (row + 1) * cell; ++y) {
        for (std::size_t x = column * cell; x < (column + 1) * cell; ++x) {
            sum += static_cast<double>(map.values[y * static_cast<std::size_t>(map.width) + x]);
        }
    }
    return sum / static_cast<double>(cell * cell);
}

double map_error(const Map &map, const Golden &golden) {
    if (static_cast<std::size_t>(map.height) != golden.rows * golden.cell ||
        static_cast<std::size_t>(map.width) != golden.columns * golden.cell) {
        return kInfinity;
    }
    double difference = 0.0;
    double total = 0.0;
    for (std::size_t i = 0; i < golden.expected.size(); ++i) {
        const double mean = cell_mean(map, i / golden.columns, i % golden.columns, golden.cell);
        difference += std::abs(mean - golden.expected[i]);
        total += golden.expected[i];
    }
    return finite_or_infinite(difference / std::max(total, kSmall));
}

// A threshold is itself a good part's score, and that part may be a golden frame.
bool on_a_threshold(double expected, double got, const Calibration &calibration) {
    const auto near = [&](double threshold) {
        const double band = kBand * threshold;
        return std::abs(expected - threshold) <= band && std::abs(got - threshold) <= band;
    };
    return near(calibration.warn_threshold) || near(calibration.reject_threshold);
}

void decode(const Bundle &bundle, const Golden &golden, std::uint8_t *input) {
    if (!decode_png(bundle.read("golden/" + golden.file), bundle.manifest().image_size, input)) {
        fail(CSFLOW_BUNDLE_CORRUPTED, "golden/%.100s is not an RGB PNG of %d pixels square: train again",
             golden.file.c_str(), bundle.manifest().image_size);
    }
}

} // namespace

Tolerances tolerances(const std::string &engine_name) {
    static const std::map<std::string, Tolerances> known = {
        {"fp32", {1e-4, 1e-3}}, {"fp16", {1e-2, 2e-2}}, {"bf16", {5e-2, 1e-1}}, {"int8", {1e-1, 1.5e-1}}};
    const auto found = known.find(engine_name.substr(engine_name.rfind('-') + 1));
    return found != known.end() ? found->second : kAtStart;
}

bool GoldenCheck::passed(const std::string &engine_name) const {
    const Tolerances limits = tolerances(engine_name);
    return flips == 0 && score_error <= std::max(kAtStart.score, limits.score) &&
           map_error <= std::max(kAtStart.map, limits.map);
}

GoldenCheck check_golden(Engine &engine, const Bundle &bundle, const Calibration &calibration) {
    GoldenCheck check;
    for (const Golden &golden : load(bundle)) {
        decode(bundle, golden, engine.input());
        const auto score = static_cast<double>(engine.infer());
        check.score_error = std::max(check.score_error, score_error(score, golden.score));
        check.map_error = std::max(check.map_error, map_error(engine.map(), golden));
        const bool flipped = calibration.verdict(score) != calibration.verdict(golden.score);
        check.flips += !on_a_threshold(golden.score, score, calibration) && flipped;
        ++check.frames;
    }
    return check;
}

void require_passed(const GoldenCheck &check, const Engine &engine) {
    if (!check.passed(engine.name())) {
        fail(CSFLOW_ENGINE_MISMATCH, "engine %s does not agree with the trained model on the golden frames: %d of %d "
                                     "verdicts differ, largest error of a score %.2f %%, of a map %.2f %%; run "
                                     "'csflow export' again", engine.name(), check.flips, check.frames,
             check.score_error * 100.0, check.map_error * 100.0);
    }
}

} // namespace csflow
