// File descriptors: closed at the end, waited for in spite of signals.
#pragma once

#include <array>
#include <unistd.h>

namespace csflow {

class Descriptor {
public:
    explicit Descriptor(int number) noexcept : number_(number) {}
    ~Descriptor() { close(); }
    Descriptor(const Descriptor &) = delete;
    Descriptor &operator=(const Descriptor &) = delete;

    int get() const noexcept { return number_; }
    void close() noexcept {
        if (number_ >= 0) {
            ::close(number_);
            number_ = -1;
        }
    }

private:
    int number_;
};

/// Which descriptors can be read or have ended, `limit_ms` from now at the latest; -1 is no descriptor, or no limit.
std::array<bool, 3> readable(const std::array<int, 3> &descriptors, int limit_ms) noexcept;

} // namespace csflow
