// How long csflow_poll takes while the detector works: the argument is the number of calls to measure.
#include "opened.h"

#include <algorithm>
#include <chrono>

using namespace csflow_test;

namespace {

using Clock = std::chrono::steady_clock;

std::vector<std::int64_t> measured(csflow_detector detector, std::size_t count) {
    const Plain plain(100, 512, 512);
    std::vector<std::int64_t> times;
    times.reserve(count);
    csflow_result result = blank_result();
    CHECK(csflow_submit(detector, &plain.image) == CSFLOW_OK);
    while (times.size() < count) {
        const Clock::time_point begun = Clock::now();
        const csflow_status status = csflow_poll(detector, &result);
        const Clock::time_point ended = Clock::now();
        if (status == CSFLOW_PENDING) {
            times.push_back(std::chrono::nanoseconds(ended - begun).count());
        } else {
            CHECK(status == CSFLOW_OK && csflow_submit(detector, &plain.image) == CSFLOW_OK);
        }
    }
    return times;
}

} // namespace

int main(int count, char **arguments) {
    const std::size_t calls = count > 1 ? std::strtoul(arguments[1], nullptr, 10) : 1000000;
    CHECK(calls >= 1);
    const csflow_detector detector = opened(calibrated_bundle("poll"));
    std::vector<std::int64_t> times = measured(detector, calls);
    CHECK(csflow_close(detector) == CSFLOW_OK);
    std::sort(times.begin(), times.end());
    for (const double share : {0.5, 0.99, 0.9999, 1.0}) {
        const auto at = static_cast<std::size_t>(share * static_cast<double>(calls - 1));
        std::printf("%g\t%lld ns\n", share, static_cast<long long>(times[at]));
    }
    return 0;
}
