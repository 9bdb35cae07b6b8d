#include "engine/trust.h"
#include "engine/stages.h"
#include "numbers.h"

#include <algorithm>
#include <cmath>

namespace csflow {
namespace {

using Files = std::map<std::string, std::string>;

constexpr const char *kVerification = "verification.json";
constexpr double kTiny = 1e-12;

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
    const std::string text = bundle.read(kVerification);
    Verification found = parse_verification(text, bundle.path() + "/" + kVerification);
    return found.weights_sha256 == bundle.manifest().weights_sha256 ? std::optional(std::move(found)) : std::nullopt;
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

std::string first_start_problem(const std::string &engine, const GoldenCheck &check) {
    const std::vector<std::string> problems = problems_of(check, engine);
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
    const EngineName name = EngineName::parse(engine);
    const std::optional<Verification> verification = load_verification(bundle);
    if (verification.has_value()) {
        const auto record = verification->engines.find(engine);
        if (record != verification->engines.end() && record->second.files == engine_files(bundle, name)) {
            const std::vector<std::string> problems = problems_of(record->second, calibration);
            return problems.empty() ? "" : "engine " + engine + " failed the decision gate: " + joined(problems);
        }
    }
    if (runs_plans(name)) {
        return first_start_problem(engine, check);
    }
    return "engine " + engine + " is not verified: the bundle " +
           (verification.has_value() && verification->skipped
                ? "was exported with --no-verify"
                : "has no record that it decides as the trained model does");
}

} // namespace csflow
