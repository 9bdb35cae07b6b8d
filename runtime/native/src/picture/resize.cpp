#include "picture/resize_kernels.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace csflow {
namespace {

// The mean colour of ImageNet.
constexpr std::uint8_t kIgnoredRgb[3] = {124, 116, 104};

std::uint8_t to_byte(std::int32_t sum) noexcept {
    return static_cast<std::uint8_t>(std::min(sum >> kPrecision, 255));
}

std::size_t as_size(std::int32_t value) noexcept { return static_cast<std::size_t>(value); }

double scale_of(std::int32_t length, std::int32_t size) noexcept {
    return static_cast<double>(length) / static_cast<double>(size);
}

// A triangle of half-width `support` touches at most this many pixels.
std::int32_t taps_of(std::int32_t length, std::int32_t size) noexcept {
    return 2 * static_cast<std::int32_t>(std::ceil(std::max(scale_of(length, size), 1.0))) + 1;
}

std::int32_t in_fours(std::int32_t count) noexcept { return (count + 3) / 4 * 4; }

// One row through the horizontal pass, from output pixel i on: `Channels` bytes for each.
template <int Channels>
void squeeze_row(const std::uint8_t *row, const View &view, const Axis &columns, std::int32_t i,
                 std::uint8_t *out) noexcept {
    const std::int32_t offsets[3] = {view.red, view.green, view.blue};
    out += static_cast<std::ptrdiff_t>(i) * Channels;
    for (; i < columns.size(); ++i) {
        const std::int32_t *weight = columns.weights(i);
        const std::uint8_t *pixel = row + static_cast<std::ptrdiff_t>(columns.first(i)) * view.pixel_bytes;
        std::int32_t sum[Channels];
        std::fill(sum, sum + Channels, kHalf);
        for (std::int32_t k = 0; k < columns.count(i); ++k, pixel += view.pixel_bytes) {
            for (int c = 0; c < Channels; ++c) {
                sum[c] += pixel[offsets[c]] * weight[k];
            }
        }
        for (int c = 0; c < Channels; ++c) {
            *out++ = to_byte(sum[c]);
        }
    }
}

// BT.601, limited range, in the 20-bit fixed point of OpenCV's COLOR_YUV2RGB_NV12.
constexpr int kYuvShift = 20;
constexpr std::int32_t kY = 1220542, kUtoB = 2116026, kUtoG = -409993, kVtoG = -852492, kVtoR = 1673527;

std::uint8_t yuv_byte(std::int32_t sum) noexcept {
    return static_cast<std::uint8_t>(std::clamp(sum >> kYuvShift, 0, 255));
}

void nv12_row(const View &view, std::int32_t y, std::uint8_t *rgb) noexcept {
    const std::uint8_t *luma = view.data + y * view.row_stride;
    const std::uint8_t *chroma = view.chroma + ((y + view.y) / 2) * view.chroma_stride;
    for (std::int32_t x = 0; x < view.width; ++x, rgb += 3) {
        const std::uint8_t *uv = chroma + (x + view.x) / 2 * 2;
        const std::int32_t grey = std::max(luma[x] - 16, 0) * kY + (1 << (kYuvShift - 1));
        const std::int32_t u = uv[0] - 128;
        const std::int32_t v = uv[1] - 128;
        rgb[0] = yuv_byte(grey + kVtoR * v);
        rgb[1] = yuv_byte(grey + kVtoG * v + kUtoG * u);
        rgb[2] = yuv_byte(grey + kUtoB * u);
    }
}

void rgb_row(const View &view, std::int32_t y, std::uint8_t *rgb) noexcept {
    const std::uint8_t *pixel = view.data + y * view.row_stride;
    for (std::int32_t x = 0; x < view.width; ++x, pixel += view.pixel_bytes, rgb += 3) {
        rgb[0] = pixel[view.red];
        rgb[1] = pixel[view.green];
        rgb[2] = pixel[view.blue];
    }
}

// The caller's rows may begin at an odd address.
void windowed_row(const View &view, std::int32_t y, std::uint8_t *rgb) noexcept {
    const std::uint8_t *pixel = view.data + y * view.row_stride;
    for (std::int32_t x = 0; x < view.width; ++x, pixel += 2, rgb += 3) {
        std::uint16_t level;
        std::memcpy(&level, pixel, sizeof level);
        rgb[0] = rgb[1] = rgb[2] = view.levels[level];
    }
}

void paint_row(const View &view, std::int32_t y, std::uint8_t *rgb) noexcept {
    for (const Roi &box : *view.ignore) {
        if (y + view.y < box.y || y + view.y >= box.y + box.height) {
            continue;
        }
        const std::int32_t end = std::min(box.x + box.width - view.x, view.width);
        for (std::int32_t x = std::max(box.x - view.x, 0); x < end; ++x) {
            std::copy(kIgnoredRgb, kIgnoredRgb + 3, rgb + 3 * static_cast<std::ptrdiff_t>(x));
        }
    }
}

// Without what is painted over it.
void converted_row(const View &view, std::int32_t y, std::uint8_t *rgb) noexcept {
    if (view.levels != nullptr) {
        windowed_row(view, y, rgb);
    } else {
        view.chroma != nullptr ? nv12_row(view, y, rgb) : rgb_row(view, y, rgb);
    }
}

// From the back, so that a row can be widened in place.
void grey_to_rgb(std::uint8_t *row, std::size_t pixels) noexcept {
    for (std::size_t i = pixels; i-- > 0;) {
        const std::uint8_t grey = row[i];
        row[3 * i] = row[3 * i + 1] = row[3 * i + 2] = grey;
    }
}

} // namespace

Axis::Axis(std::int32_t size, std::int32_t longest)
    : size_(size), taps_(in_fours(taps_of(longest, size))), first_(as_size(size)), count_(as_size(size)),
      weights_(as_size(size) * as_size(taps_)), split_(2 * weights_.size()), row_(as_size(taps_)) {}

void Axis::prepare(std::int32_t length) noexcept {
    if (length == length_) {
        return;
    }
    length_ = length;
    const double scale = scale_of(length, size_);
    const double support = std::max(scale, 1.0);
    for (std::int32_t i = 0; i < size_; ++i) {
        prepare_pixel(i, (i + 0.5) * scale, support);
    }
}

void Axis::prepare_pixel(std::int32_t i, double centre, double support) noexcept {
    // Truncation towards zero after adding a half is part of the definition, negative values included.
    const std::int32_t first = std::max(static_cast<std::int32_t>(centre - support + 0.5), 0);
    const std::int32_t last = std::min(static_cast<std::int32_t>(centre + support + 0.5), length_);
    const std::int32_t count = last - first;
    const double inverse = 1.0 / support;
    double total = 0.0;
    for (std::int32_t k = 0; k < count; ++k) {
        const double weight = std::max(1.0 - std::abs((k + first - centre + 0.5) * inverse), 0.0);
        row_[as_size(k)] = weight;
        total += weight;
    }
    std::int32_t *fixed = &weights_[as_size(i) * as_size(taps_)];
    for (std::int32_t k = 0; k < count; ++k) {
        fixed[k] = static_cast<std::int32_t>(0.5 + row_[as_size(k)] / total * (1 << kPrecision));
    }
    first_[as_size(i)] = first;
    count_[as_size(i)] = count;
    prepare_split(i);
}

void Axis::prepare_split(std::int32_t i) noexcept {
    std::int16_t *split = &split_[as_size(i) * as_size(taps_) * 2];
    for (std::int32_t k = 0; k < in_fours(count(i)); ++k) {
        const std::int32_t weight = k < count(i) ? weights(i)[k] : 0;
        std::int16_t *both = split + k / 4 * 8 + k % 4;
        both[0] = static_cast<std::int16_t>(weight >> kSplit);
        both[4] = static_cast<std::int16_t>(weight & ((1 << kSplit) - 1));
    }
}

Resizer::Resizer(std::int32_t size, std::int32_t max_width, std::int32_t max_height, const Kernels &kernels)
    : kernels_(kernels), columns_(size, max_width), rows_(size, max_height), squeezed_(as_size(max_height) * as_size(size) * 3),
      rgb_(as_size(max_width) * 3) {}

void Resizer::resize(const View &view, std::uint8_t *out) noexcept {
    columns_.prepare(view.width);
    rows_.prepare(view.height);
    if (view.exposure != 0) {
        measure(view);
    }
    if (view.chroma != nullptr || view.levels != nullptr || !view.ignore->empty() || view.exposure != 0) {
        horizontal_by_rows(view);
    } else if (view.channels == 1) {
        horizontal<1>(view);
    } else {
        horizontal<3>(view);
    }
    vertical(as_size(columns_.size()) * as_size(view.channels), out);
}

template <int Channels>
void Resizer::horizontal(const View &view) noexcept {
    const std::size_t row_bytes = as_size(columns_.size()) * Channels;
    for (std::int32_t y = 0; y < view.height; ++y) {
        const std::uint8_t *row = view.data + y * view.row_stride;
        std::uint8_t *out = &squeezed_[as_size(y) * row_bytes];
        squeeze_row<Channels>(row, view, columns_, Channels == 3 ? kernels_.squeeze(row, view, columns_, out) : 0, out);
    }
}

// The caller's pixels are borrowed: a copy of each row is converted and painted.
void Resizer::horizontal_by_rows(const View &view) noexcept {
    const std::size_t row_bytes = as_size(columns_.size()) * 3;
    View rgb = view;
    rgb.pixel_bytes = 3;
    rgb.red = 0;
    rgb.green = 1;
    rgb.blue = 2;
    for (std::int32_t y = 0; y < view.height; ++y) {
        converted_row(view, y, rgb_.data());
        paint_row(view, y, rgb_.data());
        if (view.exposure != 0) {
            exposure_.apply(rgb_.data(), as_size(view.width));
        }
        std::uint8_t *out = &squeezed_[as_size(y) * row_bytes];
        squeeze_row<3>(rgb_.data(), rgb, columns_, kernels_.squeeze(rgb_.data(), rgb, columns_, out), out);
    }
}

void Resizer::measure(const View &view) noexcept {
    exposure_.begin();
    for (std::int32_t y = 0; y < view.height; ++y) {
        converted_row(view, y, rgb_.data());
        exposure_.add(rgb_.data(), as_size(view.width));
    }
    exposure_.set(view.exposure);
}

void Resizer::vertical(std::size_t row_bytes, std::uint8_t *out) noexcept {
    const std::size_t pixels = as_size(columns_.size());
    for (std::int32_t i = 0; i < rows_.size(); ++i, out += pixels * 3) {
        const std::uint8_t *rows = &squeezed_[as_size(rows_.first(i)) * row_bytes];
        kernels_.blend(rows, row_bytes, rows_.weights(i), rows_.count(i), out);
        if (row_bytes == pixels) {
            grey_to_rgb(out, pixels);
        }
    }
}

} // namespace csflow
