#include "picture/resize_kernels.h"

#include <algorithm>
#include <cstring>

#if defined(__GNUC__) && defined(__x86_64__)
#define CSFLOW_X86
#include <immintrin.h>
// For one function: the rest of the library runs on any processor.
#define CSFLOW_TARGET(extension) __attribute__((target(extension)))
#elif defined(__GNUC__) && defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace csflow {
namespace {

constexpr std::int32_t kGroup = 4; // pixels at a time, for which 16 bytes are read
constexpr std::size_t kBlock = 32;

std::int32_t squeeze_none(const std::uint8_t *, const View &, const Axis &, std::uint8_t *) { return 0; }

// In blocks, whose sums stay in registers. Compiled anew, and vectorised, for each extension below.
[[gnu::always_inline]] inline void blend(const std::uint8_t *rows, std::size_t bytes, const std::int32_t *weights, std::int32_t count,
                 std::uint8_t *out) {
    for (std::size_t b = 0; b < bytes; b += kBlock) {
        std::int32_t sums[kBlock];
        std::fill(sums, sums + kBlock, kHalf);
        const std::uint8_t *row = rows + b;
        for (std::int32_t k = 0; k < count; ++k, row += bytes) {
            for (std::size_t j = 0; j < kBlock; ++j) {
                sums[j] += row[j] * weights[k];
            }
        }
        for (std::size_t j = 0; j < kBlock; ++j) {
            out[b + j] = static_cast<std::uint8_t>(std::min(sums[j] >> kPrecision, 255));
        }
    }
}

void blend_plain(const std::uint8_t *rows, std::size_t bytes, const std::int32_t *weights, std::int32_t count,
                 std::uint8_t *out) {
    blend(rows, bytes, weights, count, out);
}

#if defined(CSFLOW_X86) || defined(__aarch64__)
std::int32_t groups_of(const Axis &columns, std::int32_t i) { return (columns.count(i) + kGroup - 1) >> 2; }

// How many output pixels can be made without reading a byte behind the row's last pixel. Where the last group of a pixel
// begins jumps back and forth; it is never behind its last tap, and that only moves to the right.
std::int32_t within_row(const Axis &columns, const View &view) {
    const std::ptrdiff_t end = std::ptrdiff_t{view.width} * view.pixel_bytes - 16;
    std::int32_t pixels = columns.size();
    while (pixels > 0 && (columns.first(pixels - 1) + columns.count(pixels - 1) - 1) * view.pixel_bytes > end) {
        --pixels;
    }
    return pixels;
}
#endif

#if defined(CSFLOW_X86)
// For pshufb: of two neighbouring pixels from `first` on, each channel's two values side by side in 16 bits.
__m128i pairs(const View &view, std::int32_t first) {
    const std::int32_t offsets[3] = {view.red, view.green, view.blue};
    std::uint8_t mask[16];
    std::fill(mask, mask + 16, 0x80); // gives zero
    for (int c = 0; c < 3; ++c) {
        mask[4 * c] = static_cast<std::uint8_t>(first * view.pixel_bytes + offsets[c]);
        mask[4 * c + 2] = static_cast<std::uint8_t>((first + 1) * view.pixel_bytes + offsets[c]);
    }
    return _mm_loadu_si128(reinterpret_cast<const __m128i *>(mask));
}

CSFLOW_TARGET("sse4.1") void store_pixel(__m128i high, __m128i low, std::uint8_t *out) {
    const __m128i sums = _mm_add_epi32(_mm_add_epi32(_mm_slli_epi32(high, kSplit), low), _mm_set1_epi32(kHalf));
    const __m128i words = _mm_packus_epi32(_mm_srai_epi32(sums, kPrecision), _mm_setzero_si128());
    const int pixel = _mm_cvtsi128_si32(_mm_packus_epi16(words, words));
    std::memcpy(out, &pixel, 3);
}

CSFLOW_TARGET("sse4.1")
std::int32_t squeeze_sse41(const std::uint8_t *row, const View &view, const Axis &columns, std::uint8_t *out) {
    const __m128i first = pairs(view, 0);
    const __m128i second = pairs(view, 2);
    const std::int32_t pixels = within_row(columns, view);
    for (std::int32_t i = 0; i < pixels; ++i, out += 3) {
        const std::uint8_t *pixel = row + std::ptrdiff_t{columns.first(i)} * view.pixel_bytes;
        const std::int16_t *split = columns.split(i);
        __m128i high = _mm_setzero_si128();
        __m128i low = _mm_setzero_si128();
        for (std::int32_t g = groups_of(columns, i); g > 0; --g, pixel += kGroup * view.pixel_bytes, split += 8) {
            const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i *>(pixel));
            const __m128i weights = _mm_loadu_si128(reinterpret_cast<const __m128i *>(split));
            const __m128i one = _mm_shuffle_epi8(bytes, first);
            const __m128i two = _mm_shuffle_epi8(bytes, second);
            high = _mm_add_epi32(high, _mm_madd_epi16(one, _mm_shuffle_epi32(weights, 0x00)));
            high = _mm_add_epi32(high, _mm_madd_epi16(two, _mm_shuffle_epi32(weights, 0x55)));
            low = _mm_add_epi32(low, _mm_madd_epi16(one, _mm_shuffle_epi32(weights, 0xAA)));
            low = _mm_add_epi32(low, _mm_madd_epi16(two, _mm_shuffle_epi32(weights, 0xFF)));
        }
        store_pixel(high, low, out);
    }
    return pixels;
}

CSFLOW_TARGET("avx2")
std::int32_t squeeze_avx2(const std::uint8_t *row, const View &view, const Axis &columns, std::uint8_t *out) {
    const __m256i both = _mm256_setr_m128i(pairs(view, 0), pairs(view, 2));
    const __m256i high_taps = _mm256_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1);
    const __m256i low_taps = _mm256_setr_epi32(2, 2, 2, 2, 3, 3, 3, 3);
    const std::int32_t pixels = within_row(columns, view);
    for (std::int32_t i = 0; i < pixels; ++i, out += 3) {
        const std::uint8_t *pixel = row + std::ptrdiff_t{columns.first(i)} * view.pixel_bytes;
        const std::int16_t *split = columns.split(i);
        __m256i high = _mm256_setzero_si256();
        __m256i low = _mm256_setzero_si256();
        for (std::int32_t g = groups_of(columns, i); g > 0; --g, pixel += kGroup * view.pixel_bytes, split += 8) {
            const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i *>(pixel));
            const __m256i four = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(bytes), both);
            const __m256i weights = _mm256_castsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i *>(split)));
            high = _mm256_add_epi32(high, _mm256_madd_epi16(four, _mm256_permutevar8x32_epi32(weights, high_taps)));
            low = _mm256_add_epi32(low, _mm256_madd_epi16(four, _mm256_permutevar8x32_epi32(weights, low_taps)));
        }
        store_pixel(_mm_add_epi32(_mm256_castsi256_si128(high), _mm256_extracti128_si256(high, 1)),
                    _mm_add_epi32(_mm256_castsi256_si128(low), _mm256_extracti128_si256(low, 1)), out);
    }
    return pixels;
}

CSFLOW_TARGET("sse4.1")
void blend_sse41(const std::uint8_t *rows, std::size_t bytes, const std::int32_t *weights, std::int32_t count,
                 std::uint8_t *out) {
    blend(rows, bytes, weights, count, out);
}

CSFLOW_TARGET("avx2")
void blend_avx2(const std::uint8_t *rows, std::size_t bytes, const std::int32_t *weights, std::int32_t count,
                std::uint8_t *out) {
    blend(rows, bytes, weights, count, out);
}
#elif defined(__aarch64__)
std::int32_t squeeze_neon(const std::uint8_t *row, const View &view, const Axis &columns, std::uint8_t *out) {
    // Out of range gives zero: each pixel becomes red, green, blue, 0.
    std::uint8_t order[16];
    const std::int32_t offsets[4] = {view.red, view.green, view.blue, 0xFF};
    for (int b = 0; b < 16; ++b) {
        order[b] = static_cast<std::uint8_t>(b % 4 == 3 ? 0xFF : b / 4 * view.pixel_bytes + offsets[b % 4]);
    }
    const uint8x16_t colours = vld1q_u8(order);
    const std::int32_t pixels = within_row(columns, view);
    for (std::int32_t i = 0; i < pixels; ++i, out += 3) {
        const std::uint8_t *pixel = row + std::ptrdiff_t{columns.first(i)} * view.pixel_bytes;
        const std::int16_t *split = columns.split(i);
        int32x4_t high = vdupq_n_s32(0);
        int32x4_t low = vdupq_n_s32(kHalf);
        for (std::int32_t g = groups_of(columns, i); g > 0; --g, pixel += kGroup * view.pixel_bytes, split += 8) {
            const uint8x16_t four = vqtbl1q_u8(vld1q_u8(pixel), colours);
            const int16x8_t one = vreinterpretq_s16_u16(vmovl_u8(vget_low_u8(four)));
            const int16x8_t two = vreinterpretq_s16_u16(vmovl_u8(vget_high_u8(four)));
            const int16x4_t above = vld1_s16(split);
            const int16x4_t below = vld1_s16(split + 4);
            high = vmlal_lane_s16(vmlal_lane_s16(high, vget_low_s16(one), above, 0), vget_high_s16(one), above, 1);
            high = vmlal_lane_s16(vmlal_lane_s16(high, vget_low_s16(two), above, 2), vget_high_s16(two), above, 3);
            low = vmlal_lane_s16(vmlal_lane_s16(low, vget_low_s16(one), below, 0), vget_high_s16(one), below, 1);
            low = vmlal_lane_s16(vmlal_lane_s16(low, vget_low_s16(two), below, 2), vget_high_s16(two), below, 3);
        }
        const int32x4_t sums = vshrq_n_s32(vaddq_s32(vshlq_n_s32(high, kSplit), low), kPrecision);
        const uint8x8_t bytes = vqmovn_u16(vcombine_u16(vqmovun_s32(sums), vdup_n_u16(0)));
        std::memcpy(out, &bytes, 3);
    }
    return pixels;
}
#endif

} // namespace

std::vector<Kernels> kernels_of_this_processor() {
    std::vector<Kernels> found = {{"plain", squeeze_none, blend_plain}};
#if defined(CSFLOW_X86)
    if (__builtin_cpu_supports("sse4.1")) {
        found.push_back({"sse4.1", squeeze_sse41, blend_sse41});
    }
    if (__builtin_cpu_supports("avx2")) {
        found.push_back({"avx2", squeeze_avx2, blend_avx2});
    }
#elif defined(__aarch64__)
    found.push_back({"neon", squeeze_neon, blend_plain});
#endif
    return found;
}

const Kernels &best_kernels() noexcept {
    static const Kernels best = kernels_of_this_processor().back();
    return best;
}

} // namespace csflow
