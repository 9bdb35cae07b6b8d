// The antialiased bilinear filter on 8-bit pixels, in the fixed-point arithmetic that Pillow defines.
#pragma once

#include "bundle/bundle.h"
#include "picture/exposure.h"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace csflow {

/// A picture that somebody else owns, already cut to what may be read.
struct View {
    const std::uint8_t *data;
    std::int64_t row_stride;       // bytes
    std::int32_t width, height;    // pixels
    std::int32_t pixel_bytes;      // distance from a pixel to the next
    std::int32_t channels;         // 1 (grey) or 3
    std::int32_t red, green, blue; // byte offsets inside a pixel
    const std::uint8_t *chroma;    // NV12: the first byte of the whole picture's U, V pairs; else null
    std::int64_t chroma_stride;    // bytes
    std::int32_t x, y;             // where `data` lies in the whole picture, in pixels
    const std::vector<Roi> *ignore; // what is painted over, in pixels of the whole picture
    const std::uint8_t *levels;     // GRAY16: what each of 65,536 levels becomes; else null
    std::int32_t exposure;          // grey level that the median becomes; 0: none
};

/// The weights of one axis: output pixel i is the weighted sum of `count[i]` inputs from `first[i]` on.
class Axis {
public:
    /// Room for an axis of up to `longest` input pixels, resized to `size` output pixels.
    Axis(std::int32_t size, std::int32_t longest);

    /// Weights for an axis of `length` <= longest pixels. No allocation.
    void prepare(std::int32_t length) noexcept;

    std::int32_t size() const noexcept { return size_; }
    std::int32_t first(std::int32_t i) const noexcept { return first_[static_cast<std::size_t>(i)]; }
    std::int32_t count(std::int32_t i) const noexcept { return count_[static_cast<std::size_t>(i)]; }
    const std::int32_t *weights(std::int32_t i) const noexcept {
        return &weights_[static_cast<std::size_t>(i) * static_cast<std::size_t>(taps_)];
    }
    /// The same weights for 16-bit multipliers: of each four, first weight / 2^11, then weight mod 2^11. The last four
    /// are filled up with zeros.
    const std::int16_t *split(std::int32_t i) const noexcept {
        return &split_[static_cast<std::size_t>(i) * static_cast<std::size_t>(taps_) * 2];
    }

private:
    void prepare_pixel(std::int32_t i, double centre, double support) noexcept;
    void prepare_split(std::int32_t i) noexcept;

    std::int32_t size_, taps_; // taps: a multiple of four
    std::int32_t length_ = 0;
    std::vector<std::int32_t> first_, count_, weights_;
    std::vector<std::int16_t> split_;
    std::vector<double> row_;
};

struct Kernels;
/// The fastest that this processor has.
const Kernels &best_kernels() noexcept;

/// Resizes pictures to size x size RGB without allocating. size: a multiple of 32.
class Resizer {
public:
    /// For pictures of up to max_width x max_height pixels.
    Resizer(std::int32_t size, std::int32_t max_width, std::int32_t max_height,
            const Kernels &kernels = best_kernels());

    /// Writes size * size * 3 bytes. `view` lies inside the maxima.
    void resize(const View &view, std::uint8_t *out) noexcept;

private:
    template <int Channels> void horizontal(const View &view) noexcept;
    void horizontal_by_rows(const View &view) noexcept;
    void measure(const View &view) noexcept;
    void vertical(std::size_t row_bytes, std::uint8_t *out) noexcept;

    const Kernels &kernels_;
    Axis columns_, rows_;
    std::vector<std::uint8_t> squeezed_; // (rows, size, channels): the result of the horizontal pass
    std::vector<std::uint8_t> rgb_;      // (longest row, 3): a row in RGB
    Exposure exposure_;
};

} // namespace csflow
