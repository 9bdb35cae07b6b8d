#include "bundle/sha256.h"

#include <algorithm>
#include <cstring>

namespace csflow {

extern const std::array<std::uint32_t, 64> kSha256Rounds = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98,
    0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786,
    0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8,
    0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13,
    0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819,
    0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a,
    0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7,
    0xc67178f2};

namespace {

using Block = std::array<std::uint32_t, 64>;

constexpr std::size_t kBlockBytes = 64;
constexpr std::size_t kLengthBytes = 8;

std::uint32_t rotated(std::uint32_t value, int bits) noexcept { return value >> bits | value << (32 - bits); }

std::uint32_t big_endian(const std::uint8_t *bytes) noexcept {
    return static_cast<std::uint32_t>(bytes[0]) << 24 | static_cast<std::uint32_t>(bytes[1]) << 16 |
           static_cast<std::uint32_t>(bytes[2]) << 8 | bytes[3];
}

Block schedule(const std::uint8_t *bytes) noexcept {
    Block w{};
    for (std::size_t t = 0; t < 16; ++t) {
        w[t] = big_endian(bytes + 4 * t);
    }
    for (std::size_t t = 16; t < 64; ++t) {
        const std::uint32_t s0 = rotated(w[t - 15], 7) ^ rotated(w[t - 15], 18) ^ w[t - 15] >> 3;
        const std::uint32_t s1 = rotated(w[t - 2], 17) ^ rotated(w[t - 2], 19) ^ w[t - 2] >> 10;
        w[t] = w[t - 16] + s0 + w[t - 7] + s1;
    }
    return w;
}

void compress_block(Sha256State &hash, const std::uint8_t *bytes) noexcept {
    const Block w = schedule(bytes);
    Sha256State s = hash; // a, b, c, d, e, f, g, h
    for (std::size_t t = 0; t < 64; ++t) {
        const std::uint32_t e = s[4];
        const std::uint32_t a = s[0];
        const std::uint32_t t1 = s[7] + (rotated(e, 6) ^ rotated(e, 11) ^ rotated(e, 25)) +
                                 ((e & s[5]) ^ (~e & s[6])) + kSha256Rounds[t] + w[t];
        const std::uint32_t t2 = (rotated(a, 2) ^ rotated(a, 13) ^ rotated(a, 22)) +
                                 ((a & s[1]) ^ (a & s[2]) ^ (s[1] & s[2]));
        s = {t1 + t2, a, s[1], s[2], s[3] + t1, e, s[5], s[6]};
    }
    for (std::size_t i = 0; i < hash.size(); ++i) {
        hash[i] += s[i];
    }
}

// What is left after the whole blocks, a one bit, zeros, and the length in bits.
void compress_end(Sha256Compress compress, Sha256State &hash, const std::uint8_t *rest, std::size_t rest_bytes,
                  std::uint64_t size) noexcept {
    std::uint8_t end[2 * kBlockBytes] = {};
    std::memcpy(end, rest, rest_bytes);
    end[rest_bytes] = 0x80;
    const std::size_t bytes = rest_bytes + 1 + kLengthBytes <= kBlockBytes ? kBlockBytes : 2 * kBlockBytes;
    for (std::size_t i = 0; i < kLengthBytes; ++i) {
        end[bytes - 1 - i] = static_cast<std::uint8_t>(size * 8 >> 8 * i);
    }
    compress(hash, end, bytes / kBlockBytes);
}

} // namespace

void sha256_portable(Sha256State &state, const std::uint8_t *bytes, std::size_t blocks) noexcept {
    for (; blocks > 0; --blocks, bytes += kBlockBytes) {
        compress_block(state, bytes);
    }
}

Sha256::Sha256() noexcept : Sha256(sha256_hardware() != nullptr ? sha256_hardware() : sha256_portable) {}

void Sha256::add(const void *data, std::size_t size) noexcept {
    if (size == 0) {
        return; // data may be null then
    }
    const auto *bytes = static_cast<const std::uint8_t *>(data);
    const std::size_t kept = size_ % kBlockBytes;
    size_ += size;
    if (kept > 0) {
        const std::size_t taken = std::min(size, kBlockBytes - kept);
        std::memcpy(rest_.data() + kept, bytes, taken);
        if (kept + taken < kBlockBytes) {
            return;
        }
        compress_(state_, rest_.data(), 1);
        bytes += taken;
        size -= taken;
    }
    compress_(state_, bytes, size / kBlockBytes);
    if (const std::size_t left = size % kBlockBytes; left > 0) {
        std::memcpy(rest_.data(), bytes + size - left, left);
    }
}

std::string Sha256::hex() {
    compress_end(compress_, state_, rest_.data(), size_ % kBlockBytes, size_);
    constexpr char digits[] = "0123456789abcdef";
    std::string text;
    for (const std::uint32_t word : state_) {
        for (int shift = 28; shift >= 0; shift -= 4) {
            text += digits[word >> shift & 15];
        }
    }
    return text;
}

std::string sha256_hex(const void *data, std::size_t size) {
    Sha256 hash;
    hash.add(data, size);
    return hash.hex();
}

} // namespace csflow
