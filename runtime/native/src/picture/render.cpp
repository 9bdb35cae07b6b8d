#include "picture/render.h"

#include <algorithm>
#include <cmath>

namespace csflow {
namespace {

/// The inputs of one output value along one axis.
struct Taps {
    std::int32_t first, count;
    double centre, inverse, total;

    Taps(std::int32_t i, std::int32_t length, std::int32_t size) noexcept {
        const double scale = static_cast<double>(length) / size;
        const double support = std::max(scale, 1.0);
        centre = (i + 0.5) * scale;
        inverse = 1.0 / support;
        first = std::max(static_cast<std::int32_t>(centre - support + 0.5), 0);
        count = std::min(static_cast<std::int32_t>(centre + support + 0.5), length) - first;
        total = 0.0;
        for (std::int32_t k = 0; k < count; ++k) {
            total += raw(k);
        }
    }

    double raw(std::int32_t k) const noexcept {
        return std::max(1.0 - std::abs((k + first - centre + 0.5) * inverse), 0.0);
    }
    // Pillow multiplies by the inverse of the sum.
    double weight(std::int32_t k) const noexcept { return raw(k) * (1.0 / total); }
};

float along_row(const float *row, const Taps &columns) noexcept {
    double sum = 0.0;
    for (std::int32_t k = 0; k < columns.count; ++k) {
        sum += static_cast<double>(row[columns.first + k]) * columns.weight(k);
    }
    return static_cast<float>(sum);
}

float value(const Map &map, const Taps &rows, const Taps &columns) noexcept {
    double sum = 0.0;
    for (std::int32_t k = 0; k < rows.count; ++k) {
        const std::ptrdiff_t row = rows.first + k;
        sum += static_cast<double>(along_row(map.values + row * map.width, columns)) * rows.weight(k);
    }
    return static_cast<float>(sum);
}

} // namespace

void render(const Map &map, const Roi &region, float *out, std::int64_t row_stride, std::int32_t width,
            std::int32_t height) noexcept {
    auto *bytes = reinterpret_cast<std::uint8_t *>(out);
    for (std::int32_t y = 0; y < height; ++y) {
        auto *row = reinterpret_cast<float *>(bytes + y * row_stride);
        std::fill(row, row + width, 0.0F);
        if (y < region.y || y >= region.y + region.height) {
            continue;
        }
        const Taps rows(y - region.y, map.height, region.height);
        for (std::int32_t x = 0; x < region.width; ++x) {
            row[region.x + x] = value(map, rows, Taps(x, map.width, region.width));
        }
    }
}

} // namespace csflow
