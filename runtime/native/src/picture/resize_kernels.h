// The two inner loops of the resize, in plain C++ and for wide registers. All forms give the same bytes.
#pragma once

#include "picture/resize.h"

namespace csflow {

// 8 bits of pixel and 2 bits of headroom leave 22 for the weight in a 32-bit sum.
constexpr int kPrecision = 32 - 8 - 2;
constexpr std::int32_t kHalf = 1 << (kPrecision - 1);
// Where `Axis::split` cuts a weight: both parts of up to 2^22 fit in 16 bits with a sign.
constexpr int kSplit = 11;

struct Kernels {
    const char *name;
    /// The first pixels of a row of three channels through the horizontal pass, as long as no byte beyond the row's
    /// pixels has to be read. Returns how many; 3 bytes each.
    std::int32_t (*squeeze)(const std::uint8_t *row, const View &view, const Axis &columns, std::uint8_t *out);
    /// One row of the vertical pass: the weighted sum of `count` rows of `bytes` (a multiple of 32) each.
    void (*blend)(const std::uint8_t *rows, std::size_t bytes, const std::int32_t *weights, std::int32_t count,
                  std::uint8_t *out);
};

/// From the plainest to the fastest; the plain form is always there.
std::vector<Kernels> kernels_of_this_processor();

} // namespace csflow
