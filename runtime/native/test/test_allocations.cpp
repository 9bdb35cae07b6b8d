// Only csflow_preprocessor_open allocates; a failing allocation there is a status, whichever allocation it is.
#include "csflow.h"

#include "check.h"

#include <cstdlib>
#include <new>
#include <thread>
#include <vector>

namespace {

long allocations = 0;
long fail_after = -1; // number of allocations that succeed; negative: all

} // namespace

// Replaces the operator for the whole process, the library included.
void *operator new(std::size_t size) {
    if (fail_after >= 0 && fail_after-- == 0) {
        throw std::bad_alloc();
    }
    ++allocations;
    if (void *memory = std::malloc(size > 0 ? size : 1)) {
        return memory;
    }
    throw std::bad_alloc();
}
void operator delete(void *memory) noexcept { std::free(memory); }
void operator delete(void *memory, std::size_t) noexcept { std::free(memory); }

namespace {

csflow_preprocessing settings() {
    csflow_preprocessing how = CSFLOW_PREPROCESSING_INIT;
    how.image_size = 96;
    return how;
}

csflow_image image_of(const std::vector<std::uint8_t> &pixels, std::int32_t width, std::int32_t height) {
    csflow_image image = CSFLOW_IMAGE_INIT;
    image.format = CSFLOW_FORMAT_RGB8;
    image.width = width;
    image.height = height;
    image.row_stride = width * 3;
    image.data = pixels.data();
    return image;
}

void test_no_allocation_after_open() {
    const csflow_preprocessing how = settings();
    const std::vector<std::uint8_t> pixels(300 * 200 * 3, 7);
    std::vector<std::uint8_t> out(96 * 96 * 3);
    csflow_preprocessor *handle = nullptr;
    CHECK(csflow_preprocessor_open(&handle, &how, 300, 200) == CSFLOW_OK);
    const long before = allocations;
    CHECK(before > 0);
    for (std::int32_t side = 1; side <= 200; ++side) {
        const csflow_image image = image_of(pixels, side + 100, side);
        CHECK(csflow_preprocess(handle, &image, out.data(), out.size()) == CSFLOW_OK);
    }
    CHECK(allocations == before);
    CHECK(out.front() == 7 && out.back() == 7);
    csflow_preprocessor_close(handle);
}

void test_every_failing_allocation_is_a_status() {
    const csflow_preprocessing how = settings();
    csflow_preprocessor *handle = nullptr;
    int failures = 0;
    for (long n = 0; handle == nullptr; ++n) {
        fail_after = n;
        const csflow_status status = csflow_preprocessor_open(&handle, &how, 300, 200);
        fail_after = -1;
        CHECK((status == CSFLOW_OK) == (handle != nullptr));
        CHECK(status == CSFLOW_OK || status == CSFLOW_OUT_OF_MEMORY);
        failures += status == CSFLOW_OUT_OF_MEMORY;
    }
    CHECK(failures > 3);
    csflow_preprocessor_close(handle);
}

void test_the_last_error_belongs_to_its_thread() {
    CHECK(csflow_preprocess(nullptr, nullptr, nullptr, 0) == CSFLOW_INVALID_ARGUMENT);
    CHECK(csflow_last_error()[0] != '\0');
    bool clean = false;
    std::thread([&clean] { clean = csflow_last_error()[0] == '\0'; }).join();
    CHECK(clean);
    CHECK(csflow_last_error()[0] != '\0');
}

} // namespace

int main() {
    test_no_allocation_after_open();
    test_every_failing_allocation_is_a_status();
    test_the_last_error_belongs_to_its_thread();
    return 0;
}
