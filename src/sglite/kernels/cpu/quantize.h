// From float32 to integers: rows of activations while a step runs, weights when they are packed.
#pragma once

#include "quantized.h"
#include "simd.h"

namespace sglite::SGLITE_ISA {

constexpr float kSmallestScale = 1e-30f;  // what is smaller counts as zero: 1 / it is finite
constexpr float kRounder = 12582912.0f;   // 1.5 * 2^23: adding it rounds to an integer, ties to even

inline Floats rounded(Floats value) { return (value + kRounder) - kRounder; }
inline float rounded(float value) { return (value + kRounder) - kRounder; }
inline Floats magnitude(Floats value) { return (Floats)((Bits)value & 0x7fffffffu); }

typedef int8_t Codes __attribute__((vector_size(SGLITE_VECTOR_BYTES / 4)));

// The largest |x| of a row, NaN where some x is no finite number.
template <class T>
inline float largest_magnitude(const T* x, int size) {
    Floats top{}, flaw{};  // x - x is zero, or NaN
    int i = 0;
    for (; i + kLanes <= size; i += kLanes) {
        const Floats value = load_row(x + i);
        top = maximum(magnitude(value), top);
        flaw += value - value;
    }
    float result = largest(top), flaws = sum(flaw);
    for (; i < size; ++i) {
        const float value = widen(x[i]), above = value < 0 ? -value : value;
        if (above > result) result = above;
        flaws += value - value;
    }
    return result + flaws;
}

// Codes of `count` numbers, and their sum.
template <class T>
inline int32_t quantize_some(const T* x, float factor, int count, int8_t* codes) {
    Ints sums{};
    int i = 0;
    for (; i + kLanes <= count; i += kLanes) {
        const Ints values = __builtin_convertvector(rounded(load_row(x + i) * factor), Ints);
        const Codes narrow = __builtin_convertvector(values, Codes);
        memcpy(codes + i, &narrow, sizeof narrow);
        sums += values;
    }
    int32_t total = 0;
    for (int lane = 0; lane < kLanes; ++lane) total += sums[lane];
    for (; i < count; ++i) {
        codes[i] = (int8_t)rounded(widen(x[i]) * factor);
        total += codes[i];
    }
    return total;
}

template <class T>
inline void quantize_rows(const Quantize& op, int begin, int end) {
    for (int row = begin; row < end; ++row) {
        const T* const x = (const T*)op.x + (ptrdiff_t)row * op.size;
        int8_t* const codes = op.codes + (ptrdiff_t)row * op.padded_size;
        int32_t* const sums = op.sums + (ptrdiff_t)row * op.num_groups;
        const float largest = largest_magnitude(x, op.size);
        const bool is_zero = largest < kSmallestScale;
        op.scales[row] = is_zero ? 0.0f : largest / 127.0f;
        if (is_zero || largest != largest) {
            memset(codes, 0, op.padded_size);
            memset(sums, 0, op.num_groups * sizeof *sums);
            continue;
        }
        for (int group = 0; group < op.num_groups; ++group) {
            const int first = group * op.group_size;
            const int left = op.size - first;
            const int count = left < op.group_size ? left : op.group_size;
            sums[group] = quantize_some(x + first, 127.0f / largest, count, codes + first);
        }
        memset(codes + op.size, 0, op.padded_size - op.size);
    }
}

inline void quantize(const Quantize& op, int begin, int end) {
    if (op.x_type == Type::bfloat16) return quantize_rows<bf16>(op, begin, end);
    quantize_rows<float>(op, begin, end);
}

// ------------------------------------------------------------------------------------- weights
// The vectors lie across the 16 outputs of a panel, so each output is treated alone.

constexpr int kOutputs = 16;
constexpr int kOutputVectors = kOutputs / kLanes;

// Scales of a group that are tried, as shares of the one that clips nothing.
constexpr float kClips[] = {1.0f, 0.95f, 0.9f, 0.85f, 0.8f, 0.75f, 0.7f, 0.65f};

// Inputs first, first + 1, ... of a panel's rows, [count][16]; zero where there is none.
template <class S>
inline void load_inputs(const QuantizedPacking& packing, int index, int first, int count,
                        float (*values)[kOutputs]) {
    const int rows = packing.num_rows - index * kOutputs;
    const int left = packing.target.num_inputs - first;
    memset(values, 0, count * sizeof *values);
    for (int output = 0; output < kOutputs && output < rows; ++output) {
        const S* const source = (const S*)packing.source +
                                ((ptrdiff_t)index * kOutputs + output) * packing.source_stride +
                                first;
        for (int i = 0; i < count && i < left; ++i) values[i][output] = widen(source[i]);
    }
}

// 1 / scale, 0 where it is too small to have one.
inline Floats inverse(Floats scale) {
    return magnitude(scale) < kSmallestScale ? Floats{} : 1.0f / scale;
}

template <class S>
void pack_eight_bits(const QuantizedPacking& packing, int index, uint8_t* panel) {
    const QuantizedMatrix& target = packing.target;
    constexpr int kChunk = 64;
    float values[kChunk][kOutputs];
    alignas(64) float largest[kOutputs] = {};
    for (int first = 0; first < target.padded_inputs; first += kChunk) {
        load_inputs<S>(packing, index, first, kChunk, values);
        for (int v = 0; v < kOutputs; v += kLanes)
            for (int i = 0; i < kChunk; ++i)
                store(largest + v, maximum(magnitude(load(values[i] + v)), load(largest + v)));
    }
    alignas(64) float factors[kOutputs];
    for (int output = 0; output < kOutputs; ++output) {
        const bool is_zero = largest[output] < kSmallestScale;
        const float scale = is_zero ? 0.0f : largest[output] / 127.0f;
        memcpy(panel + output * sizeof scale, &scale, sizeof scale);
        factors[output] = is_zero ? 0.0f : 127.0f / largest[output];
    }
    for (int first = 0; first < target.padded_inputs; first += kChunk) {
        load_inputs<S>(packing, index, first, kChunk, values);
        for (int i = 0; i < kChunk && first + i < target.padded_inputs; ++i) {
            uint8_t* const line = panel + target.scale_bytes + (ptrdiff_t)((first + i) / 4) * 64;
            for (int v = 0; v < kOutputs; v += kLanes)
                store(values[i] + v, rounded(load(values[i] + v) * load(factors + v)));
            for (int output = 0; output < kOutputs; ++output)
                line[4 * output + i % 4] = (uint8_t)(128 + (int)values[i][output]);
        }
    }
}

// -8 to 7.
inline Floats four_bit_codes(Floats values, Floats factor) {
    const Floats codes = rounded(values * factor);
    return minimum(maximum(codes, broadcast(-8.0f)), broadcast(7.0f));
}

inline Floats squared_error(const float (*values)[kOutputs], int v, int count, Floats scale) {
    const Floats factor = inverse(scale);
    Floats error{};
    for (int i = 0; i < count; ++i) {
        const Floats value = load(values[i] + v);
        const Floats miss = value - four_bit_codes(value, factor) * scale;
        error += miss * miss;
    }
    return error;
}

// The scale of each output, of those tried the one with the least squared error. There are 16
// codes and one more of them below zero than above, so a scale may also be negative.
inline Floats best_scale(const float (*values)[kOutputs], int v, int count) {
    Floats top{}, bottom{};
    for (int i = 0; i < count; ++i) {
        top = maximum(load(values[i] + v), top);
        bottom = minimum(load(values[i] + v), bottom);
    }
    const Floats upward = maximum(bottom / -8.0f, top / 7.0f);
    const Floats downward = -maximum(bottom / -7.0f, top / 8.0f);
    Floats best = widen(to_bf16(upward));
    Floats least = squared_error(values, v, count, best);
    for (const float clip : kClips)
        for (int turn = 0; turn < 2; ++turn) {
            const Floats scale = widen(to_bf16((turn ? downward : upward) * clip));
            const Floats error = squared_error(values, v, count, scale);
            best = error < least ? scale : best;
            least = minimum(error, least);
        }
    return best;
}

template <class S>
void pack_four_bits(const QuantizedPacking& packing, int index, uint8_t* panel) {
    const QuantizedMatrix& target = packing.target;
    float values[kMaxGroupSize][kOutputs];
    memset(panel, 0, target.scale_bytes);
    for (int group = 0; group < target.num_groups; ++group) {
        const int first = group * target.group_size;
        load_inputs<S>(packing, index, first, target.group_size, values);
        for (int v = 0; v < kOutputs; v += kLanes) {
            const Floats scale = best_scale(values, v, target.group_size);
            const Halves narrow = to_bf16(scale);
            memcpy(panel + ((ptrdiff_t)group * kOutputs + v) * 2, &narrow, sizeof narrow);
            const Floats factor = inverse(scale);
            for (int i = 0; i < target.group_size; ++i)
                store(values[i] + v, four_bit_codes(load(values[i] + v), factor) + 8.0f);
        }
        for (int i = 0; i < target.group_size; ++i) {
            if (i % 8 >= 4) continue;  // the high half of what is i - 4's byte
            uint8_t* const line = panel + target.scale_bytes + (ptrdiff_t)((first + i) / 8) * 64;
            for (int output = 0; output < kOutputs; ++output)
                line[4 * output + i % 4] =
                    (uint8_t)((int)values[i][output] | (int)values[i + 4][output] << 4);
        }
    }
}

inline void pack_panel(const QuantizedPacking& packing, int index) {
    const QuantizedMatrix& target = packing.target;
    uint8_t* const panel =
        target.panels +
        (packing.first_panel + (ptrdiff_t)index * packing.panel_step) * target.panel_bytes;
    const bool is_wide = packing.source_type == Type::float32;
    if (target.bits == 8)
        is_wide ? pack_eight_bits<float>(packing, index, panel)
                : pack_eight_bits<bf16>(packing, index, panel);
    else
        is_wide ? pack_four_bits<float>(packing, index, panel)
                : pack_four_bits<bf16>(packing, index, panel);
}

}  // namespace sglite::SGLITE_ISA
