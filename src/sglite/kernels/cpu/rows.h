// What is done to each token's row alone: embedding, normalisation, rotation and the KV store.
#pragma once

#include <cmath>

#include "kernels.h"
#include "kv_block.h"
#include "tile.h"

namespace sglite::SGLITE_ISA {

// 1 / sqrt(mean of squares + eps)
inline float inverse_rms(const float* x, int size, float eps) {
    Floats squares{};
    int i = 0;
    for (; i + kLanes <= size; i += kLanes) {
        const Floats value = load(x + i);
        squares += value * value;
    }
    float total = sum(squares);
    for (; i < size; ++i) total += x[i] * x[i];
    return 1.0f / sqrtf(total / (float)size + eps);
}

template <class T>
inline void norm_rows(const Norm& op, const int32_t* rows, int begin, int end) {
    for (int row = begin; row < end; ++row) {
        const float* const x = op.x + (ptrdiff_t)(rows ? rows[row] : row) * op.size;
        T* const y = (T*)op.y + (ptrdiff_t)row * op.size;
        const float factor = inverse_rms(x, op.size, op.eps);
        int i = 0;
        for (; i + kLanes <= op.size; i += kLanes)
            store_row(y + i, load(x + i) * factor * load(op.weight + i));
        for (; i < op.size; ++i) assign(y[i], x[i] * factor * op.weight[i]);
    }
}

inline void norm(const Norm& op, const int32_t* rows, int begin, int end) {
    if (op.y_type == Type::bfloat16)
        norm_rows<bf16>(op, rows, begin, end);
    else
        norm_rows<float>(op, rows, begin, end);
}

template <class T>
inline void embed_rows(const Embed& op, const int64_t* ids, int begin, int end) {
    const bool is_paired = sizeof(T) == 2;
    for (int row = begin; row < end; ++row) {
        const int64_t id = ids[row] - op.first_id;
        float* const y = op.y + (ptrdiff_t)row * op.size;
        if (id < 0 || id >= op.num_ids) {
            for (int i = 0; i < op.size; ++i) y[i] = 0.0f;
            continue;
        }
        const int64_t panel = id / kPanel, lane = id % kPanel;
        const T* const source = (const T*)op.table + panel * kPanel * op.size;
        for (int i = 0; i < op.size; i += 2) {
            const T* const pair = source + (ptrdiff_t)i * kPanel;
            y[i] = widen(pair[is_paired ? 2 * lane : lane]);
            y[i + 1] = widen(pair[is_paired ? 2 * lane + 1 : kPanel + lane]);
        }
    }
}

inline void embed(const Embed& op, const int64_t* ids, int begin, int end) {
    if (op.type == Type::bfloat16)
        embed_rows<bf16>(op, ids, begin, end);
    else
        embed_rows<float>(op, ids, begin, end);
}

// Normalises (where there is a weight) and rotates one head: pairs are (d, d + dim / 2).
inline void rotate_head(const float* x, const float* norm_weight, float eps, const float* cos_sin,
                        int dim, float* y) {
    const int half = dim / 2;
    const float factor = norm_weight ? inverse_rms(x, dim, eps) : 1.0f;
    const float* const cosines = cos_sin;
    const float* const sines = cos_sin + half;
    if (norm_weight) {
        for (int i = 0; i < half; ++i) {
            const float first = x[i] * factor * norm_weight[i];
            const float second = x[half + i] * factor * norm_weight[half + i];
            y[i] = first * cosines[i] - second * sines[i];
            y[half + i] = second * cosines[i] + first * sines[i];
        }
    } else {
        for (int i = 0; i < half; ++i) {
            y[i] = x[i] * cosines[i] - x[half + i] * sines[i];
            y[half + i] = x[half + i] * cosines[i] + x[i] * sines[i];
        }
    }
}

template <class Q, class T>
inline void rotate_tokens(const Rotate& op, const RotateInputs& in, int begin, int end) {
    const int dim = op.head_dim, heads = op.num_heads, kv_heads = op.num_kv_heads;
    float rotated[kMaxHeadDim];
    for (int token = begin; token < end; ++token) {
        const float* x = op.qkv + (ptrdiff_t)token * (heads + 2 * kv_heads) * dim;
        const float* const cos_sin = in.cos_sin + (ptrdiff_t)in.cos_sin_rows[token] * dim;
        Q* q = (Q*)op.q + (ptrdiff_t)token * heads * dim;
        const int64_t block = in.out_slots[token] / kBlockTokens;
        const int place = (int)(in.out_slots[token] % kBlockTokens);
        const ptrdiff_t size = block_size<T>(dim);
        T* const k_block = (T*)op.k_pool + block * kv_heads * size;
        T* const v_block = (T*)op.v_pool + block * kv_heads * size;
        ask_for_key(k_block, dim, place);
        for (int head = 0; head < heads; ++head, x += dim, q += dim) {
            rotate_head(x, op.q_norm, op.eps, cos_sin, dim, rotated);
            for (int i = 0; i < dim; i += kLanes) store_row(q + i, load(rotated + i) * op.scale);
        }
        for (int head = 0; head < kv_heads; ++head, x += dim) {
            if (head + 1 < kv_heads) ask_for_key(k_block + (head + 1) * size, dim, place);
            rotate_head(x, op.k_norm, op.eps, cos_sin, dim, rotated);
            store_key(k_block + head * size, rotated, dim, place);
        }
        for (int head = 0; head < kv_heads; ++head, x += dim)
            store_value(v_block + head * size, x, dim, place);
    }
}

inline void rotate(const Rotate& op, const RotateInputs& in, int begin, int end) {
    switch (op.kv_type) {
        case Type::float32:
            return rotate_tokens<float, float>(op, in, begin, end);
        case Type::int8:
            return rotate_tokens<float, int8_t>(op, in, begin, end);
        case Type::float8_e4m3:
            return rotate_tokens<float, e4m3>(op, in, begin, end);
        case Type::bfloat16:
            if (op.q_type == Type::float32)
                rotate_tokens<float, bf16>(op, in, begin, end);
            else
                rotate_tokens<bf16, bf16>(op, in, begin, end);
    }
}

}  // namespace sglite::SGLITE_ISA
