// Any bytes as calibration.json: thresholds that decide, or a status.
#include "bundle/calibration.h"

#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const unsigned char *data, std::size_t size) {
    csflow::guarded([&] {
        const std::string_view text(reinterpret_cast<const char *>(data), size);
        const csflow::Calibration calibration = csflow::parse_calibration(text, "calibration.json");
        const double p = calibration.p_value(calibration.reject_threshold);
        if (!(p > 0.0 && p <= 1.0) || calibration.verdict(0.0) == CSFLOW_VERDICT_OK) {
            std::abort();
        }
    });
    return 0;
}
