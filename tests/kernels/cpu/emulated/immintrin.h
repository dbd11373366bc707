// The few instructions of AVX-512 and AVX-VNNI that the kernels name, in plain C++.
//
// SGLITE_EMULATE puts this folder before the compiler's own headers, so that the kernels' code for
// those instruction sets, unchanged, runs on a machine with AVX2 alone. Each does what "Operation"
// says of its instruction in Intel's Software Developer's Manual, volume 2.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

typedef float __m512 __attribute__((vector_size(64), may_alias));
typedef long long __m512i __attribute__((vector_size(64), may_alias));
typedef long long __m128i __attribute__((vector_size(16), may_alias));
typedef long long __m256i __attribute__((vector_size(32), may_alias));
typedef short __m512bh __attribute__((vector_size(64), may_alias));
typedef short __m256bh __attribute__((vector_size(32), may_alias));
typedef uint64_t __mmask64;

// Other instruction sets compile a header of this name too: nothing here may be shared by a linker.
namespace {
namespace emulated {

template <class To, class From>
inline To bits_as(From from) {
    static_assert(sizeof(To) == sizeof(From), "the same bits");
    To to;
    memcpy(&to, &from, sizeof to);
    return to;
}

// A register as an array of its parts.
template <class T, int Bytes = 64>
struct Parts {
    static constexpr int kCount = Bytes / sizeof(T);
    T part[kCount];
};

inline float flushed(float value) {
    return fabsf(value) < 1.17549435e-38f ? copysignf(0.0f, value) : value;
}

inline float of_bf16(uint16_t value) { return flushed(bits_as<float>((uint32_t)value << 16)); }

inline int16_t saturated(int value) {
    return (int16_t)(value > 32767 ? 32767 : (value < -32768 ? -32768 : value));
}

// VPDPBUSD: four products of an unsigned and a signed byte, added without saturation.
template <class Register>
inline Register dot_bytes(Register sums, Register a, Register b) {
    constexpr int kBytes = sizeof(Register);
    auto result = bits_as<Parts<uint32_t, kBytes>>(sums);
    const auto codes = bits_as<Parts<uint8_t, kBytes>>(a);
    const auto values = bits_as<Parts<int8_t, kBytes>>(b);
    for (int i = 0; i < kBytes; ++i)
        result.part[i / 4] += (uint32_t)(codes.part[i] * values.part[i]);
    return bits_as<Register>(result);
}

template <class Register>
inline Register widened(__m128i a) {
    const auto bytes = bits_as<Parts<int8_t, 16>>(a);
    Parts<int32_t, sizeof(Register)> result;
    for (int i = 0; i < result.kCount; ++i) result.part[i] = bytes.part[i];
    return bits_as<Register>(result);
}

}  // namespace emulated

inline __m512i _mm512_setzero_si512() { return __m512i{}; }

inline __m512i _mm512_set1_epi32(int value) {
    emulated::Parts<int32_t> result;
    for (int32_t& part : result.part) part = value;
    return emulated::bits_as<__m512i>(result);
}

inline __m512i _mm512_set1_epi16(short value) {
    emulated::Parts<int16_t> result;
    for (int16_t& part : result.part) part = value;
    return emulated::bits_as<__m512i>(result);
}

// VPABSB: -128 has no opposite and becomes 128, unsigned.
inline __m512i _mm512_abs_epi8(__m512i a) {
    auto result = emulated::bits_as<emulated::Parts<int8_t>>(a);
    for (int8_t& part : result.part) part = (int8_t)(part < 0 ? -part : part);
    return emulated::bits_as<__m512i>(result);
}

// VPMOVB2M: the upper bit of each byte.
inline __mmask64 _mm512_movepi8_mask(__m512i a) {
    const auto bytes = emulated::bits_as<emulated::Parts<int8_t>>(a);
    __mmask64 result = 0;
    for (int i = 0; i < 64; ++i) result |= (__mmask64)(bytes.part[i] < 0) << i;
    return result;
}

// VPSUBB, from `kept` where the mask has 0.
inline __m512i _mm512_mask_sub_epi8(__m512i kept, __mmask64 mask, __m512i a, __m512i b) {
    auto result = emulated::bits_as<emulated::Parts<uint8_t>>(kept);
    const auto left = emulated::bits_as<emulated::Parts<uint8_t>>(a);
    const auto right = emulated::bits_as<emulated::Parts<uint8_t>>(b);
    for (int i = 0; i < 64; ++i)
        if (mask >> i & 1) result.part[i] = (uint8_t)(left.part[i] - right.part[i]);
    return emulated::bits_as<__m512i>(result);
}

// VPADDW, around the ends.
inline __m512i _mm512_add_epi16(__m512i a, __m512i b) {
    auto result = emulated::bits_as<emulated::Parts<uint16_t>>(a);
    const auto right = emulated::bits_as<emulated::Parts<uint16_t>>(b);
    for (int i = 0; i < 32; ++i) result.part[i] = (uint16_t)(result.part[i] + right.part[i]);
    return emulated::bits_as<__m512i>(result);
}

// VPMADDUBSW: two products of an unsigned byte of a and a signed one of b, saturated.
inline __m512i _mm512_maddubs_epi16(__m512i a, __m512i b) {
    const auto left = emulated::bits_as<emulated::Parts<uint8_t>>(a);
    const auto right = emulated::bits_as<emulated::Parts<int8_t>>(b);
    emulated::Parts<int16_t> result;
    for (int i = 0; i < 32; ++i)
        result.part[i] = emulated::saturated(left.part[2 * i] * right.part[2 * i] +
                                             left.part[2 * i + 1] * right.part[2 * i + 1]);
    return emulated::bits_as<__m512i>(result);
}

// VPMADDWD: two products of signed words; four times -32768 goes around.
inline __m512i _mm512_madd_epi16(__m512i a, __m512i b) {
    const auto left = emulated::bits_as<emulated::Parts<int16_t>>(a);
    const auto right = emulated::bits_as<emulated::Parts<int16_t>>(b);
    emulated::Parts<uint32_t> result;
    for (int i = 0; i < 16; ++i)
        result.part[i] = (uint32_t)(left.part[2 * i] * right.part[2 * i]) +
                         (uint32_t)(left.part[2 * i + 1] * right.part[2 * i + 1]);
    return emulated::bits_as<__m512i>(result);
}

inline __m512i _mm512_dpbusd_epi32(__m512i sums, __m512i a, __m512i b) {
    return emulated::dot_bytes(sums, a, b);
}

inline __m256i _mm256_dpbusd_avx_epi32(__m256i sums, __m256i a, __m256i b) {
    return emulated::dot_bytes(sums, a, b);
}

// VDPBF16PS: the odd product, then the even one, each added with one rounding; what is denormal
// counts as zero and becomes zero.
inline __m512 _mm512_dpbf16_ps(__m512 sums, __m512bh a, __m512bh b) {
    using emulated::flushed, emulated::of_bf16;
    auto result = emulated::bits_as<emulated::Parts<float>>(sums);
    const auto left = emulated::bits_as<emulated::Parts<uint16_t>>(a);
    const auto right = emulated::bits_as<emulated::Parts<uint16_t>>(b);
    for (int i = 0; i < 16; ++i) {
        const float odd = flushed(fmaf(of_bf16(left.part[2 * i + 1]),
                                       of_bf16(right.part[2 * i + 1]), flushed(result.part[i])));
        result.part[i] =
            flushed(fmaf(of_bf16(left.part[2 * i]), of_bf16(right.part[2 * i]), odd));
    }
    return emulated::bits_as<__m512>(result);
}

// VCVTNEPS2BF16: to nearest, ties to even; what is denormal becomes zero, a NaN a quiet one.
inline __m256bh _mm512_cvtneps_pbh(__m512 a) {
    const auto values = emulated::bits_as<emulated::Parts<float>>(a);
    emulated::Parts<uint16_t, 32> result;
    for (int i = 0; i < 16; ++i) {
        const uint32_t bits = emulated::bits_as<uint32_t>(emulated::flushed(values.part[i]));
        const uint32_t rounded = bits + 0x7fff + (bits >> 16 & 1);
        result.part[i] = (uint16_t)((std::isnan(values.part[i]) ? bits | 0x400000 : rounded) >> 16);
    }
    return emulated::bits_as<__m256bh>(result);
}

// Some bytes of memory in a register; the rest of it is 0.
inline __m128i _mm_loadu_si128(const __m128i* source) {
    __m128i result;
    memcpy(&result, source, sizeof result);
    return result;
}

inline __m128i _mm_loadl_epi64(const __m128i* source) {
    __m128i result{};
    memcpy(&result, source, 8);
    return result;
}

// VPMOVSXBD: signed bytes as words, as many as the result has.
inline __m512i _mm512_cvtepi8_epi32(__m128i a) {
    return emulated::widened<__m512i>(a);
}

inline __m256i _mm256_cvtepi8_epi32(__m128i a) {
    return emulated::widened<__m256i>(a);
}

}  // namespace
