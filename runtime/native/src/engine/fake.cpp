// A backend without a model, the same as csflow.runtime.engines.fake: score and map follow from the pixels.
#include "engine/engine.h"

namespace csflow {
namespace {

constexpr std::int32_t kCell = 32;

class Fake final : public Engine {
public:
    explicit Fake(std::int32_t size)
        : size_(size), cells_(size / kCell), input_(squared(size) * 3), map_(squared(cells_)) {}

    const char *name() const noexcept override { return "fake"; }
    std::uint8_t *input() noexcept override { return input_.data(); }
    Map map() const noexcept override { return {map_.data(), cells_, cells_}; }

    float infer() override {
        std::uint64_t total = 0;
        for (std::int32_t row = 0; row < cells_; ++row) {
            for (std::int32_t column = 0; column < cells_; ++column) {
                const std::uint64_t sum = cell_sum(row, column);
                const auto at = static_cast<std::size_t>(row) * static_cast<std::size_t>(cells_);
                map_[at + static_cast<std::size_t>(column)] = mean(sum, squared(kCell));
                total += sum;
            }
        }
        return mean(total, squared(size_));
    }

private:
    static std::size_t squared(std::int32_t side) noexcept {
        return static_cast<std::size_t>(side) * static_cast<std::size_t>(side);
    }

    static float mean(std::uint64_t sum, std::size_t pixels) noexcept {
        return static_cast<float>(static_cast<double>(sum) / static_cast<double>(pixels * 3 * 255));
    }

    std::uint64_t cell_sum(std::int32_t row, std::int32_t column) const noexcept {
        std::uint64_t sum = 0;
        for (std::int32_t y = 0; y < kCell; ++y) {
            const auto line = static_cast<std::size_t>(row * kCell + y) * static_cast<std::size_t>(size_);
            const std::uint8_t *pixel = &input_[(line + static_cast<std::size_t>(column * kCell)) * 3];
            for (std::int32_t i = 0; i < kCell * 3; ++i) {
                sum += pixel[i];
            }
        }
        return sum;
    }

    std::int32_t size_, cells_;
    std::vector<std::uint8_t> input_;
    std::vector<float> map_;
};

} // namespace

std::unique_ptr<Engine> open_fake(const Bundle &bundle) {
    return std::make_unique<Fake>(bundle.manifest().image_size);
}

} // namespace csflow
