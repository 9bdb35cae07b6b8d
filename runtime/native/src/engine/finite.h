// Whether numbers are numbers: what lies between two graphs must be looked at itself, because a graph may turn NaN into
// a number. OpenVINO's CPU plugin does in Clip, Relu, Exp and ReduceMax, and so does a maximum on a GPU.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace csflow {

/// Whether none of the values is infinite or NaN. Whole numbers, so that the compiler takes many at a time.
inline bool all_finite(const float *values, std::size_t count) noexcept {
    std::uint32_t seen = 0;
    for (std::size_t i = 0; i < count; ++i) {
        std::uint32_t bits = 0;
        std::memcpy(&bits, values + i, sizeof bits);
        seen |= (bits & 0x7FFFFFFFU) + 0x00800000U; // an exponent of ones carries into the sign
    }
    return seen < 0x80000000U;
}

/// The same for float16 by its bits.
inline bool all_finite(const std::uint16_t *halves, std::size_t count) noexcept {
    std::uint32_t seen = 0;
    for (std::size_t i = 0; i < count; ++i) {
        seen |= (halves[i] & 0x7FFFU) + 0x0400U;
    }
    return seen < 0x8000U;
}

} // namespace csflow
