// SHA-256 (FIPS 180-4). Own code, so that the library needs nothing but the C++ runtime; tested with NIST's vectors.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

namespace csflow {

/// The hash of `size` bytes as 64 hexadecimal digits in lower case.
std::string sha256_hex(const void *data, std::size_t size);

} // namespace csflow
