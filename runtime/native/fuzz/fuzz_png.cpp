// Any bytes as a golden picture: 32 x 32 pixels or a refusal.
#include "bundle/png.h"

extern "C" int LLVMFuzzerTestOneInput(const unsigned char *data, std::size_t size) {
    std::vector<std::uint8_t> pixels;
    csflow::decode_png(std::string(reinterpret_cast<const char *>(data), size), 32, pixels);
    return 0;
}
