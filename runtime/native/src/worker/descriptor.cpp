#include "worker/descriptor.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <poll.h>

namespace csflow {

std::array<bool, 3> readable(const std::array<int, 3> &descriptors, int limit_ms) noexcept {
    using Clock = std::chrono::steady_clock;
    const auto end = Clock::now() + std::chrono::milliseconds(limit_ms);
    pollfd polled[3];
    for (std::size_t i = 0; i < 3; ++i) {
        polled[i] = {descriptors[i], POLLIN, 0};
    }
    int left = limit_ms;
    while (poll(polled, 3, left) < 0 && errno == EINTR) {
        const auto rest = std::chrono::duration_cast<std::chrono::milliseconds>(end - Clock::now()).count();
        left = limit_ms < 0 ? -1 : static_cast<int>(std::max<std::int64_t>(rest, 0));
    }
    return {polled[0].revents != 0, polled[1].revents != 0, polled[2].revents != 0};
}

} // namespace csflow
