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
    /// A tile in whose middle a value of another's map lies, as near as the picture's edge allows.
    Roi centred(const Roi &box, std::int32_t value, const Map &of_tile) const noexcept;
    /// Whether a tile begins within this part of a side of a box.
    bool has_near(const Roi &box, std::int32_t part) const noexcept;

private:
    Tiles tiles_;
    Roi region_{};
    std::int32_t across_ = 0, down_ = 0;
};

/// Whether one box begins within this part of its side of another.
bool near(const Roi &one, const Roi &other, std::int32_t part) noexcept;

/// The tiles of a picture with the highest scores, and where their maps are highest; the highest first, of equal ones the
/// earlier. No allocation.
class Highest {
public:
    /// Of so many tiles; what lies within the `near` part of a side of a tile's middle is not looked at again.
    Highest(std::int32_t most, std::int32_t near) noexcept : most_(most), near_(near) {}

    void begin() noexcept { count_ = 0; }
    void add(float score, const Roi &box, const Map &of_tile) noexcept;
    /// Where to look again, as csflow.runtime's `TileGrid.looks`: fills `looks`, which has room for all; how many.
    std::int32_t looks(const TileGrid &grid, const Map &of_tile, Roi *looks) const noexcept;

private:
    struct Seen {
        float score;
        Roi box;
        std::int32_t peak;
    };

    std::int32_t most_, near_, count_ = 0;
    Seen seen_[kMaxLooks]{};
};

/// The map of a picture: at each value's middle the largest that a tile has there. No allocation once it is made.
class Stitched {
public:
    /// For regions of up to width x height pixels, cut into these tiles, with maps like `of_tile`.
    Stitched(const Tiles &tiles, std::int32_t width, std::int32_t height, const Map &of_tile);

    /// Begin a picture. SOURCE_ERROR: its map would have too many values.
    void begin(const TileGrid &grid, const Map &of_tile);
    void add(const Roi &box, const Map &of_tile) noexcept;
    Map map() const noexcept { return {values_.data(), width_, height_}; }

private:
    TileGrid grid_;
    std::vector<float> values_;
    std::int32_t width_ = 0, height_ = 0;
};

} // namespace csflow
