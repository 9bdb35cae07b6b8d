// Pictures allocate nothing, by any allocator; in csflow_open every failing allocation is a status.
#include "counted_malloc.h"
#include "opened.h"

#include <atomic>
#include <new>

namespace {

std::atomic<long> allocations{0};
std::atomic<long> fail_after{-1}; // number of operator new that succeed; negative: all

} // namespace

void csflow_test::count_one() noexcept { ++allocations; }

__attribute__((noinline)) void *operator new(std::size_t size) {
    if (fail_after >= 0 && fail_after-- == 0) {
        throw std::bad_alloc();
    }
    if (void *memory = std::malloc(size > 0 ? size : 1)) {
        return memory;
    }
    throw std::bad_alloc();
}
__attribute__((noinline)) void operator delete(void *memory) noexcept { std::free(memory); }
__attribute__((noinline)) void operator delete(void *memory, std::size_t) noexcept { std::free(memory); }

using namespace csflow_test;

namespace {

// fault: A4
void test_no_allocation_after_open(const std::string &bundle) {
    const csflow_detector detector = opened(bundle);
    std::vector<float> rendered(512 * 512);
    const Plain small(7, 1, 1);
    const Plain large(200, 511, 77);
    const long before = allocations;
    for (int i = 0; i < 100; ++i) {
        a_round(detector, i % 2 == 0 ? small.image : large.image, rendered);
    }
    CHECK(allocations == before);
    CHECK(csflow_close(detector) == CSFLOW_OK);
}

// The first, and every `step`th after it.
// fault: A3, G4
void test_failing_allocations_are_a_status(const std::string &bundle, long step) {
    csflow_detector detector = 0;
    const csflow_options options = fake_options();
    int failures = 0;
    for (long n = 0; detector == 0; n += step) {
        fail_after = n;
        const csflow_status status = csflow_open(&detector, bundle.c_str(), &options);
        fail_after = -1;
        CHECK((status == CSFLOW_OK) == (detector != 0));
        CHECK(status == CSFLOW_OK || status == CSFLOW_OUT_OF_MEMORY);
        failures += status == CSFLOW_OUT_OF_MEMORY;
    }
    CHECK(failures > 100 / step);
    CHECK(csflow_close(detector) == CSFLOW_OK);
}

} // namespace

int main() {
    const std::string bundle = calibrated_bundle("allocations");
    test_no_allocation_after_open(bundle);
    test_failing_allocations_are_a_status(bundle, 1);
#if defined(CSFLOW_TEST_WORKER)
    if (emulated()) {
        return 0;
    }
    device = "worker:fake";
    setenv("CSFLOW_WORKER", CSFLOW_TEST_WORKER, 1);
    test_no_allocation_after_open(bundle);
    test_failing_allocations_are_a_status(bundle, 13);
#endif
    return 0;
}
