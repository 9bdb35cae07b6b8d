// Any bytes as verification.json: records that are judged, or a status.
#include "engine/trust.h"

#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const unsigned char *data, std::size_t size) {
    csflow::guarded([&] {
        const std::string_view text(reinterpret_cast<const char *>(data), size);
        const csflow::Verification found = csflow::parse_verification(text, "verification.json");
        csflow::Calibration calibration;
        calibration.warn_threshold = 0.5;
        calibration.reject_threshold = 0.6;
        for (const auto &[name, record] : found.engines) {
            if (csflow::flips(record, calibration) > record.scores.size()) {
                std::abort();
            }
        }
    });
    return 0;
}
