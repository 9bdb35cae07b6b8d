// PNG, as csflow writes it: 8 bits, RGB, not interlaced. Decoded by stb_image.
#pragma once

#include <cstdint>
#include <string>

namespace csflow {

/// Write side * side * 3 bytes of RGB to `out`. False when it is not such a picture of that size.
bool decode_png(const std::string &file, std::int32_t side, std::uint8_t *out);

} // namespace csflow
