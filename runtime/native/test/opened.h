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

/// Everything that a program does between csflow_open and csflow_close: three pictures.
inline void a_round(csflow_detector detector, const csflow_image &image, std::vector<float> &rendered) {
    csflow_result result = blank_result();
    CHECK(csflow_detect(detector, &image, &result) == CSFLOW_OK);
    CHECK(csflow_render_map(detector, rendered.data(), 2048, image.width, image.height) == CSFLOW_OK);
    CHECK(csflow_submit(detector, &image) == CSFLOW_OK);
    while (csflow_poll(detector, &result) != CSFLOW_OK) {
    }
    csflow_cycle_in in{};
    csflow_cycle_out out{};
    in.struct_size = sizeof in;
    out.struct_size = sizeof out;
    in.image = image;
    in.req = 1;
    while (csflow_cycle(detector, &in, &out) == CSFLOW_OK && out.done == 0) {
    }
    in.req = 0;
    CHECK(csflow_cycle(detector, &in, &out) == CSFLOW_OK && out.done == 0);
}

} // namespace csflow_test
