#include "bundle/png.h"

#include <climits>
#include <cstdint>
#include <cstring>
#include <memory>

#if defined(__GNUC__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#endif
#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_STATIC
#define STBI_ONLY_PNG
#define STBI_NO_STDIO
#define STBI_NO_FAILURE_STRINGS
#define STBI_MAX_DIMENSIONS 8192
#include <stb_image.h>
#if defined(__GNUC__)
#pragma GCC diagnostic pop
#endif

namespace csflow {
namespace {

// Signature, then IHDR: width, height, 8 bits, RGB, deflate, no filter method, not interlaced.
bool is_plain_rgb(const std::string &file) {
    static constexpr char signature[] = "\x89PNG\r\n\x1a\n\0\0\0\rIHDR";
    return file.size() > 29 && file.size() < INT_MAX && std::memcmp(file.data(), signature, 16) == 0 &&
           std::memcmp(file.data() + 24, "\x08\x02\0\0\0", 5) == 0;
}

std::uint64_t big_endian(const std::string &file, std::uint64_t at) {
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < 4; ++i) {
        value = value << 8 | static_cast<unsigned char>(file[at + i]);
    }
    return value;
}

// stb_image allocates what a chunk announces before it reads, and copies an empty first IDAT chunk to a null pointer.
bool chunks_fit(const std::string &file) {
    constexpr std::uint64_t signature_bytes = 8;
    constexpr std::uint64_t frame_bytes = 12; // length, type, checksum
    for (std::uint64_t at = signature_bytes; at + frame_bytes <= file.size();) {
        const std::uint64_t length = big_endian(file, at);
        const std::string type = file.substr(at + 4, 4);
        if (length > file.size() - at - frame_bytes || (length == 0 && type == "IDAT")) {
            return false;
        }
        if (type == "IEND") {
            return true;
        }
        at += length + frame_bytes;
    }
    return false;
}

} // namespace

bool decode_png(const std::string &file, std::int32_t side, std::uint8_t *out) {
    if (!is_plain_rgb(file) || !chunks_fit(file)) {
        return false;
    }
    int width = 0;
    int height = 0;
    int channels = 0;
    const auto *bytes = reinterpret_cast<const stbi_uc *>(file.data());
    const int size = static_cast<int>(file.size());
    // Before the pixels: a header may announce gigabytes.
    if (stbi_info_from_memory(bytes, size, &width, &height, &channels) == 0 || width != side || height != side) {
        return false;
    }
    const std::unique_ptr<stbi_uc, decltype(&stbi_image_free)> pixels(
        stbi_load_from_memory(bytes, size, &width, &height, &channels, 3), &stbi_image_free);
    if (pixels == nullptr || channels != 3) {
        return false;
    }
    std::memcpy(out, pixels.get(), static_cast<std::size_t>(side) * static_cast<std::size_t>(side) * 3);
    return true;
}

} // namespace csflow
