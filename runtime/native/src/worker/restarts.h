// How often a worker may be started again.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace csflow {

/// At most three in any ten minutes: what dies more often needs a person.
class Restarts {
public:
    static constexpr std::size_t kMost = 3;
    static constexpr std::int64_t kWindowNs = 600'000'000'000;

    /// Whether one more is allowed at `now_ns`; it counts then.
    bool take(std::int64_t now_ns) noexcept {
        std::int64_t &oldest = taken_[count_ % kMost];
        if (count_ >= kMost && now_ns - oldest < kWindowNs) {
            return false;
        }
        oldest = now_ns;
        ++count_;
        return true;
    }

private:
    std::array<std::int64_t, kMost> taken_{};
    std::size_t count_ = 0;
};

} // namespace csflow
