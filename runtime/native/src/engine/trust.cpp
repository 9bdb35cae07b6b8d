#include "engine/trust.h"
#include "bundle/files.h"
#include "bundle/sha256.h"
#include "numbers.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace csflow {
namespace {

using Files = std::map<std::string, std::string>;

constexpr const char *kVerification = "verification.json";
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kTiny = 1e-12;
constexpr std::size_t kMaxScores = 100000;

std::vector<double> parse_scores(const Object &in, const char *name, bool may_lack) {
    std::vector<double> scores;
    for (const Json &score : in.array(name).items) {
        in.require(score.is_number() || (may_lack && score.kind == Json::NOTHING), name);
        scores.push_back(score.is_number() ? score.real : kNaN);
    }
    return scores;
}

std::vector<std::string> parse_texts(const Object &in, const char *name) {
    std::vector<std::string> texts;
    for (const Json &text : in.array(name).items) {
        in.require(text.kind == Json::TEXT, name);
        texts.push_back(text.text);
    }
    return texts;
}

Files parse_files(const Object &in) {
    const Json &listed = in.object("files");
    Files files;
    for (std::size_t i = 0; i < listed.keys.size(); ++i) {
        in.require(listed.items[i].kind == Json::TEXT, "files");
        files[listed.keys[i]] = listed.items[i].text;
    }
    return files;
}

Record parse_record(const Json &value, const std::string &where) {
    const Object in(value, {"files", "library", "machine", "csflow", "created_utc", "pictures", "band",
                            "reference_scores", "scores", "figures", "faults", "thresholds", "decisions", "passed"},
                    CSFLOW_BUNDLE_CORRUPTED, where);
    for (const char *words : {"library", "machine", "csflow", "created_utc", "pictures"}) {
        in.text(words);
    }
    in.object("figures");
    in.require(in.at("passed").kind == Json::BOOLEAN, "passed");
    Record record{parse_files(in), in.number("band"), parse_scores(in, "reference_scores", false),
                  parse_scores(in, "scores", true), parse_texts(in, "faults")};
    const std::size_t pictures = record.scores.size();
    in.require(pictures >= 1 && pictures <= kMaxScores && pictures == record.reference_scores.size(), "scores");
    in.require(record.band >= 0.0 && record.band < 1.0, "band");
    return record;
}

// Verification of the bundle's own weights.
std::optional<Verification> load_verification(const Bundle &bundle) {
    if (!bundle.has(kVerification)) {
        return std::nullopt;
    }
    Verification found = parse_verification(bundle.read(kVerification), bundle.path() + "/" + kVerification);
    return found.weights_sha256 == bundle.weights_sha256() ? std::optional(std::move(found)) : std::nullopt;
}

bool has_plans(const std::string &engine) { return engine.rfind("tensorrt-", 0) == 0; }

Files plans(const Bundle &bundle, const std::string &precision) {
    const std::string folder = "engines/tensorrt/" + precision;
    Files files;
    for (const std::string &name : names_in(bundle.path() + "/" + folder, ".plan")) {
        const std::string content = File(bundle.path(), folder + "/" + name).read();
        files[folder + "/" + name] = sha256_hex(content.data(), content.size());
    }
    return files;
}

// What an engine of this name runs; what is not there is left out.
Files engine_files(const Bundle &bundle, const std::string &engine) {
    if (has_plans(engine)) {
        return plans(bundle, engine.substr(engine.find('-') + 1));
    }
    Files files;
    const char *flow = engine == "openvino-int8" ? "graphs/int8/flow.onnx" : "graphs/fp32/flow.onnx";
    for (const char *name : {"graphs/fp32/backbone.onnx", flow}) {
        if (bundle.has(name)) {
            files[name] = bundle.manifest().files.at(name).sha256;
        }
    }
    return files;
}

std::string percent(double share) {
    const PlainNumbers plain;
    char text[48];
    std::snprintf(text, sizeof text, "%.2f%%", share * 100.0);
    return text;
}

std::string joined(const std::vector<std::string> &texts) {
    std::string all;
    for (const std::string &text : texts) {
        all += (all.empty() ? "" : "; ") + text;
    }
    return all;
}

// Distances relative to a threshold; what has no score is far from any.
bool near(double score, double threshold, double band) {
    return std::abs(score - threshold) / std::max(std::abs(threshold), kTiny) <= band;
}

std::vector<std::string> problems_of(const Record &record, const Calibration &calibration) {
    std::vector<std::string> problems = record.faults;
    if (const std::size_t differ = flips(record, calibration); differ > 0) {
        problems.push_back(std::to_string(differ) + " of " + std::to_string(record.scores.size()) +
                           " verdicts differ by more than the band of " + percent(record.band) +
                           " around a threshold");
    }
    return problems;
}

void add_problem(const char *what, double error, double limit, std::vector<std::string> &problems) {
    if (!(error <= limit)) {
        problems.push_back(std::string("a ") + what + " on the golden frames is off by " + percent(error) +
                           ", at most " + percent(limit) + " is rounding");
    }
}

std::string first_start_problem(const std::string &engine, const GoldenCheck &check) {
    const Tolerances limits = tolerances(engine);
    std::vector<std::string> problems;
    add_problem("score", check.score_error, limits.score, problems);
    add_problem("map", check.map_error, limits.map, problems);
    return problems.empty() ? "" : "engine " + engine + " does not decide as the trained model: " + joined(problems);
}

} // namespace

Verification parse_verification(std::string_view text, const std::string &where) {
    const char *again = "run 'csflow verify' again";
    const Json body = parse_json(text, CSFLOW_BUNDLE_CORRUPTED, where, again);
    const Object in(body, {"weights_sha256", "engines", "skipped", "format_version"}, CSFLOW_BUNDLE_CORRUPTED, where);
    in.require(!in.has("format_version") || in.whole("format_version") == 1, "format_version");
    in.require(!in.has("skipped") || in.at("skipped").kind == Json::BOOLEAN, "skipped");
    Verification found{in.text("weights_sha256"), {}, in.has("skipped") && in.at("skipped").boolean};
    const Json &engines = in.object("engines");
    for (std::size_t i = 0; i < engines.keys.size(); ++i) {
        found.engines[engines.keys[i]] = parse_record(engines.items[i], where);
    }
    return found;
}

std::size_t flips(const Record &record, const Calibration &calibration) {
    std::size_t count = 0;
    for (std::size_t i = 0; i < record.scores.size(); ++i) {
        const double expected = record.reference_scores[i];
        const double got = record.scores[i];
        const auto excused = [&](double threshold) {
            return near(expected, threshold, record.band) && near(got, threshold, record.band);
        };
        const bool in_band = excused(calibration.warn_threshold) || excused(calibration.reject_threshold);
        count += calibration.verdict(got) != calibration.verdict(expected) && !in_band;
    }
    return count;
}

std::string distrust(const Bundle &bundle, const std::string &engine, const Calibration &calibration,
                     const GoldenCheck &check) {
    if (engine == "fake") {
        return "";
    }
    const std::optional<Verification> verification = load_verification(bundle);
    if (verification.has_value()) {
        const auto record = verification->engines.find(engine);
        if (record != verification->engines.end() && record->second.files == engine_files(bundle, engine)) {
            const std::vector<std::string> problems = problems_of(record->second, calibration);
            return problems.empty() ? "" : "engine " + engine + " failed the decision gate: " + joined(problems);
        }
    }
    if (has_plans(engine)) {
        return first_start_problem(engine, check);
    }
    return "engine " + engine + " is not verified: the bundle " +
           (verification.has_value() && verification->skipped
                ? "was exported with --no-verify"
                : "has no record that it decides as the trained model does");
}

} // namespace csflow
