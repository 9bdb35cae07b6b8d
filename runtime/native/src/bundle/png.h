// PNG, as csflow writes it: 8 bits, RGB, not interlaced. Decoded by stb_image.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace csflow {

/// Give `out` the side * side * 3 bytes of RGB. False when it is not such a picture of that size: then no more memory
/// is taken than such a picture needs, whatever its header or its compressed rows claim.
bool decode_png(const std::string &file, std::int32_t side, std::vector<std::uint8_t> &out);

} // namespace csflow
