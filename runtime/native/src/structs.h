// Structures that cross the border: each side may know fewer fields than the other.
#pragma once

#include "status.h"

#include <algorithm>
#include <cstdint>
#include <cstring>

namespace csflow {

/// The caller's structure with zeros for what it does not know; `least` bytes must be there.
template <typename T> T taken_struct(const T &given, std::size_t least, const char *name) {
    std::uint32_t size = 0;
    std::memcpy(&size, &given, sizeof size);
    if (size < least) {
        fail(CSFLOW_INVALID_ARGUMENT, "%s.struct_size is %u, at least %zu expected: set it to sizeof", name, size,
             least);
    }
    T value{};
    std::memcpy(&value, &given, std::min<std::size_t>(size, sizeof value));
    // A newer caller's option that we do not know must not be ignored.
    for (std::size_t at = sizeof value; at < std::min<std::size_t>(size, 4096); ++at) {
        if (reinterpret_cast<const unsigned char *>(&given)[at] != 0) {
            fail(CSFLOW_INVALID_ARGUMENT, "%s has a field that this libcsflow does not know: update it", name);
        }
    }
    return value;
}

/// Whether the caller's structure can be written: there, and with a struct_size.
template <typename T> bool is_writable(const T *out) noexcept {
    return out != nullptr && out->struct_size >= 2 * sizeof(std::uint32_t);
}

/// `is_writable`, or INVALID_ARGUMENT.
template <typename T> void require_writable(const T *out, const char *name) {
    if (!is_writable(out)) {
        fail(CSFLOW_INVALID_ARGUMENT, "%s is NULL, or its struct_size is not set: set it to sizeof", name);
    }
}

/// Write `value` as far as the caller knows the structure; struct_size stays.
template <typename T> void deliver(const T &value, T *out) noexcept {
    constexpr std::size_t head = sizeof out->struct_size;
    const std::size_t size = std::min<std::size_t>(out->struct_size, sizeof value);
    std::memcpy(reinterpret_cast<char *>(out) + head, reinterpret_cast<const char *>(&value) + head, size - head);
}

} // namespace csflow
