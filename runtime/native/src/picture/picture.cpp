#include "picture/picture.h"
#include "structs.h"

#include <algorithm>
#include <cstddef>

namespace csflow {
namespace {

constexpr std::int64_t kMaxStride = std::int64_t{1} << 40;

struct Layout {
    std::int32_t pixel_bytes, channels, red, green, blue;
};

Layout layout_of(std::int32_t format) {
    switch (format) {
    case CSFLOW_FORMAT_RGB8: return {3, 3, 0, 1, 2};
    case CSFLOW_FORMAT_BGR8: return {3, 3, 2, 1, 0};
    case CSFLOW_FORMAT_GRAY8: return {1, 1, 0, 0, 0};
    case CSFLOW_FORMAT_BGRX8: return {4, 3, 2, 1, 0};
    case CSFLOW_FORMAT_NV12: return {1, 3, 0, 1, 2};
    case CSFLOW_FORMAT_GRAY16: return {2, 3, 0, 1, 2};
    default: fail(CSFLOW_INVALID_ARGUMENT, "image format is %d: one of CSFLOW_FORMAT_... expected", format);
    }
}

bool is_side(std::int32_t value) { return value >= 1 && value <= kMaxSide; }

void check_stride(const char *name, std::int64_t stride, std::int64_t row_bytes) {
    if (stride > -row_bytes && stride < row_bytes) {
        fail(CSFLOW_INVALID_ARGUMENT, "%s is %lld bytes: at least %lld expected for this width and format", name,
             static_cast<long long>(stride), static_cast<long long>(row_bytes));
    }
    if (stride > kMaxStride || stride < -kMaxStride) {
        fail(CSFLOW_INVALID_ARGUMENT, "%s is %lld bytes: no picture is that wide", name,
             static_cast<long long>(stride));
    }
}

void add_chroma(View &view, const csflow_image &image) {
    view.chroma = image.chroma != nullptr ? image.chroma : image.data + image.height * image.row_stride;
    view.chroma_stride = image.chroma_stride != 0 ? image.chroma_stride : image.row_stride;
    if (image.width % 2 != 0 || image.height % 2 != 0) {
        fail(CSFLOW_INVALID_ARGUMENT, "NV12 picture of %dx%d pixels: even sides expected", image.width, image.height);
    }
    if (image.chroma == nullptr && image.row_stride < 0) {
        fail(CSFLOW_INVALID_ARGUMENT, "NV12 picture stored bottom-up: say where its chroma lies");
    }
    check_stride("chroma_stride", view.chroma_stride, image.width);
}

void require_inside(const Roi &box, std::int32_t width, std::int32_t height, const char *name) {
    if (box.x + box.width > width || box.y + box.height > height) {
        fail(CSFLOW_SOURCE_ERROR, "%s x=%d y=%d %dx%d leaves the picture of %dx%d pixels: set the camera to the format "
                                  "the bundle was made for", name, box.x, box.y, box.width, box.height, width, height);
    }
}

void require_depth(std::int32_t format, bool window) {
    if (format == CSFLOW_FORMAT_GRAY16 && !window) {
        fail(CSFLOW_SOURCE_ERROR, "the picture has 16 bits and the bundle no window that maps them to 8: train with "
                                  "--window LOW,HIGH, or give pictures of 8 bits");
    }
    if (format != CSFLOW_FORMAT_GRAY16 && window) {
        fail(CSFLOW_SOURCE_ERROR, "the picture has 8 bits, the bundle takes more by its window: give "
                                  "CSFLOW_FORMAT_GRAY16");
    }
}

} // namespace

std::vector<std::uint8_t> window_table(std::int32_t low, std::int32_t high) {
    std::vector<std::uint8_t> table(high > low ? 65536 : 0);
    const std::int64_t span = std::int64_t{high} - low;
    for (std::size_t level = 0; level < table.size(); ++level) {
        const std::int64_t above = std::clamp<std::int64_t>(static_cast<std::int64_t>(level) - low, 0, span);
        table[level] = static_cast<std::uint8_t>((2 * 255 * above + span) / (2 * span));
    }
    return table;
}

csflow_image taken(const csflow_image *image) {
    if (image == nullptr) {
        fail(CSFLOW_INVALID_ARGUMENT, "image is NULL: pass a valid pointer");
    }
    return taken_struct(*image, offsetof(csflow_image, chroma), "csflow_image");
}

View part_of(const View &view, const Roi &box) noexcept {
    View part = view;
    const std::ptrdiff_t right = box.x - view.x;
    part.data += (box.y - view.y) * view.row_stride + right * view.pixel_bytes;
    part.x = box.x;
    part.y = box.y;
    part.width = box.width;
    part.height = box.height;
    return part;
}

Roi region_in(const Roi &roi, std::int32_t width, std::int32_t height) {
    if (roi.width == 0) {
        return {0, 0, width, height};
    }
    require_inside(roi, width, height, "region of interest");
    return roi;
}

View checked_view(const csflow_image &image, const PictureLimits &limits) {
    if (image.data == nullptr) {
        fail(CSFLOW_INVALID_ARGUMENT, "image->data is NULL: pass a valid pointer");
    }
    if (!is_side(image.width) || !is_side(image.height)) {
        fail(CSFLOW_INVALID_ARGUMENT, "image is %dx%d: 1 to %d pixels a side expected", image.width, image.height,
             kMaxSide);
    }
    const Layout layout = layout_of(image.format);
    check_stride("row_stride", image.row_stride, std::int64_t{image.width} * layout.pixel_bytes);
    if (image.width > limits.max_width || image.height > limits.max_height) {
        fail(CSFLOW_SOURCE_ERROR, "picture of %dx%d pixels, at most %dx%d were announced: open again for larger ones",
             image.width, image.height, limits.max_width, limits.max_height);
    }
    require_depth(image.format, !limits.levels.empty());
    for (const Roi &box : limits.ignore) {
        require_inside(box, image.width, image.height, "ignored rectangle");
    }
    const bool by_rows = !limits.ignore.empty() || limits.exposure != 0;
    View view{image.data, image.row_stride, image.width, image.height, layout.pixel_bytes,
              by_rows ? 3 : layout.channels, layout.red, layout.green, layout.blue, nullptr, 0, 0, 0,
              &limits.ignore, limits.levels.empty() ? nullptr : limits.levels.data(), limits.exposure};
    if (image.format == CSFLOW_FORMAT_NV12) {
        add_chroma(view, image);
    }
    return part_of(view, region_in(limits.roi, image.width, image.height));
}

} // namespace csflow
