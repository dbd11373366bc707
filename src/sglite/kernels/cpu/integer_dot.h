// Sums of four products of an unsigned byte (a weight's code) and a signed one (of a row of x).
//
// Each instruction set has its way and all are exact. `Row` is four bytes of x for all lanes.
// `kCodeZero` is what the codes of 8 bits count from: 128, or 0 where they are made signed first.
#pragma once

#include "simd.h"

#if defined(__AVX2__)
#include <immintrin.h>
#elif defined(__ARM_FEATURE_DOTPROD)
#include <arm_neon.h>
#endif

namespace sglite::SGLITE_ISA {

inline int32_t four_bytes(const int8_t* source) {
    int32_t result;
    memcpy(&result, source, 4);
    return result;
}

inline Ints broadcast_int(int32_t value) { return value - Ints{}; }

#if defined(__AVX512VNNI__)

constexpr int kCodeZero = 128;
using Row = Ints;
inline Row row_of(const int8_t* x) { return broadcast_int(four_bytes(x)); }
inline Bits codes_of(Bits codes) { return codes; }
inline Ints dot(Ints sums, Bits codes, Row row) {
    return (Ints)_mm512_dpbusd_epi32((__m512i)sums, (__m512i)codes, (__m512i)row);
}

#elif defined(__AVXVNNI__)

constexpr int kCodeZero = 128;
using Row = Ints;
inline Row row_of(const int8_t* x) { return broadcast_int(four_bytes(x)); }
inline Bits codes_of(Bits codes) { return codes; }
inline Ints dot(Ints sums, Bits codes, Row row) {
    return (Ints)_mm256_dpbusd_avx_epi32((__m256i)sums, (__m256i)codes, (__m256i)row);
}

#elif defined(__AVX512BW__)

// Products of an unsigned and a signed byte are summed in pairs of 16 bits, which saturate:
// 255 * 127 * 2 does. So the codes are made signed, and x's sign moves to them: 127 * 127 * 2.
constexpr int kCodeZero = 0;
struct Row {
    __m512i magnitude;
    __mmask64 is_negative;
};
inline Row row_of(const int8_t* x) {
    const __m512i value = _mm512_set1_epi32(four_bytes(x));
    return {_mm512_abs_epi8(value), _mm512_movepi8_mask(value)};
}
inline Bits codes_of(Bits codes) { return codes ^ 0x80808080u; }
inline Ints dot(Ints sums, Bits codes, const Row& row) {
    const __m512i weights = (__m512i)codes;
    const __m512i turned =
        _mm512_mask_sub_epi8(weights, row.is_negative, _mm512_setzero_si512(), weights);
    const __m512i pairs = _mm512_maddubs_epi16(row.magnitude, turned);
    return sums + (Ints)_mm512_madd_epi16(pairs, _mm512_set1_epi16(1));
}

#elif defined(__AVX2__)

constexpr int kCodeZero = 0;  // see above
struct Row {
    __m256i value, magnitude;
};
inline Row row_of(const int8_t* x) {
    const __m256i value = _mm256_set1_epi32(four_bytes(x));
    return {value, _mm256_abs_epi8(value)};
}
inline Bits codes_of(Bits codes) { return codes ^ 0x80808080u; }
inline Ints dot(Ints sums, Bits codes, const Row& row) {
    const __m256i turned = _mm256_sign_epi8((__m256i)codes, row.value);
    const __m256i pairs = _mm256_maddubs_epi16(row.magnitude, turned);
    return sums + (Ints)_mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
}

#elif defined(__ARM_FEATURE_DOTPROD)

constexpr int kCodeZero = 0;  // both sides are signed
using Row = Ints;
inline Row row_of(const int8_t* x) { return broadcast_int(four_bytes(x)); }
inline Bits codes_of(Bits codes) { return codes ^ 0x80808080u; }
inline Ints dot(Ints sums, Bits codes, Row row) {
    return (Ints)vdotq_s32((int32x4_t)sums, (int8x16_t)codes, (int8x16_t)row);
}

#else

constexpr int kCodeZero = 128;
struct Row {
    int32_t values[4];
};
inline Row row_of(const int8_t* x) { return {{x[0], x[1], x[2], x[3]}}; }
inline Bits codes_of(Bits codes) { return codes; }
inline Ints dot(Ints sums, Bits codes, const Row& row) {
    for (int i = 0; i < 4; ++i) sums += (Ints)((codes >> (8 * i)) & 0xffu) * row.values[i];
    return sums;
}

#endif

// The same for codes of 0 to 15: `Partial` has a group's sums so far, and room for those of
// kPartialInputs inputs, or of any number where that is 0.
#if defined(__AVX512VNNI__) || defined(__AVXVNNI__) || !defined(__AVX2__)

constexpr int kPartialInputs = 0;
using Partial = Ints;
using NibbleRow = Row;
inline NibbleRow nibble_row_of(const int8_t* x) { return row_of(x); }
inline Partial nibble_dot(Partial sums, Bits codes, const NibbleRow& row) {
    return dot(sums, codes, row);
}
inline Ints total(Partial sums) { return sums; }

#elif defined(__AVX512BW__)

// 15 * 127 * 2 is 3,810, so eight of them fit 16 bits.
constexpr int kPartialInputs = 32;
using Partial = Ints;
using NibbleRow = Ints;
inline NibbleRow nibble_row_of(const int8_t* x) { return broadcast_int(four_bytes(x)); }
inline Partial nibble_dot(Partial sums, Bits codes, NibbleRow row) {
    return (Ints)_mm512_add_epi16((__m512i)sums,
                                  _mm512_maddubs_epi16((__m512i)codes, (__m512i)row));
}
inline Ints total(Partial sums) {
    return (Ints)_mm512_madd_epi16((__m512i)sums, _mm512_set1_epi16(1));
}

#else

constexpr int kPartialInputs = 32;  // see above
using Partial = Ints;
using NibbleRow = Ints;
inline NibbleRow nibble_row_of(const int8_t* x) { return broadcast_int(four_bytes(x)); }
inline Partial nibble_dot(Partial sums, Bits codes, NibbleRow row) {
    return (Ints)_mm256_add_epi16((__m256i)sums,
                                  _mm256_maddubs_epi16((__m256i)codes, (__m256i)row));
}
inline Ints total(Partial sums) {
    return (Ints)_mm256_madd_epi16((__m256i)sums, _mm256_set1_epi16(1));
}

#endif

}  // namespace sglite::SGLITE_ISA
