// SHA-256 (FIPS 180-4). Own code, so that the library needs nothing but the C++ runtime; tested with NIST's vectors.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

namespace csflow {

using Sha256State = std::array<std::uint32_t, 8>;

/// Takes so many blocks of 64 bytes into the state.
using Sha256Compress = void (*)(Sha256State &, const std::uint8_t *, std::size_t) noexcept;

void sha256_portable(Sha256State &state, const std::uint8_t *bytes, std::size_t blocks) noexcept;

/// By instructions of this processor (SHA-NI of x86, SHA2 of ARMv8); null where it has none.
Sha256Compress sha256_hardware() noexcept;

/// 64 round constants (FIPS 180-4, 4.2.2).
extern const std::array<std::uint32_t, 64> kSha256Rounds;

class Sha256 {
public:
    /// As fast as this processor can.
    Sha256() noexcept;
    explicit Sha256(Sha256Compress compress) noexcept : compress_(compress) {}

    void add(const void *data, std::size_t size) noexcept;

    /// The hash of all that was added, as 64 hexadecimal digits in lower case. Nothing may be added after it.
    std::string hex();

private:
    Sha256Compress compress_;
    Sha256State state_ = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                          0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    std::array<std::uint8_t, 64> rest_{}; // of the last block
    std::uint64_t size_ = 0;
};

/// The hash of `size` bytes.
std::string sha256_hex(const void *data, std::size_t size);

} // namespace csflow
