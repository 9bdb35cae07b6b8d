// One gain for all channels of a picture, by its median. The twin of csflow.runtime.picture.exposure.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace csflow {

/// Samples are counted, `set` finds the gain, `apply` multiplies by it. No allocation.
class Exposure {
public:
    /// Forgets the picture before.
    void begin() noexcept { counts_ = {}; }

    void add(const std::uint8_t *rgb, std::size_t pixels) noexcept;

    /// The median of what was added becomes `level`, 1 to 254; the gain is at most 16.
    void set(std::int32_t level) noexcept;

    void apply(std::uint8_t *rgb, std::size_t pixels) const noexcept;

private:
    std::int32_t median() const noexcept;

    // One for each channel: grey would have each count wait for the one before. 65,535 squared fits 32 bits.
    std::array<std::array<std::uint32_t, 256>, 3> counts_{};
    std::array<std::uint8_t, 256> table_{};
};

} // namespace csflow
