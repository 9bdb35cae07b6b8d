// SHA-256 by the processor's own instructions, asked for when the program runs: the library is built for any processor.
#include "bundle/sha256.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#define CSFLOW_SHA_INSTRUCTIONS __attribute__((target("sha,sse4.1")))
#elif defined(__aarch64__) && defined(__linux__) && !defined(__ARM_BIG_ENDIAN)
#include <arm_neon.h>
#include <asm/hwcap.h>
#include <sys/auxv.h>
#define CSFLOW_SHA_INSTRUCTIONS __attribute__((target("+crypto")))
#endif

namespace csflow {

#if defined(__x86_64__)
namespace {

// Four words of the message schedule from the sixteen before them, as four vectors from the oldest on.
CSFLOW_SHA_INSTRUCTIONS inline __m128i next_words(__m128i w0, __m128i w1, __m128i w2, __m128i w3) noexcept {
    const __m128i sum = _mm_add_epi32(_mm_sha256msg1_epu32(w0, w1), _mm_alignr_epi8(w3, w2, 4));
    return _mm_sha256msg2_epu32(sum, w3);
}

CSFLOW_SHA_INSTRUCTIONS inline void four_rounds(__m128i &abef, __m128i &cdgh, __m128i words, std::size_t t) noexcept {
    const __m128i k = _mm_loadu_si128(reinterpret_cast<const __m128i *>(kSha256Rounds.data() + t));
    const __m128i sum = _mm_add_epi32(words, k);
    cdgh = _mm_sha256rnds2_epu32(cdgh, abef, sum);
    abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(sum, 0x0e));
}

CSFLOW_SHA_INSTRUCTIONS inline __m128i big_endian_words(const std::uint8_t *bytes) noexcept {
    const __m128i reversed = _mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3);
    return _mm_shuffle_epi8(_mm_loadu_si128(reinterpret_cast<const __m128i *>(bytes)), reversed);
}

CSFLOW_SHA_INSTRUCTIONS void sha_ni(Sha256State &state, const std::uint8_t *bytes, std::size_t blocks) noexcept {
    auto *const halves = reinterpret_cast<__m128i *>(state.data());
    const __m128i badc = _mm_shuffle_epi32(_mm_loadu_si128(halves), 0xb1);
    const __m128i hgfe = _mm_shuffle_epi32(_mm_loadu_si128(halves + 1), 0x1b);
    __m128i abef = _mm_alignr_epi8(badc, hgfe, 8);
    __m128i cdgh = _mm_blend_epi16(hgfe, badc, 0xf0);
    for (; blocks > 0; --blocks, bytes += 64) {
        const __m128i abef_before = abef;
        const __m128i cdgh_before = cdgh;
        __m128i w0 = big_endian_words(bytes);
        __m128i w1 = big_endian_words(bytes + 16);
        __m128i w2 = big_endian_words(bytes + 32);
        __m128i w3 = big_endian_words(bytes + 48);
        for (std::size_t t = 0;; t += 16) {
            four_rounds(abef, cdgh, w0, t);
            four_rounds(abef, cdgh, w1, t + 4);
            four_rounds(abef, cdgh, w2, t + 8);
            four_rounds(abef, cdgh, w3, t + 12);
            if (t == 48) {
                break;
            }
            w0 = next_words(w0, w1, w2, w3);
            w1 = next_words(w1, w2, w3, w0);
            w2 = next_words(w2, w3, w0, w1);
            w3 = next_words(w3, w0, w1, w2);
        }
        abef = _mm_add_epi32(abef, abef_before);
        cdgh = _mm_add_epi32(cdgh, cdgh_before);
    }
    const __m128i feba = _mm_shuffle_epi32(abef, 0x1b);
    const __m128i dchg = _mm_shuffle_epi32(cdgh, 0xb1);
    _mm_storeu_si128(halves, _mm_blend_epi16(feba, dchg, 0xf0));
    _mm_storeu_si128(halves + 1, _mm_alignr_epi8(dchg, feba, 8));
}

} // namespace

Sha256Compress sha256_hardware() noexcept {
    unsigned eax = 0;
    unsigned ebx = 0;
    unsigned ecx = 0;
    unsigned edx = 0;
    const bool sse41 = __get_cpuid(1, &eax, &ebx, &ecx, &edx) != 0 && (ecx & bit_SSE4_1) != 0;
    const bool sha = __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) != 0 && (ebx & bit_SHA) != 0;
    return sse41 && sha ? sha_ni : nullptr;
}

#elif defined(CSFLOW_SHA_INSTRUCTIONS)
namespace {

CSFLOW_SHA_INSTRUCTIONS inline uint32x4_t next_words(uint32x4_t w0, uint32x4_t w1, uint32x4_t w2,
                                                     uint32x4_t w3) noexcept {
    return vsha256su1q_u32(vsha256su0q_u32(w0, w1), w2, w3);
}

CSFLOW_SHA_INSTRUCTIONS inline void four_rounds(uint32x4_t &abcd, uint32x4_t &efgh, uint32x4_t words,
                                                std::size_t t) noexcept {
    const uint32x4_t sum = vaddq_u32(words, vld1q_u32(kSha256Rounds.data() + t));
    const uint32x4_t before = abcd;
    abcd = vsha256hq_u32(abcd, efgh, sum);
    efgh = vsha256h2q_u32(efgh, before, sum);
}

CSFLOW_SHA_INSTRUCTIONS inline uint32x4_t big_endian_words(const std::uint8_t *bytes) noexcept {
    return vreinterpretq_u32_u8(vrev32q_u8(vld1q_u8(bytes)));
}

CSFLOW_SHA_INSTRUCTIONS void armv8_sha2(Sha256State &state, const std::uint8_t *bytes, std::size_t blocks) noexcept {
    uint32x4_t abcd = vld1q_u32(state.data());
    uint32x4_t efgh = vld1q_u32(state.data() + 4);
    for (; blocks > 0; --blocks, bytes += 64) {
        const uint32x4_t abcd_before = abcd;
        const uint32x4_t efgh_before = efgh;
        uint32x4_t w0 = big_endian_words(bytes);
        uint32x4_t w1 = big_endian_words(bytes + 16);
        uint32x4_t w2 = big_endian_words(bytes + 32);
        uint32x4_t w3 = big_endian_words(bytes + 48);
        for (std::size_t t = 0;; t += 16) {
            four_rounds(abcd, efgh, w0, t);
            four_rounds(abcd, efgh, w1, t + 4);
            four_rounds(abcd, efgh, w2, t + 8);
            four_rounds(abcd, efgh, w3, t + 12);
            if (t == 48) {
                break;
            }
            w0 = next_words(w0, w1, w2, w3);
            w1 = next_words(w1, w2, w3, w0);
            w2 = next_words(w2, w3, w0, w1);
            w3 = next_words(w3, w0, w1, w2);
        }
        abcd = vaddq_u32(abcd, abcd_before);
        efgh = vaddq_u32(efgh, efgh_before);
    }
    vst1q_u32(state.data(), abcd);
    vst1q_u32(state.data() + 4, efgh);
}

} // namespace

Sha256Compress sha256_hardware() noexcept {
    return (getauxval(AT_HWCAP) & HWCAP_SHA2) != 0 ? armv8_sha2 : nullptr;
}

#else
Sha256Compress sha256_hardware() noexcept { return nullptr; }
#endif

} // namespace csflow
