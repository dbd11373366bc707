// What is in a block of the KV pool: 16 tokens of one KV head, keys or values.
//
// Keys lie as pairs of dimensions by token, values as pairs of tokens by dimension (tile.h); of
// any type but bfloat16 a pair is two rows. Behind the numbers of an int8 block are the scales of
// its tokens, 16 float32: a page that is copied takes them along.
#pragma once

#include "kernels.h"
#include "quantize.h"
#include "tile.h"

namespace sglite::SGLITE_ISA {

// How many elements the scale of a token takes.
template <class T>
constexpr int kScaleSize = 0;
template <>
constexpr int kScaleSize<int8_t> = sizeof(float);

template <class T>
constexpr ptrdiff_t block_size(int dim) {
    return (ptrdiff_t)kBlockTokens * (dim + kScaleSize<T>);
}

inline float* scales_of(int8_t* block, int dim) { return (float*)(block + kBlockTokens * dim); }
inline const float* scales_of(const int8_t* block, int dim) {
    return (const float*)(block + kBlockTokens * dim);
}

// What is stored for the numbers of one token: themselves; or whole numbers from -127 to 127, in
// `buffer`, whose scale goes into the block. With a NaN or an infinity the scale is NaN.
template <class T>
inline const float* storable(T*, const float* x, int, int, float*) {
    return x;
}
inline const float* storable(int8_t* block, const float* x, int dim, int token, float* buffer) {
    const float largest = largest_magnitude(x, dim);
    const float scale = largest < kSmallestScale ? 0.0f : largest / 127.0f;
    scales_of(block, dim)[token] = scale;
    const bool has_codes = scale > 0.0f;
    // A division, for a product would merge with the addition that rounds: torch rounds twice.
    for (int d = 0; d < dim; d += kLanes)
        store(buffer + d, has_codes ? rounded(load(x + d) / scale) : Floats{});
    return buffer;
}

template <class T>
inline void store_key(T* block, const float* key, int dim, int token) {
    float buffer[kMaxHeadDim];
    const float* const x = storable(block, key, dim, token, buffer);
    for (int d = 0; d < dim; d += 2) {
        T* const pair = block + (ptrdiff_t)d * kBlockTokens;
        assign(pair[token], x[d]);
        assign(pair[kBlockTokens + token], x[d + 1]);
    }
}

inline void round_row(bf16* row, const float* x, int dim) {
    for (int d = 0; d < dim; d += kLanes) {
        const Halves rounded = to_bf16(load(x + d));
        memcpy(row + d, &rounded, sizeof rounded);
    }
}

inline void store_key(bf16* block, const float* key, int dim, int token) {
    bf16 row[kMaxHeadDim];
    round_row(row, key, dim);
    for (int d = 0; d < dim; d += 2)
        memcpy(block + (ptrdiff_t)d * kBlockTokens + 2 * token, row + d, 2 * sizeof(bf16));
}

// A key touches a line of each pair of dimensions, and in a step of decodes none is in a cache.
template <class T>
inline void ask_for_key(const T* block, int dim, int token) {
    for (int d = 0; d < dim; d += 2)
        __builtin_prefetch(block + (ptrdiff_t)d * kBlockTokens + (sizeof(T) == 2 ? 2 : 1) * token,
                           1);
}

template <class T>
inline void store_value(T* block, const float* value, int dim, int token) {
    float buffer[kMaxHeadDim];
    const float* const x = storable(block, value, dim, token, buffer);
    for (int d = 0; d < dim; ++d) assign(block[(ptrdiff_t)token * dim + d], x[d]);
}

inline void store_value(bf16* block, const float* value, int dim, int token) {
    bf16 row[kMaxHeadDim];
    round_row(row, value, dim);
    bf16* const pair = block + (ptrdiff_t)(token / 2) * 2 * dim + token % 2;
    for (int d = 0; d < dim; ++d) pair[2 * d] = row[d];
}

}  // namespace sglite::SGLITE_ISA
