#include "picture/tiles.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

namespace csflow {
namespace {

constexpr std::int64_t kMaxTiles = 16384;
constexpr std::int64_t kMaxCells = 1 << 24;

std::int32_t count_of(std::int32_t length, const Tiles &tiles) noexcept {
    const std::int32_t step = tiles.side - tiles.overlap;
    return (length - tiles.side + step - 1) / step + 1;
}

std::int32_t offset(std::int32_t index, std::int32_t length, const Tiles &tiles) noexcept {
    return std::min(index * (tiles.side - tiles.overlap), length - tiles.side);
}

std::int64_t cells(std::int64_t length, std::int32_t of_tile, std::int32_t side) noexcept {
    return (length * of_tile + side - 1) / side;
}

/// The values of an axis whose middles lie in a tile, one after the other, and which of the tile's own each is in.
struct Places {
    std::int64_t length, begin, side, of_tile, of_all;

    std::int64_t first() const noexcept {
        const std::int64_t j = of_all * begin / length; // the value that the tile begins in
        return middle(j) < 0 ? j + 1 : j;
    }
    std::int64_t middle(std::int64_t j) const noexcept { return (2 * j + 1) * length - 2 * of_all * begin; }
    bool inside(std::int64_t j) const noexcept { return j < of_all && middle(j) < 2 * of_all * side; }
    std::int64_t own(std::int64_t j) const noexcept { return middle(j) * of_tile / (2 * of_all * side); }
};

bool within(std::int32_t begin, std::int32_t other, std::int32_t side, std::int32_t part) noexcept {
    return part * std::abs(std::int64_t{begin} - other) <= side;
}

// What is not a number stays it, whatever lies beside it.
float larger(float one, float other) noexcept { return std::isnan(one) || one >= other ? one : other; }

} // namespace

TileGrid::TileGrid(const Tiles &tiles, const Roi &region) : tiles_(tiles), region_(region) {
    if (std::min(region.width, region.height) < tiles.side) {
        fail(CSFLOW_SOURCE_ERROR, "%dx%d pixels are smaller than a tile of %d: the model was made for larger pictures",
             region.width, region.height, tiles.side);
    }
    across_ = count_of(region.width, tiles);
    down_ = count_of(region.height, tiles);
    const std::int64_t found = std::int64_t{across_} * down_;
    if (found > kMaxTiles) {
        fail(CSFLOW_SOURCE_ERROR, "%dx%d pixels are %lld tiles of %d, %lld are taken: cut the picture, or train with a "
                                  "larger --tile", region.width, region.height, static_cast<long long>(found),
             tiles.side, static_cast<long long>(kMaxTiles));
    }
}

Roi TileGrid::box(std::int32_t index) const noexcept {
    return {region_.x + offset(index % across_, region_.width, tiles_),
            region_.y + offset(index / across_, region_.height, tiles_), tiles_.side, tiles_.side};
}

Roi TileGrid::centred(const Roi &box, std::int32_t value, const Map &of_tile) const noexcept {
    const auto along = [this](std::int32_t begin, std::int32_t at, std::int32_t values, std::int32_t length) {
        const std::int64_t middle = begin + (2 * std::int64_t{at} + 1) * tiles_.side / (2 * std::int64_t{values});
        const std::int64_t last = length - tiles_.side;
        return static_cast<std::int32_t>(std::clamp<std::int64_t>(middle - tiles_.side / 2, 0, last));
    };
    const std::int32_t x = along(box.x - region_.x, value % of_tile.width, of_tile.width, region_.width);
    const std::int32_t y = along(box.y - region_.y, value / of_tile.width, of_tile.height, region_.height);
    return {region_.x + x, region_.y + y, tiles_.side, tiles_.side};
}

bool TileGrid::has_near(const Roi &box, std::int32_t part) const noexcept {
    const auto along = [this, part](std::int32_t begin, std::int32_t length, std::int32_t count) {
        bool found = false;
        for (std::int32_t i = 0; i < count && !found; ++i) {
            found = within(begin, offset(i, length, tiles_), tiles_.side, part);
        }
        return found;
    };
    return along(box.x - region_.x, region_.width, across_) && along(box.y - region_.y, region_.height, down_);
}

bool near(const Roi &one, const Roi &other, std::int32_t part) noexcept {
    return within(one.x, other.x, one.width, part) && within(one.y, other.y, one.height, part);
}

void Highest::add(float score, const Roi &box, const Map &of_tile) noexcept {
    std::int32_t at = count_;
    while (at > 0 && score > seen_[at - 1].score) {
        --at;
    }
    if (at == most_) {
        return;
    }
    count_ = std::min(count_ + 1, most_);
    std::move_backward(seen_ + at, seen_ + count_ - 1, seen_ + count_);
    const float *end = of_tile.values + of_tile.size();
    seen_[at] = {score, box, static_cast<std::int32_t>(std::max_element(of_tile.values, end) - of_tile.values)};
}

std::int32_t Highest::looks(const TileGrid &grid, const Map &of_tile, Roi *looks) const noexcept {
    std::int32_t found = 0;
    for (std::int32_t i = 0; i < count_; ++i) {
        const Roi box = grid.centred(seen_[i].box, seen_[i].peak, of_tile);
        const bool known = std::any_of(looks, looks + found, [&](const Roi &look) { return near(box, look, near_); });
        if (!known && !grid.has_near(box, near_)) {
            looks[found++] = box;
        }
    }
    return found;
}

Stitched::Stitched(const Tiles &tiles, std::int32_t width, std::int32_t height, const Map &of_tile) {
    if (tiles.side > 0) {
        const std::int64_t most = cells(width, of_tile.width, tiles.side) * cells(height, of_tile.height, tiles.side);
        values_.resize(static_cast<std::size_t>(std::min(most, kMaxCells)));
    }
}

void Stitched::begin(const TileGrid &grid, const Map &of_tile) {
    const Roi &region = grid.region();
    const std::int64_t width = cells(region.width, of_tile.width, grid.side());
    const std::int64_t height = cells(region.height, of_tile.height, grid.side());
    if (width * height > kMaxCells) {
        fail(CSFLOW_SOURCE_ERROR, "the map of %dx%d pixels would have %lldx%lld values, %lld are taken: cut the picture, "
                                  "or train with a larger --tile", region.width, region.height,
             static_cast<long long>(width), static_cast<long long>(height), static_cast<long long>(kMaxCells));
    }
    grid_ = grid;
    width_ = static_cast<std::int32_t>(width);
    height_ = static_cast<std::int32_t>(height);
    std::fill_n(values_.begin(), width * height, 0.0F);
}

void Stitched::add(const Roi &box, const Map &of_tile) noexcept {
    const Roi &region = grid_.region();
    const Places columns{region.width, box.x - region.x, box.width, of_tile.width, width_};
    const Places rows{region.height, box.y - region.y, box.height, of_tile.height, height_};
    for (std::int64_t y = rows.first(); rows.inside(y); ++y) {
        const float *from = of_tile.values + rows.own(y) * of_tile.width;
        float *to = values_.data() + y * width_;
        for (std::int64_t x = columns.first(); columns.inside(x); ++x) {
            to[x] = larger(to[x], from[columns.own(x)]);
        }
    }
}

} // namespace csflow
