#include "bundle/png.h"

#include <climits>
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

// The compressed rows. Empty where a chunk does not fit the file: stb_image allocates what a chunk announces before it
// reads, and copies an empty first IDAT chunk to a null pointer.
std::string compressed_rows(const std::string &file) {
    constexpr std::uint64_t signature_bytes = 8;
    constexpr std::uint64_t frame_bytes = 12; // length, type, checksum
    std::string rows;
    for (std::uint64_t at = signature_bytes; at + frame_bytes <= file.size();) {
        const std::uint64_t length = big_endian(file, at);
        const std::string type = file.substr(at + 4, 4);
        if (length > file.size() - at - frame_bytes || (length == 0 && type == "IDAT")) {
            return {};
        }
        if (type == "IEND") {
            return rows;
        }
        if (type == "IDAT") {
            rows.append(file, at + 8, length);
        }
        at += length + frame_bytes;
    }
    return {};
}

// stb_image inflates as far as the data goes, which may be a thousand times its size: here it has no more room than the
// filtered rows need.
bool inflates_to(const std::string &rows, std::size_t side) {
    std::vector<char> room((side * 3 + 1) * side);
    const int size = static_cast<int>(room.size());
    return stbi_zlib_decode_buffer(room.data(), size, rows.data(), static_cast<int>(rows.size())) == size;
}

} // namespace

bool decode_png(const std::string &file, std::int32_t side, std::vector<std::uint8_t> &out) {
    const auto length = static_cast<std::size_t>(side);
    if (!is_plain_rgb(file) || big_endian(file, 16) != length || big_endian(file, 20) != length) {
        return false;
    }
    const std::string rows = compressed_rows(file);
    if (rows.empty() || !inflates_to(rows, length)) {
        return false;
    }
    int width = 0;
    int height = 0;
    int channels = 0;
    const auto *bytes = reinterpret_cast<const stbi_uc *>(file.data());
    const std::unique_ptr<stbi_uc, decltype(&stbi_image_free)> pixels(
        stbi_load_from_memory(bytes, static_cast<int>(file.size()), &width, &height, &channels, 3), &stbi_image_free);
    if (pixels == nullptr || channels != 3 || width != side || height != side) {
        return false;
    }
    out.assign(pixels.get(), pixels.get() + length * length * 3);
    return true;
}

} // namespace csflow
