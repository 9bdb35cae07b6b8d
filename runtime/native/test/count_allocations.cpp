// What pictures allocate with OpenVINO: count_allocations BUNDLE LIBRARY DEVICE ROUNDS. LIBRARY says by
// csflow_test_backend when an inference begins and ends (tests/native/test_allocations.py).
#include "counted_malloc.h"
#include "opened.h"

#include <atomic>

namespace {

std::atomic<long> ours{0};
std::atomic<long> theirs{0};
// The caller's thread and the detector's, which is known from its first inference on; others are the back end's.
thread_local bool watched = false;
thread_local bool in_backend = false;

} // namespace

void csflow_test::count_one() noexcept { ++(watched && !in_backend ? ours : theirs); }

extern "C" __attribute__((visibility("default"))) void csflow_test_backend(int begins) {
    watched = true;
    in_backend = begins != 0;
}

int main(int count, char **arguments) {
    CHECK(count == 5);
    csflow_options options = csflow_test::fake_options();
    options.library = arguments[2];
    options.device = arguments[3];
    const long rounds = std::strtol(arguments[4], nullptr, 10);
    csflow_detector detector = 0;
    CHECK(csflow_open(&detector, arguments[1], &options) == CSFLOW_OK);
    const csflow_test::Plain picture(100, 511, 77);
    std::vector<float> rendered(512 * 512);
    csflow_test::a_round(detector, picture.image, rendered);
    watched = true;
    const long ours_before = ours, theirs_before = theirs;
    for (long round = 0; round < rounds; ++round) {
        csflow_test::a_round(detector, picture.image, rendered);
    }
    const long by_us = ours - ours_before, by_them = theirs - theirs_before;
    std::printf("%ld\t%ld\n", by_us, by_them);
    delete new char; // counted, or the counter is blind
    CHECK(ours == ours_before + by_us + 1);
    return csflow_close(detector) == CSFLOW_OK ? 0 : 1;
}
