#include "picture/align.h"
#include "status.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace csflow {
namespace {

constexpr double kPi = 3.141592653589793;
constexpr std::int64_t kOne = 65536;
constexpr std::int32_t kShifts = 2048, kTurns = 64;
constexpr std::int32_t kReach = 3;        // pixels of the coarsest pictures
constexpr std::int32_t kFarthest = 12, kTurnStep = 3; // degrees
constexpr std::int32_t kRounds = 6, kLeastShare = 2;
constexpr std::int32_t kSides[] = {16, 32, kReferenceSide};

struct Fine {
    std::size_t level;
    std::int32_t shift, turn;
};
constexpr Fine kFine[] = {{1, kShifts / 32, 96}, {2, kShifts / 64, 48}, {2, kShifts / 128, 24}};

std::size_t as_size(std::int64_t value) noexcept { return static_cast<std::size_t>(value); }

struct Matrix {
    std::int64_t cosine, left, down; // in 2^-16; what is squeezed turns as it was
};

Matrix matrix_of(std::int32_t turn, std::int32_t width, std::int32_t height) noexcept {
    const double angle = turn * kPi / (180.0 * kTurns);
    const double sine = std::sin(angle) * static_cast<double>(kOne);
    const auto whole = [](double value) { return static_cast<std::int64_t>(std::floor(value + 0.5)); };
    return {whole(std::cos(angle) * static_cast<double>(kOne)), whole(sine * height / width),
            whole(sine * width / height)};
}

std::int64_t pixels(std::int32_t shift, std::int32_t side) noexcept {
    return std::int64_t{shift} * side * (kOne / kShifts);
}

/// Four neighbours in a square of `side` values, and their weights of 2^16 together.
struct Corners {
    std::size_t upper_left, upper_right, lower_left, lower_right;
    std::int32_t weights[4];

    /// x, y: in 2^-17 pixels; edges go on outside.
    Corners(std::int64_t x, std::int64_t y, std::int32_t side) noexcept {
        const std::int64_t last = std::int64_t{side} - 1;
        x = std::clamp<std::int64_t>(x, 0, last << 17);
        y = std::clamp<std::int64_t>(y, 0, last << 17);
        const std::int64_t column = x >> 17, row = y >> 17;
        const std::int64_t next_column = std::min(column + 1, last), next_row = std::min(row + 1, last);
        const auto right = static_cast<std::int32_t>((x >> 9) & 255), low = static_cast<std::int32_t>((y >> 9) & 255);
        upper_left = as_size(row * side + column);
        upper_right = as_size(row * side + next_column);
        lower_left = as_size(next_row * side + column);
        lower_right = as_size(next_row * side + next_column);
        weights[0] = (256 - low) * (256 - right);
        weights[1] = (256 - low) * right;
        weights[2] = low * (256 - right);
        weights[3] = low * right;
    }
};

} // namespace

Aligner::Aligner(const Alignment &how, std::int32_t side)
    : turns_(how.turns), floor_(how.floor), side_(side), before_(as_size(std::int64_t{side} * side * 3)) {
    for (std::size_t i = 0; i < levels_.size(); ++i) {
        Level &level = levels_[i];
        level.side = kSides[i];
        level.picture.resize(as_size(level.side * level.side));
        level.reference.resize(level.picture.size());
    }
    std::copy(how.reference.begin(), how.reference.end(), levels_[2].picture.begin());
    halve();
    for (Level &level : levels_) {
        level.reference = level.picture;
    }
}

void Aligner::halve() noexcept {
    const std::vector<std::int32_t> &grey = levels_[2].picture;
    for (std::size_t i = 0; i < 2; ++i) {
        Level &level = levels_[i];
        const std::int32_t block = kReferenceSide / level.side;
        for (std::int32_t y = 0; y < level.side; ++y) {
            for (std::int32_t x = 0; x < level.side; ++x) {
                std::int32_t sum = block * block / 2;
                for (std::int32_t k = 0; k < block * block; ++k) {
                    sum += grey[as_size((y * block + k / block) * kReferenceSide + x * block + k % block)];
                }
                level.picture[as_size(y * level.side + x)] = sum / (block * block);
            }
        }
    }
}

void Aligner::read_grey(const std::uint8_t *picture) noexcept {
    const auto edge = [this](std::int32_t i) { return i * side_ / kReferenceSide; };
    for (std::int32_t row = 0; row < kReferenceSide; ++row) {
        for (std::int32_t column = 0; column < kReferenceSide; ++column) {
            std::int64_t sum = 0;
            for (std::int32_t y = edge(row); y < edge(row + 1); ++y) {
                const std::uint8_t *pixel = picture + as_size((std::int64_t{y} * side_ + edge(column)) * 3);
                for (std::int32_t x = edge(column); x < edge(column + 1); ++x, pixel += 3) {
                    sum += 77 * pixel[0] + 150 * pixel[1] + 29 * pixel[2];
                }
            }
            const std::int64_t count =
                std::int64_t{256} * (edge(row + 1) - edge(row)) * (edge(column + 1) - edge(column));
            levels_[2].picture[as_size(row * kReferenceSide + column)] =
                static_cast<std::int32_t>((sum + count / 2) / count);
        }
    }
    halve();
}

double Aligner::correlation(const Level &level, const Pose &pose) const noexcept {
    const std::int32_t side = level.side;
    const Matrix m = matrix_of(pose.turn, width_, height_);
    const std::int64_t middle = (std::int64_t{side} - 1) * kOne, last = (std::int64_t{side} - 1) << 17;
    const std::int64_t shift_x = middle + 2 * pixels(pose.x, side), shift_y = middle + 2 * pixels(pose.y, side);
    std::int64_t n = 0, sum_a = 0, sum_b = 0, a_a = 0, b_b = 0, a_b = 0;
    for (std::int32_t i = 0; i < side; ++i) {
        const std::int64_t v = 2 * i - (side - 1);
        for (std::int32_t k = 0; k < side; ++k) {
            const std::int64_t u = 2 * k - (side - 1);
            const std::int64_t x = m.cosine * u - m.left * v + shift_x, y = m.down * u + m.cosine * v + shift_y;
            if (x < 0 || x > last || y < 0 || y > last) {
                continue;
            }
            const Corners c(x, y, side);
            const std::vector<std::int32_t> &p = level.picture;
            const std::int32_t blended = c.weights[0] * p[c.upper_left] + c.weights[1] * p[c.upper_right] +
                                         c.weights[2] * p[c.lower_left] + c.weights[3] * p[c.lower_right];
            const std::int64_t a = (blended + kOne / 2) >> 16, b = level.reference[as_size(i * side + k)];
            ++n;
            sum_a += a;
            sum_b += b;
            a_a += a * a;
            b_b += b * b;
            a_b += a * b;
        }
    }
    const std::int64_t spread_a = n * a_a - sum_a * sum_a, spread_b = n * b_b - sum_b * sum_b;
    if (spread_a <= 0 || spread_b <= 0 || kLeastShare * n < std::int64_t{side} * side) {
        return -1.0;
    }
    return static_cast<double>(n * a_b - sum_a * sum_b) /
           std::sqrt(static_cast<double>(spread_a) * static_cast<double>(spread_b));
}

void Aligner::keep_coarse(std::array<Best, 4> &best) const noexcept {
    best.fill({{}, -2.0});
    constexpr std::int32_t unit = kShifts / kSides[0];
    const std::int32_t farthest = turns_ ? kFarthest * kTurns : 0;
    for (std::int32_t turn = -farthest; turn <= farthest; turn += kTurnStep * kTurns) {
        for (std::int32_t y = -kReach; y <= kReach; ++y) {
            for (std::int32_t x = -kReach; x <= kReach; ++x) {
                const Pose pose{x * unit, y * unit, turn};
                const Best one{pose, correlation(levels_[0], pose)};
                // Of equal ones the first stays ahead.
                const auto place = std::find_if(best.begin(), best.end(), [&](const Best &other) {
                    return other.correlation < one.correlation;
                });
                if (place != best.end()) {
                    std::move_backward(place, best.end() - 1, best.end());
                    *place = one;
                }
            }
        }
    }
}

Aligner::Best Aligner::climbed(const Level &level, Best from, const Pose &steps) const noexcept {
    for (std::int32_t round = 0; round < kRounds; ++round) {
        const Pose near[] = {from.pose,
                             {from.pose.x - steps.x, from.pose.y, from.pose.turn},
                             {from.pose.x + steps.x, from.pose.y, from.pose.turn},
                             {from.pose.x, from.pose.y - steps.y, from.pose.turn},
                             {from.pose.x, from.pose.y + steps.y, from.pose.turn},
                             {from.pose.x, from.pose.y, from.pose.turn - steps.turn},
                             {from.pose.x, from.pose.y, from.pose.turn + steps.turn}};
        Best best{near[0], correlation(level, near[0])};
        bool moved = false;
        for (std::size_t i = 1; i < 7; ++i) {
            const double value = correlation(level, near[i]);
            if (value > best.correlation) {
                best = {near[i], value};
                moved = true;
            }
        }
        from = best;
        if (!moved) {
            break;
        }
    }
    return from;
}

Pose Aligner::between(const Pose &pose, const Pose &steps) const noexcept {
    const Level &level = levels_[2];
    const double middle = correlation(level, pose);
    const auto top = [middle](std::int32_t at, std::int32_t step, double before, double after) {
        const double bend = before - 2.0 * middle + after;
        const double offset = bend < 0.0 ? 0.5 * (before - after) / bend : 0.0;
        return at + static_cast<std::int32_t>(std::floor(step * std::min(0.5, std::max(-0.5, offset)) + 0.5));
    };
    return {top(pose.x, steps.x, correlation(level, {pose.x - steps.x, pose.y, pose.turn}),
                correlation(level, {pose.x + steps.x, pose.y, pose.turn})),
            top(pose.y, steps.y, correlation(level, {pose.x, pose.y - steps.y, pose.turn}),
                correlation(level, {pose.x, pose.y + steps.y, pose.turn})),
            top(pose.turn, steps.turn, correlation(level, {pose.x, pose.y, pose.turn - steps.turn}),
                correlation(level, {pose.x, pose.y, pose.turn + steps.turn}))};
}

Aligner::Best Aligner::found() const noexcept {
    std::array<Best, 4> best;
    keep_coarse(best);
    std::size_t kept = best.size();
    Pose steps;
    for (const Fine &fine : kFine) {
        steps = {fine.shift, fine.shift, turns_ ? fine.turn : 0};
        Best highest = climbed(levels_[fine.level], best[0], steps);
        for (std::size_t i = 1; i < kept; ++i) {
            const Best other = climbed(levels_[fine.level], best[i], steps);
            highest = other.correlation > highest.correlation ? other : highest;
        }
        best[0] = highest;
        kept = 1;
    }
    return {between(best[0].pose, steps), best[0].correlation};
}

void Aligner::align(std::uint8_t *picture, std::int32_t width, std::int32_t height) {
    width_ = width;
    height_ = height;
    read_grey(picture);
    const Best best = found();
    const double least = floor_ / 1000.0;
    if (best.correlation < least) {
        fail(CSFLOW_PART_NOT_FOUND, "the part was not found in the picture: its correlation with the model's reference "
                                  "is %.3f, at least %.3f was expected", best.correlation, least);
    }
    pose_ = best.pose;
    move(picture);
}

void Aligner::move(std::uint8_t *picture) noexcept {
    std::memcpy(before_.data(), picture, before_.size());
    const Matrix m = matrix_of(pose_.turn, width_, height_);
    const std::int64_t middle = (std::int64_t{side_} - 1) * kOne;
    const std::int64_t shift_x = middle + 2 * pixels(pose_.x, side_), shift_y = middle + 2 * pixels(pose_.y, side_);
    for (std::int32_t i = 0; i < side_; ++i) {
        const std::int64_t v = 2 * i - (side_ - 1);
        for (std::int32_t k = 0; k < side_; ++k, picture += 3) {
            const std::int64_t u = 2 * k - (side_ - 1);
            const Corners c(m.cosine * u - m.left * v + shift_x, m.down * u + m.cosine * v + shift_y, side_);
            for (std::size_t channel = 0; channel < 3; ++channel) {
                const std::uint8_t *p = before_.data() + channel;
                const std::int32_t blended = c.weights[0] * p[c.upper_left * 3] + c.weights[1] * p[c.upper_right * 3] +
                                             c.weights[2] * p[c.lower_left * 3] + c.weights[3] * p[c.lower_right * 3];
                picture[channel] = static_cast<std::uint8_t>((blended + kOne / 2) >> 16);
            }
        }
    }
}

Map Aligner::moved_back(const Map &map) {
    const std::int32_t side = map.width;
    if (map.height != side) {
        fail(CSFLOW_INFERENCE_ERROR, "a map of %dx%d cannot be moved back: report it, aligned maps are square",
             map.width, map.height);
    }
    map_.resize(map.size());
    const Matrix m = matrix_of(pose_.turn, width_, height_);
    const std::int64_t middle = (std::int64_t{side} - 1) * kOne;
    float *out = map_.data();
    for (std::int32_t i = 0; i < side; ++i) {
        const std::int64_t y = (2 * i - (side - 1)) * kOne - 2 * pixels(pose_.y, side);
        for (std::int32_t k = 0; k < side; ++k) {
            const std::int64_t x = (2 * k - (side - 1)) * kOne - 2 * pixels(pose_.x, side);
            const Corners c(((m.cosine * x + m.left * y) >> 16) + middle,
                            ((m.cosine * y - m.down * x) >> 16) + middle, side);
            const float *p = map.values;
            const auto part = [&](std::size_t corner, std::size_t at) {
                return static_cast<double>(c.weights[corner]) * static_cast<double>(p[at]);
            };
            const double blended = part(0, c.upper_left) + part(1, c.upper_right) + part(2, c.lower_left) +
                                   part(3, c.lower_right);
            *out++ = static_cast<float>(blended / static_cast<double>(kOne));
        }
    }
    return {map_.data(), side, side};
}

} // namespace csflow
