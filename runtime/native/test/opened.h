// A detector with the fake engine, and pictures for it.
#pragma once

#include "bundle_maker.h"
#include "check.h"

#include <vector>

namespace csflow_test {

/// Whether another processor is emulated: then a program of that processor cannot start another one.
inline bool emulated() { return std::getenv("CSFLOW_TEST_EMULATED") != nullptr; }

/// What `opened` opens.
inline const char *device = "fake";

inline csflow_options fake_options() {
    csflow_options options{};
    options.struct_size = sizeof options;
    options.api_version = CSFLOW_API_VERSION;
    options.max_width = options.max_height = 512;
    options.device = device;
    return options;
}

inline csflow_detector opened(const std::string &bundle) {
    csflow_detector detector = 0;
    const csflow_options options = fake_options();
    CHECK(csflow_open(&detector, bundle.c_str(), &options) == CSFLOW_OK);
    return detector;
}

inline std::string calibrated_bundle(const std::string &name) {
    const std::string folder = make_bundle(new_folder(name));
    write_calibration(folder);
    return folder;
}

/// An RGB picture of one level that owns its pixels.
struct Plain {
    explicit Plain(int level, std::int32_t width = 100, std::int32_t height = 80)
        : pixels(static_cast<std::size_t>(width * height * 3), static_cast<std::uint8_t>(level)) {
        image.struct_size = sizeof image;
        image.format = CSFLOW_FORMAT_RGB8;
        image.width = width;
        image.height = height;
        image.row_stride = std::int64_t{width} * 3;
        image.data = pixels.data();
    }
    std::vector<std::uint8_t> pixels;
    csflow_image image{};
};

inline csflow_result blank_result() {
    csflow_result result{};
    result.struct_size = sizeof result;
    return result;
}

} // namespace csflow_test
