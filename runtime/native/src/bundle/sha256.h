// SHA-256 (FIPS 180-4). Own code, so that the library needs nothing but the C++ runtime; tested with NIST's vectors.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

namespace csflow {

class Sha256 {
public:
    void add(const void *data, std::size_t size) noexcept;

    /// The hash of all that was added, as 64 hexadecimal digits in lower case. Nothing may be added after it.
    std::string hex();

private:
    std::array<std::uint32_t, 8> state_ = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                           0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    std::array<std::uint8_t, 64> rest_{}; // of the last block
    std::uint64_t size_ = 0;
};

/// The hash of `size` bytes.
std::string sha256_hex(const void *data, std::size_t size);

} // namespace csflow
