// Registration of a picture on the bundle's reference: the twin of csflow.runtime.picture.align, to the last bit.
#pragma once

#include "bundle/manifest.h"
#include "engine/engine.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace csflow {

/// Where the part of a picture lies: shift in 1/2048 of the side, turn in 1/64 degree.
struct Pose {
    std::int32_t x = 0, y = 0, turn = 0;
};

/// Finds poses in pictures of one size and moves them. Only the first map of a size allocates.
class Aligner {
public:
    /// `reference` is that of a bundle that aligns; `side`: of the model's input.
    Aligner(const Alignment &how, std::int32_t side);

    /// Moves a picture of side * side * 3 bytes onto the reference, in place. `width`, `height`: of what was squeezed
    /// into it. PART_NOT_FOUND where nothing in it correlates with the reference.
    void align(std::uint8_t *picture, std::int32_t width, std::int32_t height);

    /// The map of that picture as it lay before; it lives until the next. INFERENCE_ERROR where it is no square.
    Map moved_back(const Map &map);

private:
    struct Best {
        Pose pose;
        double correlation;
    };
    struct Level {
        std::int32_t side = 0;
        std::vector<std::int32_t> picture, reference;
    };

    void halve() noexcept;
    void read_grey(const std::uint8_t *picture) noexcept;
    Best found() const noexcept;
    Best climbed(const Level &level, Best from, const Pose &steps) const noexcept;
    Pose between(const Pose &pose, const Pose &steps) const noexcept;
    double correlation(const Level &level, const Pose &pose) const noexcept;
    void keep_coarse(std::array<Best, 4> &best) const noexcept;
    void move(std::uint8_t *picture) noexcept;

    const bool turns_;
    const std::int32_t floor_, side_;
    std::array<Level, 3> levels_; // coarse to fine
    std::vector<std::uint8_t> before_;
    std::vector<float> map_;
    std::int32_t width_ = 1, height_ = 1;
    Pose pose_;
};

} // namespace csflow
