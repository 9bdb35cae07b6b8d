// Whether an engine may decide: the record of the decision gate, or, for a plan without one, the golden frames. The twin
// of csflow.runtime.engines.trust and csflow.runtime.bundle.verification.
#pragma once

#include "engine/golden.h"

#include <optional>

namespace csflow {

/// What verification.json says about an engine, as far as it decides.
struct Record {
    std::map<std::string, std::string> files; // of the bundle that the engine runs, with their SHA-256
    double band = 0.0;                        // relative distance to a threshold within which verdicts may differ
    std::vector<double> reference_scores;     // of the trained model
    std::vector<double> scores;               // of the engine; NaN: none
    std::vector<std::string> faults;          // why it may not decide, whatever the thresholds
};

struct Verification {
    std::string weights_sha256; // of the trained model that the engines were compared with
    std::map<std::string, Record> engines;
    bool skipped = false; // the graphs were written with `csflow export --no-verify`
};

/// Read and check the content of a verification.json. BUNDLE_CORRUPTED where it is malformed.
Verification parse_verification(std::string_view text, const std::string &where);

/// Verdicts that differ by more than the band around a threshold; the scores are judged by today's thresholds.
std::size_t flips(const Record &record, const Calibration &calibration);

/// Why the engine may not decide; empty where it may. `check`: how it did on the golden frames at this start.
/// BUNDLE_CORRUPTED where verification.json is damaged.
std::string distrust(const Bundle &bundle, const std::string &engine, const Calibration &calibration,
                     const GoldenCheck &check);

} // namespace csflow
