// csflow_preprocessor: checks what comes from outside, then resizes.
#include "csflow.h"
#include "resize.h"
#include "status.h"

namespace {

using csflow::fail;
using csflow::View;

constexpr std::int32_t kMaxSide = 65535;

void require(const void *pointer, const char *name) {
    if (pointer == nullptr) {
        fail(CSFLOW_INVALID_ARGUMENT, "%s is NULL: pass a valid pointer", name);
    }
}

void require_size(std::uint32_t given, std::size_t least, const char *name) {
    if (given < least) {
        fail(CSFLOW_INVALID_ARGUMENT, "%s.struct_size is %u, at least %zu expected: start from its _INIT", name, given,
             least);
    }
}

bool in_range(std::int32_t value, std::int32_t least, std::int32_t most) { return value >= least && value <= most; }

bool whole_picture(const csflow_preprocessing &how) { return how.roi_width == 0 && how.roi_height == 0; }

/// A region of interest in pixels.
struct Box {
    std::int32_t x, y, width, height;
};

Box box_in(const csflow_preprocessing &how, std::int32_t width, std::int32_t height, csflow_status status) {
    if (whole_picture(how)) {
        return {0, 0, width, height};
    }
    // 64 bits: each number is up to 65535, but nothing here should depend on that.
    if (std::int64_t{how.roi_x} + how.roi_width > width || std::int64_t{how.roi_y} + how.roi_height > height) {
        fail(status, "region of interest x=%d y=%d %dx%d leaves the picture of %dx%d pixels: set the camera to the "
                     "format the bundle was made for", how.roi_x, how.roi_y, how.roi_width, how.roi_height, width,
             height);
    }
    return {how.roi_x, how.roi_y, how.roi_width, how.roi_height};
}

const csflow_preprocessing &checked(const csflow_preprocessing &how) {
    require_size(how.struct_size, sizeof how, "csflow_preprocessing");
    if (!in_range(how.image_size, 32, 8192) || how.image_size % 32 != 0) {
        fail(CSFLOW_CONFIG_ERROR, "image_size is %d: a multiple of 32 from 32 to 8192 expected", how.image_size);
    }
    const bool empty = whole_picture(how) && how.roi_x == 0 && how.roi_y == 0;
    const bool region = in_range(how.roi_x, 0, kMaxSide) && in_range(how.roi_y, 0, kMaxSide) &&
                        in_range(how.roi_width, 1, kMaxSide) && in_range(how.roi_height, 1, kMaxSide);
    if (!empty && !region) {
        fail(CSFLOW_CONFIG_ERROR, "region of interest x=%d y=%d %dx%d: x, y >= 0 and width, height >= 1 expected, or "
                                  "all 0 for the whole picture", how.roi_x, how.roi_y, how.roi_width, how.roi_height);
    }
    return how;
}

Box largest_box(const csflow_preprocessing &how, std::int32_t max_width, std::int32_t max_height) {
    if (!in_range(max_width, 1, kMaxSide) || !in_range(max_height, 1, kMaxSide)) {
        fail(CSFLOW_CONFIG_ERROR, "largest picture is %dx%d: 1 to %d pixels a side expected", max_width, max_height,
             kMaxSide);
    }
    return box_in(how, max_width, max_height, CSFLOW_CONFIG_ERROR);
}

View view_of(const csflow_image &image) {
    const auto view = [&image](std::int32_t pixel_bytes, std::int32_t channels, std::int32_t red, std::int32_t blue) {
        return View{image.data, image.row_stride, image.width, image.height, pixel_bytes, channels, red,
                    channels == 1 ? 0 : 1, blue};
    };
    switch (image.format) {
    case CSFLOW_FORMAT_RGB8: return view(3, 3, 0, 2);
    case CSFLOW_FORMAT_BGR8: return view(3, 3, 2, 0);
    case CSFLOW_FORMAT_GRAY8: return view(1, 1, 0, 0);
    case CSFLOW_FORMAT_BGRX8: return view(4, 3, 2, 0);
    default: fail(CSFLOW_INVALID_ARGUMENT, "image format is %d: one of CSFLOW_FORMAT_... expected", image.format);
    }
}

View checked_view(const csflow_image &image) {
    require_size(image.struct_size, sizeof image, "csflow_image");
    require(image.data, "image->data");
    if (!in_range(image.width, 1, kMaxSide) || !in_range(image.height, 1, kMaxSide)) {
        fail(CSFLOW_INVALID_ARGUMENT, "image is %dx%d: 1 to %d pixels a side expected", image.width, image.height,
             kMaxSide);
    }
    const View view = view_of(image);
    const std::int64_t row_bytes = std::int64_t{image.width} * view.pixel_bytes;
    constexpr std::int64_t kMaxStride = std::int64_t{1} << 40;
    if (image.row_stride > -row_bytes && image.row_stride < row_bytes) {
        fail(CSFLOW_INVALID_ARGUMENT, "row_stride is %lld bytes: at least %lld expected for this width and format",
             static_cast<long long>(image.row_stride), static_cast<long long>(row_bytes));
    }
    if (image.row_stride > kMaxStride || image.row_stride < -kMaxStride) {
        fail(CSFLOW_INVALID_ARGUMENT, "row_stride is %lld bytes: no picture is that wide",
             static_cast<long long>(image.row_stride));
    }
    return view;
}

View cropped(View view, const Box &box) noexcept {
    view.data += box.y * view.row_stride + static_cast<std::ptrdiff_t>(box.x) * view.pixel_bytes;
    view.width = box.width;
    view.height = box.height;
    return view;
}

} // namespace

struct csflow_preprocessor {
    csflow_preprocessor(const csflow_preprocessing &preprocessing, const Box &largest, std::int32_t width,
                        std::int32_t height)
        : how(preprocessing), max_width(width), max_height(height),
          resizer(preprocessing.image_size, largest.width, largest.height) {}

    void run(const csflow_image &image, std::uint8_t *out, std::size_t out_bytes) {
        const View view = checked_view(image);
        if (view.width > max_width || view.height > max_height) {
            fail(CSFLOW_SOURCE_ERROR, "picture of %dx%d pixels, at most %dx%d were announced: open again for larger "
                                      "ones", view.width, view.height, max_width, max_height);
        }
        const Box box = box_in(how, view.width, view.height, CSFLOW_SOURCE_ERROR);
        const auto side = static_cast<std::size_t>(how.image_size);
        if (out_bytes < side * side * 3) {
            fail(CSFLOW_INVALID_ARGUMENT, "out has %zu bytes, %zu are written: pass a larger buffer", out_bytes,
                 side * side * 3);
        }
        resizer.resize(cropped(view, box), out);
    }

    const csflow_preprocessing how;
    const std::int32_t max_width, max_height;
    csflow::Resizer resizer;
};

extern "C" {

csflow_status csflow_preprocessor_open(csflow_preprocessor **out, const csflow_preprocessing *how, int32_t max_width,
                                       int32_t max_height) {
    return csflow::guarded([&] {
        require(out, "out");
        require(how, "how");
        const csflow_preprocessing &valid = checked(*how);
        const Box largest = largest_box(valid, max_width, max_height);
        *out = new csflow_preprocessor(valid, largest, max_width, max_height);
    });
}

csflow_status csflow_preprocess(csflow_preprocessor *handle, const csflow_image *image, uint8_t *out,
                                size_t out_bytes) {
    return csflow::guarded([&] {
        require(handle, "handle");
        require(image, "image");
        require(out, "out");
        handle->run(*image, out, out_bytes);
    });
}

void csflow_preprocessor_close(csflow_preprocessor *handle) { delete handle; }

} // extern "C"
