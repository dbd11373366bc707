// The next token of each row of logits: the likeliest, or a draw with temperature and filters.
//
// What is drawn is what sglite says elsewhere, in the order of sampling/sampler.py and draw/ranking.py:
//   weight(i) = exp((x(i) - max x) / temperature), a probability but for its normalisation;
//   tokens are ranked by weight, of equal ones the lower id first;
//   a token is kept if fewer than top_k are ranked before it, if the weights before it add up to
//     less than top_p of all (the token that crosses top_p stays), and if its weight is at least
//     min_p of the largest; the first of the ranking is always kept;
//   of the kept ones the largest weight(i) / noise(i) is the next token, noise(i) the exponential
//     number of (seed, position, i) in kernels/draw/noise.py: a race that i wins with its probability.
// Weights under e^-87 are 0; the race cannot be won from 1e-11 down, because noise lies between
// 2^-32 and 17.
//
// Nothing is sorted. The race is run among all tokens; its winner is the draw if it is kept, which
// one pass over the weights tells (how many are before it, and their sum). If it is not, neither is
// any token ranked after it, and the race is run again among those before it: the winner of a
// larger field is the winner of every smaller one that it belongs to. Each time the weight that is left
// shrinks to a share as random as the draw, so the number of passes is logarithmic. (Rejection
// with a moving bound is how FlashInfer samples on GPUs, Ye et al. 2025; the race makes what is
// drawn independent of how often it is run.) Blocks of tokens whose largest weight is below the
// bound are passed over, and top-k begins with a bound: the k-th largest of the blocks' maxima.
//
// Of a row with a mask the logits of legal tokens are copied, the others' become -inf. Where a
// block has no legal token nothing is written, and nothing is read again: its largest weight is 0.
#pragma once

#include <climits>
#include <cmath>

#include "kernels.h"
#include "simd.h"

namespace sglite::SGLITE_ISA {

inline uint64_t mix64(uint64_t x) {
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

// The two hash keys of a row: noise.py, row_keys.
struct RowKeys {
    uint32_t first, second;
};

inline RowKeys row_keys(int64_t seed, int64_t position) {
    const uint64_t mixed = mix64((uint64_t)seed + 0x9e3779b97f4a7c15u);
    const uint64_t keys = mix64(mixed + (uint64_t)position * 0xd1342543de82ef95u);
    return {(uint32_t)keys, (uint32_t)(keys >> 32)};
}

// The uniform numbers behind the noise of tokens, bit for bit those of noise.py.
inline Floats uniforms(RowKeys keys, Bits ids) {
    Bits x = ids ^ (Bits{} + keys.first);
    x = (x ^ (x >> 16)) * 0x21f0aaadu;
    x ^= Bits{} + keys.second;
    x = (x ^ (x >> 15)) * 0x735a2d97u;
    x ^= x >> 15;
    const Floats whole = __builtin_convertvector((Ints)(x & 0x7fffffffu), Floats);
    return minimum(whole * 0x1p-31f + 0x1p-32f, broadcast(1.0f - 0x1p-24f));
}

inline Bits ids_from(int first) {
    Bits ids;
    for (int lane = 0; lane < kLanes; ++lane) ids[lane] = (uint32_t)(first + lane);
    return ids;
}

inline bool any(Ints mask) {
    uint64_t words[SGLITE_VECTOR_BYTES / 8], result = 0;
    memcpy(words, &mask, sizeof mask);
    for (uint64_t word : words) result |= word;
    return result != 0;
}

// The largest number of a row; NaN where that is not finite or any of them is no number.
inline float finite_peak(const float* x, int size) {
    constexpr int kAtOnce = 4;
    Floats highest[kAtOnce];
    Ints no_number{};
    for (Floats& each : highest) each = broadcast(-INFINITY);
    int i = 0;
    for (; i + kAtOnce * kLanes <= size; i += kAtOnce * kLanes)
        for (int part = 0; part < kAtOnce; ++part) {
            const Floats value = load(x + i + part * kLanes);
            highest[part] = maximum(highest[part], value);
            no_number |= value != value;
        }
    float peak = -INFINITY;
    for (const Floats& each : highest) peak = largest(each) > peak ? largest(each) : peak;
    bool is_valid = !any(no_number);
    for (; i < size; ++i) {
        peak = x[i] > peak ? x[i] : peak;
        is_valid &= x[i] == x[i];
    }
    return is_valid && peak > -INFINITY && peak < INFINITY ? peak : NAN;
}

// Where `value`, which is among them, stands first.
inline int first_of(const float* values, int size, float value) {
    constexpr int kAtOnce = 4;
    int place = 0;
    for (; place + kAtOnce * kLanes <= size; place += kAtOnce * kLanes) {
        Ints found{};
        for (int part = 0; part < kAtOnce; ++part)
            found |= load(values + place + part * kLanes) == value;
        if (any(found)) break;
    }
    while (values[place] != value) ++place;
    return place;
}

// The weights of a row in whole blocks, 0 behind its end, with the largest of each block.
struct Weights {
    float* values;
    float* maxima;  // of the blocks, padded to whole registers
    int num_blocks;
    double total;
};

// Over `scratch` (sample_scratch_size floats), which is not filled yet.
inline Weights weights_in(float* scratch, int size) {
    const int num_blocks = sample_blocks(size);
    Weights weights{scratch, scratch + (ptrdiff_t)num_blocks * kSampleBlock, num_blocks, 0.0};
    for (int block = num_blocks; block % kLanes; ++block) weights.maxima[block] = -1.0f;
    return weights;
}

// The logits of a block: where they lie or, of the last one, in `padded` with -inf behind the end.
inline const float* whole_block(const float* x, int size, int block, float* padded) {
    const int first = block * kSampleBlock;
    if (first + kSampleBlock <= size) return x + first;
    for (int i = 0; i < kSampleBlock; ++i) padded[i] = first + i < size ? x[first + i] : -INFINITY;
    return padded;
}

// `source` may be the block's own values.
inline void weigh_block(Weights& weights, int block, const float* source, float peak,
                        float temperature) {
    float* const values = weights.values + (ptrdiff_t)block * kSampleBlock;
    Floats sums{}, highest{};
    for (int i = 0; i < kSampleBlock; i += kLanes) {
        const Floats tempered = (load(source + i) - peak) / temperature;
        const Floats value = tempered > -87.0f ? exponential(tempered) : Floats{};
        store(values + i, value);
        sums += value;
        highest = maximum(highest, value);
    }
    weights.maxima[block] = largest(highest);
    weights.total += sum(sums);
}

inline void weigh(Weights& weights, const float* x, int size, float peak, float temperature) {
    float padded[kSampleBlock];
    for (int block = 0; block < weights.num_blocks; ++block)
        weigh_block(weights, block, whole_block(x, size, block, padded), peak, temperature);
}

// All ones in the lanes of the lowest bits that are set.
inline Ints lanes_of(uint32_t bits) {
    Bits own;
    for (int lane = 0; lane < kLanes; ++lane) own[lane] = 1u << lane;
    return ((Bits{} + bits) & own) != 0u;
}

// Logits take the place of weights until weigh_legal: of legal tokens, -inf elsewhere in their
// blocks. The largest of a block without any is -inf. Returns the largest of all.
inline float copy_legal(Weights& logits, const float* x, int size, const uint32_t* legal) {
    constexpr int kBlockWords = kSampleBlock / 32;
    float peak = -INFINITY, padded[kSampleBlock];
    for (int block = 0; block < logits.num_blocks; ++block) {
        uint32_t words[kBlockWords], any_legal = 0;
        for (int i = 0; i < kBlockWords; ++i) {
            const int word = block * kBlockWords + i;
            words[i] = word < mask_words(size) ? legal[word] : 0;
            any_legal |= words[i];
        }
        logits.maxima[block] = -INFINITY;
        if (!any_legal) continue;
        const float* const source = whole_block(x, size, block, padded);
        float* const values = logits.values + (ptrdiff_t)block * kSampleBlock;
        Floats highest = broadcast(-INFINITY);
        for (int i = 0; i < kSampleBlock; i += kLanes) {
            const Ints is_legal = lanes_of(words[i / 32] >> (i % 32));
            const Floats value = is_legal ? load(source + i) : broadcast(-INFINITY);
            store(values + i, value);
            highest = maximum(highest, value);
        }
        logits.maxima[block] = largest(highest);
        peak = logits.maxima[block] > peak ? logits.maxima[block] : peak;
    }
    return peak;
}

// In the place of what copy_legal left.
inline void weigh_legal(Weights& weights, float peak, float temperature) {
    for (int block = 0; block < weights.num_blocks; ++block) {
        const float* const logits = weights.values + (ptrdiff_t)block * kSampleBlock;
        if (weights.maxima[block] == -INFINITY)
            weights.maxima[block] = 0.0f;
        else
            weigh_block(weights, block, logits, peak, temperature);
    }
}

// Where the largest of all, which is in the block of the largest maximum, stands first.
inline int first_of_blocks(const Weights& weights, float value) {
    const int first = first_of(weights.maxima, weights.num_blocks, value) * kSampleBlock;
    return first + first_of(weights.values + first, kSampleBlock, value);
}

// A place in the ranking: before it are larger weights, and equal ones of a lower id.
struct Place {
    float weight;
    int id;
};

inline double score(float weight, float uniform) { return weight / -log1p(-(double)uniform); }

// The winner of the race among tokens before `end`. `first` is the first of the ranking.
inline int fastest(const Weights& weights, RowKeys keys, Place end, int first) {
    int winner = first;
    double best = score(weights.values[first], uniforms(keys, Bits{} + (uint32_t)first)[0]);
    float uniform[kSampleBlock];
    for (int block = 0; block < weights.num_blocks; ++block) {
        // Noise is at least its uniform number, and that at least 2^-32.
        float bar = (float)best * 0.999999f;
        const float highest = weights.maxima[block];
        if (highest < end.weight || highest < bar * 0x1p-32f) continue;
        const float* const values = weights.values + (ptrdiff_t)block * kSampleBlock;
        const int id = block * kSampleBlock;
        Ints hits{};
        for (int i = 0; i < kSampleBlock; i += kLanes) {
            const Floats value = load(values + i), lots = uniforms(keys, ids_from(id + i));
            store(uniform + i, lots);
            hits |= (value > bar * lots) & (value >= end.weight);
        }
        if (!any(hits)) continue;
        for (int i = 0; i < kSampleBlock; ++i) {
            const float value = values[i];
            const bool is_before = value > end.weight || (value == end.weight && id + i < end.id);
            if (!is_before || !(value > bar * uniform[i])) continue;
            const double reached = score(value, uniform[i]);
            if (reached <= best) continue;
            best = reached;
            bar = (float)best * 0.999999f;
            winner = id + i;
        }
    }
    return winner;
}

// What is ranked before a token.
struct Before {
    int count;
    double weight;
};

inline Before before(const Weights& weights, int token) {
    const float weight = weights.values[token];
    Ints counts{};
    Before result{0, 0.0};
    for (int block = 0; block < weights.num_blocks; ++block) {
        if (weights.maxima[block] < weight) continue;
        const int id = block * kSampleBlock;
        Floats sums{};
        for (int i = 0; i < kSampleBlock; i += kLanes) {
            const Floats value = load(weights.values + id + i);
            const Ints is_lower_id = (Ints)ids_from(id + i) < token;
            const Ints is_before = (value > weight) | ((value == weight) & is_lower_id);
            counts -= is_before;
            sums += (Floats)((Ints)value & is_before);
        }
        result.weight += sum(sums);
    }
    for (int lane = 0; lane < kLanes; ++lane) result.count += counts[lane];
    return result;
}

// The largest number that `count` of the blocks' maxima reach, by bisection: the bits of floats
// that are not negative are ordered as they are.
inline float reached_by(const Weights& weights, int count) {
    uint32_t low = 0, high = 0x3f800000u;  // 0 and 1: no weight is larger
    while (low < high) {
        const uint32_t middle = low + (high - low + 1) / 2;
        float bound;
        memcpy(&bound, &middle, sizeof bound);
        Ints reaching{};
        for (int block = 0; block < weights.num_blocks; block += kLanes)
            reaching -= load(weights.maxima + block) >= bound;
        int total = 0;
        for (int lane = 0; lane < kLanes; ++lane) total += reaching[lane];
        if (total >= count)
            low = middle;
        else
            high = middle - 1;
    }
    float result;
    memcpy(&result, &low, sizeof result);
    return result;
}

inline int draw(const Weights& weights, int size, const Draws& draws, int index) {
    const int64_t top_k = draws.top_k[index];
    const float top_p = draws.top_p[index], min_p = draws.min_p[index];
    const RowKeys keys = row_keys(draws.seed[index], draws.position[index]);
    const int first = first_of_blocks(weights, 1.0f);
    Place end{top_k <= weights.num_blocks ? reached_by(weights, (int)top_k) : 0.0f, INT_MAX};
    if (min_p > end.weight) end.weight = min_p;
    while (true) {
        const int winner = fastest(weights, keys, end, first);
        if (winner == first || (top_k >= size && top_p >= 1.0f)) return winner;
        const Before ahead = before(weights, winner);
        if (ahead.count < top_k && (top_p >= 1.0f || ahead.weight < top_p * weights.total))
            return winner;
        end = {weights.values[winner], winner};
    }
}

inline int next_token(const float* x, int size, const Draws& draws, int index, float* scratch) {
    float peak = finite_peak(x, size);
    if (peak != peak) return -1;
    const float temperature = draws.temperature ? draws.temperature[index] : 0.0f;
    if (!draws.legal && temperature == 0.0f) return first_of(x, size, peak);
    Weights weights = weights_in(scratch, size);
    if (draws.legal) {
        const uint32_t* const legal = draws.legal + (ptrdiff_t)index * mask_words(size);
        peak = copy_legal(weights, x, size, legal);
        if (peak == -INFINITY) return -1;
        if (temperature == 0.0f) return first_of_blocks(weights, peak);
        weigh_legal(weights, peak, temperature);
    } else {
        weigh(weights, x, size, peak, temperature);
    }
    return draw(weights, size, draws, index);
}

inline void sample(const Sample& op, const Draws& draws, float* scratch, int begin, int end) {
    for (int index = begin; index < end; ++index) {
        const int row = draws.rows ? draws.rows[index] : index;
        const float* const x = op.x + (ptrdiff_t)row * op.size;
        op.ids[row] = next_token(x, op.size, draws, index, scratch);
    }
}

}  // namespace sglite::SGLITE_ISA
