// Attention of queries over blocks of keys, with a running softmax (FlashAttention, Dao 2022).
//
// A segment is a set of queries that see the same pages: one token of one sequence (decode), many
// tokens of one (a chunk), or tokens of several sequences that share a prefix. Results over parts
// of the keys are merged by their log-sum-exp.
#pragma once

#include <cmath>

#include "kernels.h"
#include "kv_block.h"
#include "tile.h"

namespace sglite::SGLITE_ISA {

constexpr int kRoundBlocks = 4;
constexpr int kRoundKeys = kRoundBlocks * kBlockTokens;
constexpr int kMaxPanelsOfHead = kMaxHeadDim / kPanel;
constexpr float kNothing = -1e30f;

template <class A>
struct QueryTile {
    alignas(64) A q[kMaxQueryRows * kMaxHeadDim];
    alignas(64) float scores[kMaxQueryRows * kRoundKeys];
    alignas(64) A weights[kMaxQueryRows * kRoundKeys];
    alignas(64) float values[kMaxQueryRows * kMaxHeadDim];
    float peak[kMaxQueryRows];
    float total[kMaxQueryRows];
};

// Rows' products with `panels` panels of B, in tiles that fit the registers.
template <class A, class B>
inline void multiply_rows(int rows, int panels, const A* a, ptrdiff_t a_stride,
                          const Parts<typename B::Element>& b, bool adds, float* result,
                          ptrdiff_t result_stride) {
    for (int row0 = 0; row0 < rows; row0 += kMaxRows) {
        const int count = rows - row0 < kMaxRows ? rows - row0 : kMaxRows;
        const int fitting = panels_for(count), tiles = (panels + fitting - 1) / fitting;
        const int at_once = (panels + tiles - 1) / tiles;  // 4 are better cut 2 and 2 than 3 and 1
        for (int panel = 0; panel < panels; panel += at_once) {
            const int now = panels - panel < at_once ? panels - panel : at_once;
            multiply<A, B>(count, now, a + row0 * a_stride, a_stride, b, panel, adds,
                           result + row0 * result_stride + panel * kPanel, result_stride);
        }
    }
}

// Columns of a round, scores or weights, times the scales of their tokens, where there are any.
template <class T, class Element>
inline void scale_columns(T* columns, int rows, const Element* const* blocks, int count, int dim) {
    if constexpr (kScaleSize<Element> != 0) {
        for (int row = 0; row < rows; ++row)
            for (int i = 0; i < count * kBlockTokens; i += kLanes) {
                T* const place = columns + row * kRoundKeys + i;
                const float* const scales = scales_of(blocks[i / kBlockTokens], dim);
                store_row(place, load_row(place) * load(scales + i % kBlockTokens));
            }
    }
}

// score = cap * tanh(score / cap), with tanh(x) = 1 - 2 / (exp(2 x) + 1)
inline void cap_scores(float* scores, int rows, int width, float cap) {
    for (int row = 0; row < rows; ++row)
        for (int i = 0; i < width; i += kLanes) {
            float* const place = scores + row * kRoundKeys + i;
            const Floats power = exponential(load(place) * (2.0f / cap));
            store(place, cap - 2.0f * cap / (power + 1.0f));
        }
}

// Scores of one row in place of [low, high) become weights; the rest of `width` becomes 0.
template <class A>
inline void soften(float* scores, A* weights, int low, int high, int width, float* values, int dim,
                   float& peak, float& total) {
    if (high <= low) {
        for (int i = 0; i < width; i += kLanes) store_row(weights + i, Floats{});
        return;
    }
    Ints lanes;
    for (int lane = 0; lane < kLanes; ++lane) lanes[lane] = lane;
    Floats highest = broadcast(kNothing);
    for (int i = 0; i < width; i += kLanes) {
        Floats score = load(scores + i);
        if (i < low || i + kLanes > high) {
            const Ints place = lanes + i;
            score = ((place >= low) & (place < high)) ? score : broadcast(kNothing);
            store(scores + i, score);
        }
        highest = maximum(highest, score);
    }
    const float new_peak = largest(highest);
    if (new_peak > peak) {
        const float factor = expf(peak - new_peak);
        peak = new_peak;
        total *= factor;
        for (int i = 0; i < dim; i += kLanes) store(values + i, load(values + i) * factor);
    }
    Floats sums{};
    for (int i = 0; i < width; i += kLanes) {
        Floats weight = exponential(load(scores + i) - peak);
        if (i < low || i + kLanes > high) {
            const Ints place = lanes + i;
            weight = ((place >= low) & (place < high)) ? weight : Floats{};
        }
        sums += weight;
        store_row(weights + i, weight);
    }
    total += sum(sums);
}

template <class A, class B>
struct Attention {
    using Element = typename B::Element;
    static constexpr int kColumnStep = sizeof(Element) == 2 ? 2 : 1;

    const Attend& op;
    const AttendInputs& in;
    const int dim = op.head_dim;
    const int group = op.num_heads / op.num_kv_heads;

    int rows_of(const Segment& segment) const { return segment.num_queries * group; }

    void gather(const Segment& segment, int head, int row0, QueryTile<A>& tile) const {
        for (int query = 0; query < segment.num_queries; ++query) {
            const int token = in.query_tokens[segment.first_query + query];
            const A* const source =
                (const A*)op.q + ((ptrdiff_t)token * op.num_heads + head * group) * dim;
            memcpy(tile.q + (ptrdiff_t)(row0 + query * group) * dim, source,
                   sizeof(A) * group * dim);
        }
        const int rows = rows_of(segment);
        memset(tile.values + (ptrdiff_t)row0 * dim, 0, sizeof(float) * rows * dim);
        for (int row = row0; row < row0 + rows; ++row) {
            tile.peak[row] = kNothing;
            tile.total[row] = 0.0f;
        }
    }

    const Element* block(const void* pool, const Segment& segment, int head, int key) const {
        const int page = segment.pages[key / in.page_size];
        const int64_t index = (int64_t)page * (in.page_size / kBlockTokens) +
                              key % in.page_size / kBlockTokens;
        return (const Element*)pool + (index * op.num_kv_heads + head) * block_size<Element>(dim);
    }

    // The keys from `key0` on, for the rows of a head; after them come those of `next_head` from
    // `next_key` on.
    void round(const Segment& segment, int head, int key0, int next_head, int next_key, int row0,
               QueryTile<A>& tile) const {
        const int rows = rows_of(segment);
        int keys = segment.key_end - key0;
        if (keys > kRoundKeys) keys = kRoundKeys;
        const int blocks = (keys + kBlockTokens - 1) / kBlockTokens;
        const Element *k_blocks[kRoundBlocks], *v_blocks[kRoundBlocks], *next_k[kRoundBlocks];
        for (int i = 0; i < blocks; ++i) {
            const int key = key0 + i * kBlockTokens, next = next_key + i * kBlockTokens;
            k_blocks[i] = block(op.k_pool, segment, head, key);
            v_blocks[i] = block(op.v_pool, segment, head, key);
            next_k[i] = block(op.k_pool, segment, next_head, next < segment.key_end ? next : key);
        }
        const Columns<Element> k{k_blocks, v_blocks, 2 * kBlockTokens, dim / 2, false};
        multiply_rows<A, B>(rows, blocks, tile.q + (ptrdiff_t)row0 * dim, dim, {&k, 1}, false,
                            tile.scores, kRoundKeys);
        scale_columns(tile.scores, rows, k_blocks, blocks, dim);
        if (op.softcap > 0.0f) cap_scores(tile.scores, rows, blocks * kBlockTokens, op.softcap);
        for (int row = 0; row < rows; ++row) {
            const int token = in.query_tokens[segment.first_query + row / group];
            int low = in.visible_begin[token], high = in.visible_end[token];
            if (low < segment.key_begin) low = segment.key_begin;
            if (high > segment.key_end) high = segment.key_end;
            low = low > key0 ? low - key0 : 0;
            high = high - key0 < keys ? high - key0 : keys;
            soften(tile.scores + row * kRoundKeys, tile.weights + row * kRoundKeys, low, high,
                   blocks * kBlockTokens, tile.values + (ptrdiff_t)(row0 + row) * dim, dim,
                   tile.peak[row0 + row], tile.total[row0 + row]);
        }
        scale_columns(tile.weights, rows, v_blocks, blocks, dim);
        const int panels = dim / kPanel;
        const Element *columns[kRoundBlocks][kMaxPanelsOfHead];
        const Element *ahead[kRoundBlocks][kMaxPanelsOfHead];
        Columns<Element> v[kRoundBlocks];
        for (int i = 0; i < blocks; ++i) {
            const int rest = keys - i * kBlockTokens;
            const int count = rest < kBlockTokens ? rest : kBlockTokens;
            for (int p = 0; p < panels; ++p) {
                columns[i][p] = v_blocks[i] + p * kPanel * kColumnStep;
                ahead[i][p] = next_k[i] + p * kPanel * kColumnStep;
            }
            v[i] = {columns[i], ahead[i], 2 * dim, count / 2, count % 2 != 0};
        }
        multiply_rows<A, B>(rows, panels, tile.weights, kRoundKeys, {v, blocks}, true,
                            tile.values + (ptrdiff_t)row0 * dim, dim);
    }

    // Heads that read few rows go through the keys together: those of a page lie side by side.
    void run(const Segment& segment, int first_head, int heads, QueryTile<A>& tile) const {
        const int rows = rows_of(segment), end = first_head + heads;
        for (int head = first_head; head < end; ++head)
            gather(segment, head, (head - first_head) * rows, tile);
        const int first = segment.key_begin / kBlockTokens * kBlockTokens;
        for (int key0 = first; key0 < segment.key_end; key0 += kRoundKeys)
            for (int head = first_head; head < end; ++head) {
                const bool is_last = head == end - 1;
                round(segment, head, key0, is_last ? first_head : head + 1,
                      is_last ? key0 + kRoundKeys : key0, (head - first_head) * rows, tile);
            }
        for (int head = first_head; head < end; ++head)
            write(segment, head, (head - first_head) * rows, tile);
    }

private:
    void write(const Segment& segment, int head, int row0, const QueryTile<A>& tile) const {
        for (int row = 0; row < rows_of(segment); ++row) {
            const int query = segment.first_query + row / group;
            const int token = in.query_tokens[query], q_head = head * group + row % group;
            const float* const values = tile.values + (ptrdiff_t)(row0 + row) * dim;
            const float peak = tile.peak[row0 + row], total = tile.total[row0 + row];
            const int slot = in.query_slots[query];
            if (slot < 0) {
                A* const out = (A*)op.out + ((ptrdiff_t)token * op.num_heads + q_head) * dim;
                const float factor = 1.0f / total;
                for (int i = 0; i < dim; i += kLanes) store_row(out + i, load(values + i) * factor);
            } else {
                float* const out =
                    in.partials + ((ptrdiff_t)slot * op.num_heads + q_head) * (dim + 2);
                out[0] = peak;
                out[1] = total;
                memcpy(out + 2, values, sizeof(float) * dim);
            }
        }
    }
};

template <class A, class B>
void attend(const Attend& op, const AttendInputs& in, int begin, int end) {
    const Attention<A, B> attention{op, in};
    QueryTile<A> tile;
    for (int i = begin; i < end; ++i) {
        const AttendItem& item = in.items[i];
        attention.run(in.segments[item.segment], item.first_head, item.num_heads, tile);
    }
}

template <class A>
void merge_tokens(const Attend& op, const AttendInputs& in, int begin, int end) {
    const int dim = op.head_dim;
    const ptrdiff_t head_size = dim + 2, slot_size = op.num_heads * head_size;
    for (int token = begin; token < end; ++token) {
        const int first = in.partial_begin[token], last = in.partial_end[token];
        for (int head = 0; first < last && head < op.num_heads; ++head) {
            const float* const parts = in.partials + first * slot_size + head * head_size;
            float peak = kNothing, total = 0.0f;
            for (int i = 0; i < last - first; ++i)
                peak = parts[i * slot_size] > peak ? parts[i * slot_size] : peak;
            alignas(64) float values[kMaxHeadDim] = {};
            for (int i = 0; i < last - first; ++i) {
                const float* const part = parts + i * slot_size;
                const float factor = expf(part[0] - peak);
                total += part[1] * factor;
                for (int d = 0; d < dim; d += kLanes)
                    store(values + d, load(values + d) + load(part + 2 + d) * factor);
            }
            A* const out = (A*)op.out + ((ptrdiff_t)token * op.num_heads + head) * dim;
            for (int d = 0; d < dim; d += kLanes) store_row(out + d, load(values + d) / total);
        }
    }
}

inline void any_attend(const Attend& op, const AttendInputs& in, int begin, int end) {
    if (op.kv_type == Type::float32) return attend<float, Float32Pairs>(op, in, begin, end);
    if (op.kv_type == Type::int8) return attend<float, Int8Pairs>(op, in, begin, end);
    if (op.kv_type == Type::float8_e4m3) return attend<float, Float8Pairs>(op, in, begin, end);
#if SGLITE_BF16_DOT
    if (op.q_type == Type::bfloat16) return attend<bf16, BFloat16Pairs>(op, in, begin, end);
#endif
    attend<float, BFloat16Pairs>(op, in, begin, end);
}

inline void any_merge(const Attend& op, const AttendInputs& in, int begin, int end) {
    if (op.q_type == Type::bfloat16)
        merge_tokens<bf16>(op, in, begin, end);
    else
        merge_tokens<float>(op, in, begin, end);
}

}  // namespace sglite::SGLITE_ISA
