// Large pictures in tiles: where they lie, and how their maps become one. The twin of csflow.runtime.bundle.tiles.
#pragma once

#include "bundle/bundle.h"
#include "engine/engine.h"

#include <vector>

namespace csflow {

/// Side of the square tiles and how far neighbours overlap, in pixels; side 0: the picture is one piece.
struct Tiles {
    std::int32_t side = 0, overlap = 0;
};

/// The tiles of one picture, row by row.
class TileGrid {
public:
    TileGrid() = default;
    /// SOURCE_ERROR: the region is smaller than a tile, or holds too many.
    TileGrid(const Tiles &tiles, const Roi &region);

    std::int32_t side() const noexcept { return tiles_.side; }
    const Roi &region() const noexcept { return region_; }
    std::int32_t size() const noexcept { return across_ * down_; }
    /// In pixels of the picture.
    Roi box(std::int32_t index) const noexcept;

private:
    Tiles tiles_;
    Roi region_{};
    std::int32_t across_ = 0, down_ = 0;
};

/// The map of a picture: at each value's middle the largest that a tile has there. No allocation once it is made.
class Stitched {
public:
    /// For regions of up to width x height pixels, cut into these tiles, with maps like `of_tile`.
    Stitched(const Tiles &tiles, std::int32_t width, std::int32_t height, const Map &of_tile);

    /// Begin a picture. SOURCE_ERROR: its map would have too many values.
    void begin(const TileGrid &grid, const Map &of_tile);
    void add(std::int32_t index, const Map &of_tile) noexcept;
    Map map() const noexcept { return {values_.data(), width_, height_}; }

private:
    TileGrid grid_;
    std::vector<float> values_;
    std::int32_t width_ = 0, height_ = 0;
};

} // namespace csflow
