#include "picture/exposure.h"

#include <algorithm>
#include <numeric>

namespace csflow {
namespace {

constexpr std::int32_t kMaxGain = 16;

} // namespace

void Exposure::add(const std::uint8_t *rgb, std::size_t pixels) noexcept {
    for (std::size_t i = 0; i < pixels; ++i, rgb += 3) {
        ++counts_[0][rgb[0]];
        ++counts_[1][rgb[1]];
        ++counts_[2][rgb[2]];
    }
}

// The least level with half of the samples at or below it.
std::int32_t Exposure::median() const noexcept {
    const auto at = [this](std::size_t i) { return std::uint64_t{counts_[0][i]} + counts_[1][i] + counts_[2][i]; };
    const std::uint64_t all = 3 * std::accumulate(counts_[0].begin(), counts_[0].end(), std::uint64_t{0});
    std::size_t level = 0;
    for (std::uint64_t below = at(0); 2 * below < all; below += at(level)) {
        ++level;
    }
    return static_cast<std::int32_t>(level);
}

void Exposure::set(std::int32_t level) noexcept {
    const std::int32_t middle = std::max(median(), (level + kMaxGain - 1) / kMaxGain);
    for (std::int32_t sample = 0; sample < 256; ++sample) {
        const std::int32_t scaled = (2 * level * sample + middle) / (2 * middle);
        table_[static_cast<std::size_t>(sample)] = static_cast<std::uint8_t>(std::min(scaled, 255));
    }
}

void Exposure::apply(std::uint8_t *rgb, std::size_t pixels) const noexcept {
    std::transform(rgb, rgb + 3 * pixels, rgb, [this](std::uint8_t sample) { return table_[sample]; });
}

} // namespace csflow
