// Vectors of float32 in the compiler's own vector types: the same source for every instruction set.
//
// Each instruction set compiles these headers once, with its flags, in a namespace of its own
// (SGLITE_ISA), so that the linker never mixes code of two of them. SGLITE_VECTOR_BYTES is the
// width of its registers, SGLITE_BF16_DOT says that it multiplies pairs of bfloat16.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#if defined(__AVX2__)
#include <immintrin.h>
#endif

namespace sglite::SGLITE_ISA {

using bf16 = uint16_t;  // the upper half of a float32

constexpr int kLanes = SGLITE_VECTOR_BYTES / 4;

typedef float Floats __attribute__((vector_size(SGLITE_VECTOR_BYTES)));
typedef int32_t Ints __attribute__((vector_size(SGLITE_VECTOR_BYTES)));
typedef uint32_t Bits __attribute__((vector_size(SGLITE_VECTOR_BYTES)));
typedef bf16 Halves __attribute__((vector_size(SGLITE_VECTOR_BYTES / 2)));  // kLanes bfloat16

// Memory of any alignment, whatever type it was written as.
typedef float LooseFloats
    __attribute__((vector_size(SGLITE_VECTOR_BYTES), aligned(1), may_alias));
typedef uint32_t LooseBits
    __attribute__((vector_size(SGLITE_VECTOR_BYTES), aligned(1), may_alias));

inline Floats load(const float* source) { return *(const LooseFloats*)source; }
inline void store(float* target, Floats value) { *(LooseFloats*)target = value; }
inline Bits load_bits(const void* source) { return *(const LooseBits*)source; }

inline Floats broadcast(float value) { return value - Floats{}; }
inline Floats maximum(Floats a, Floats b) { return a > b ? a : b; }
inline Floats minimum(Floats a, Floats b) { return a < b ? a : b; }

// Every lane's partner at a distance of Width, a power of two.
template <int Width>
inline Floats swapped(Floats value) {
    Floats result = value;
#pragma GCC unroll 16
    for (int lane = 0; lane < kLanes; ++lane) result[lane] = value[lane ^ Width];
    return result;
}

// The lower half with the upper one, and so on: one lane after the other would wait for each.
template <int Width = kLanes / 2>
inline float sum(Floats value) {
    if constexpr (Width == 0)
        return value[0];
    else
        return sum<Width / 2>(value + swapped<Width>(value));
}

template <int Width = kLanes / 2>
inline float largest(Floats value) {
    if constexpr (Width == 0)
        return value[0];
    else
        return largest<Width / 2>(maximum(value, swapped<Width>(value)));
}

// A register of bfloat16 pairs holds kLanes numbers at even places and as many at odd ones.
inline Floats even_of(Bits pairs) { return (Floats)(pairs << 16); }
inline Floats odd_of(Bits pairs) { return (Floats)(pairs & 0xffff0000u); }

inline float widen(bf16 value) {
    const uint32_t bits = (uint32_t)value << 16;
    float result;
    memcpy(&result, &bits, 4);
    return result;
}
inline float widen(float value) { return value; }
inline Floats widen(Halves values) {
    return (Floats)(__builtin_convertvector(values, Bits) << 16);
}

// Round to nearest, ties to even, as torch does; a NaN stays one.
inline bf16 to_bf16(float value) {
    uint32_t bits;
    memcpy(&bits, &value, 4);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return (bf16)((bits >> 16) | 0x40);
    return (bf16)((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}
inline Halves to_bf16(Floats value) {
    const Bits bits = (Bits)value;
    const Bits rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
    const Bits result = value == value ? rounded : (bits >> 16) | 0x40u;
    return __builtin_convertvector(result, Halves);
}

// A number of 8 bits: a sign, 4 bits of exponent, 3 of fraction, no infinity, one NaN (OCP 8-bit
// Floating Point Specification, E4M3).
struct e4m3 {
    uint8_t bits;
};

// Round to nearest, ties to even, at most 448; a NaN stays one.
inline e4m3 to_e4m3(float value) {
    uint32_t bits;
    memcpy(&bits, &value, 4);
    const uint32_t sign = bits >> 24 & 0x80;
    bits &= 0x7fffffffu;
    if (bits > 0x7f800000u) return {(uint8_t)(sign | 0x7f)};
    if (bits >= 0x43e00000u) return {(uint8_t)(sign | 0x7e)};  // 448 and more
    if (bits < 0x3c800000u) {  // below 2^-6: whole multiples of 2^-9, which adding 2^14 rounds to
        float above;
        memcpy(&above, &bits, 4);
        above += 16384.0f;
        memcpy(&bits, &above, 4);
        return {(uint8_t)(sign | (bits & 0x0f))};
    }
    bits += 0x7ffff + (bits >> 20 & 1);
    return {(uint8_t)(sign | ((bits >> 20) - (120 << 3)))};
}

inline void assign(e4m3& target, float value) { target = to_e4m3(value); }
inline void assign(int8_t& target, float value) { target = (int8_t)value; }  // whole numbers only
inline void assign(float& target, float value) { target = value; }
inline void assign(bf16& target, float value) { target = to_bf16(value); }

// kLanes numbers in a row, from and to either type.
inline Floats load_row(const float* source) { return load(source); }
inline void store_row(float* target, Floats value) { store(target, value); }
inline Floats load_row(const bf16* source) {
    Halves halves;
    memcpy(&halves, source, sizeof halves);
    return widen(halves);
}
inline void store_row(bf16* target, Floats value) {
#if SGLITE_BF16_DOT
    const __m256bh rounded = _mm512_cvtneps_pbh((__m512)value);
#else
    const Halves rounded = to_bf16(value);
#endif
    memcpy(target, &rounded, sizeof rounded);
}

// kLanes bytes as words. Compilers know this as one instruction, but not by its vector types.
inline Ints widen_bytes(const void* source) {
#if defined(__AVX512BW__)
    return (Ints)_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i*)source));
#elif defined(__AVX2__)
    return (Ints)_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i*)source));
#else
    typedef int8_t Bytes __attribute__((vector_size(kLanes)));
    typedef int16_t Halves __attribute__((vector_size(2 * kLanes)));
    Bytes bytes;
    memcpy(&bytes, source, sizeof bytes);
    return __builtin_convertvector(__builtin_convertvector(bytes, Halves), Ints);
#endif
}

// As floats; bytes become numbers in registers.
inline Floats load_row(const int8_t* source) {
    return __builtin_convertvector(widen_bytes(source), Floats);
}
inline Floats load_row(const e4m3* source) {
    const Bits codes = (Bits)widen_bytes(source), magnitudes = (codes & 0x7f) << 20;
    // Below 2^-6 there is no leading one: it is added with the exponent, and taken off again.
    const Bits is_small = (Bits)(magnitudes < 0x00800000u);
    const Bits is_nan = (Bits)(magnitudes == 0x07f00000u);
    const Floats whole = (Floats)(magnitudes + 0x3c000000u + (is_small & 0x00800000u));
    const Floats value = whole - (Floats)(is_small & 0x3c800000u);
    return (Floats)((Bits)value | (codes & 0x80000000u) | is_nan);
}

// e to the power of each lane, 2 units in the last place; -87 and below give the smallest normal.
// The polynomial is that of the Cephes library for expf.
inline Floats exponential(Floats x) {
    x = minimum(maximum(x, broadcast(-87.0f)), broadcast(88.0f));
    const float rounder = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer
    const Floats n = (x * 1.44269504f + rounder) - rounder;
    const Floats r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
    Floats p = r * 1.9875691500e-4f + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * (r * r) + r + 1.0f;
    const Ints power = (__builtin_convertvector(n, Ints) + 127) << 23;
    return p * (Floats)power;
}

}  // namespace sglite::SGLITE_ISA
