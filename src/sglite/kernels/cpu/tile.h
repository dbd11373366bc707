// The one inner product of this package: a few rows of A times panels of 16 columns of B.
//
// Linear layers, q times k and probabilities times v are all made of it. B lies in pairs of rows
// (two consecutive k of one column), because that is what bfloat16 instructions read and what the
// others unpack with one shift or mask. Every output is summed in the order of k whatever the
// number of rows, so a row's result does not depend on the batch it is in.
#pragma once

#include "kernels.h"
#include "simd.h"

namespace sglite::SGLITE_ISA {

constexpr int kPanelVectors = kPanel / kLanes;  // registers that hold a row of it
constexpr int kMaxRows = SGLITE_TILE_ROWS;      // rows of A that a tile takes at most
constexpr int kAccumulators = SGLITE_ACCUMULATORS;
constexpr int kMaxPanels = 4;  // panels that a tile takes at once, fewer with many rows

// How many panels keep the accumulators of `rows` rows in registers.
constexpr int panels_for(int rows) {
    const int fitting = kAccumulators / (rows * kPanelVectors);
    return fitting < 1 ? 1 : (fitting > kMaxPanels ? kMaxPanels : fitting);
}

// B as float32, or as bytes that widen in registers: a pair is two rows of `pair_stride / 2`
// numbers.
template <class T>
struct RowPairs {
    using Element = T;
    static inline Floats half(const T* pair, ptrdiff_t pair_stride, int vector, int which) {
        return load_row(pair + which * (pair_stride / 2) + vector * kLanes);
    }
};
using Float32Pairs = RowPairs<float>;
using Int8Pairs = RowPairs<int8_t>;
using Float8Pairs = RowPairs<e4m3>;

// B as bfloat16: a pair is `pair_stride / 2` columns of two numbers.
struct BFloat16Pairs {
    using Element = bf16;
    static inline Floats half(const bf16* pair, ptrdiff_t, int vector, int which) {
        const Bits bits = load_bits(pair + vector * kLanes * 2);
        return which ? odd_of(bits) : even_of(bits);
    }
};

// B of one product: `pairs` pairs of rows, `pair_stride` numbers apart, in panels. `panels[p]` is
// the first pair of a panel; from `ahead[p]` on lies what is read next, or anything: it is asked
// for, not read. `is_odd`: one more row, whose neighbour stays unread: that may be memory nobody
// has written.
template <class Element>
struct Columns {
    const Element* const* panels;
    const Element* const* ahead;
    ptrdiff_t pair_stride;
    int pairs;
    bool is_odd;

    Columns from(int panel) const {
        return {panels + panel, ahead + panel, pair_stride, pairs, is_odd};
    }
    int rows() const { return 2 * pairs + is_odd; }

    // With few rows a product is bound by memory: ask for what comes next while this is computed;
    // with many it costs little.
    inline __attribute__((always_inline)) void prefetch(int panel, ptrdiff_t offset) const {
        for (unsigned line = 0; line < (sizeof(Element) + 1) / 2; ++line)  // of a pair
            __builtin_prefetch(ahead[panel] + offset + line * (pair_stride / 2));
    }
};

// B whose rows lie in several places, one below the other.
template <class Element>
struct Parts {
    const Columns<Element>* parts;
    int num_parts;
};

// acc += A[rows, 2 * pairs (+ 1)] times B.
template <class A, class B, int Rows, int Panels>
struct Product;

template <class B, int Rows, int Panels>
struct Product<float, B, Rows, Panels> {
    using Element = typename B::Element;
    static constexpr int kVectors = Panels * kPanelVectors;

    static inline __attribute__((always_inline)) void half_pair(
        const float* a, ptrdiff_t a_stride, const Columns<Element>& b, ptrdiff_t offset, int which,
        Floats (&acc)[Rows][kVectors]) {
        const auto column = [&](int v) __attribute__((always_inline)) {
            return B::half(b.panels[v / kPanelVectors] + offset, b.pair_stride, v % kPanelVectors,
                           which);
        };
        if constexpr (Rows <= kVectors) {  // the fewer of the two stay in registers
            Floats values[Rows];
#pragma GCC unroll 16
            for (int row = 0; row < Rows; ++row)
                values[row] = broadcast(a[row * a_stride + which]);
#pragma GCC unroll 16
            for (int v = 0; v < kVectors; ++v) {
                const Floats numbers = column(v);
#pragma GCC unroll 16
                for (int row = 0; row < Rows; ++row) acc[row][v] += values[row] * numbers;
            }
        } else {
            Floats numbers[kVectors];
#pragma GCC unroll 16
            for (int v = 0; v < kVectors; ++v) numbers[v] = column(v);
#pragma GCC unroll 16
            for (int row = 0; row < Rows; ++row) {
                const Floats value = broadcast(a[row * a_stride + which]);
#pragma GCC unroll 16
                for (int v = 0; v < kVectors; ++v) acc[row][v] += value * numbers[v];
            }
        }
    }

    static inline __attribute__((always_inline)) void add(const float* a, ptrdiff_t a_stride,
                                                          const Columns<Element>& b,
                                                          Floats (&acc)[Rows][kVectors]) {
        for (int pair = 0; pair < b.pairs; ++pair) {
            const ptrdiff_t offset = pair * b.pair_stride;
            for (int p = 0; p < Panels; ++p) b.prefetch(p, offset);
            half_pair(a + 2 * pair, a_stride, b, offset, 0, acc);
            half_pair(a + 2 * pair, a_stride, b, offset, 1, acc);
        }
        if (b.is_odd) half_pair(a + 2 * b.pairs, a_stride, b, b.pairs * b.pair_stride, 0, acc);
    }
};

#if SGLITE_BF16_DOT
// Both sides bfloat16: one instruction multiplies a pair and adds it to a float32.
template <int Rows, int Panels>
struct Product<bf16, BFloat16Pairs, Rows, Panels> {
    static constexpr int kVectors = Panels * kPanelVectors;

    static inline __attribute__((always_inline)) void one_pair(
        const bf16* a, ptrdiff_t a_stride, const Columns<bf16>& b, ptrdiff_t offset, uint32_t mask,
        Floats (&acc)[Rows][kVectors]) {
        for (int p = 0; p < Panels; ++p) b.prefetch(p, offset);
        Bits pairs[kVectors];
#pragma GCC unroll 16
        for (int v = 0; v < kVectors; ++v) {
            const bf16* const source = b.panels[v / kPanelVectors] + offset;
            pairs[v] = load_bits(source + (v % kPanelVectors) * kLanes * 2) & mask;
        }
#pragma GCC unroll 16
        for (int row = 0; row < Rows; ++row) {
            uint32_t value;
            memcpy(&value, a + row * a_stride, 4);
            const __m512bh both = (__m512bh)_mm512_set1_epi32((int)(value & mask));
#pragma GCC unroll 16
            for (int v = 0; v < kVectors; ++v)
                acc[row][v] =
                    (Floats)_mm512_dpbf16_ps((__m512)acc[row][v], (__m512bh)pairs[v], both);
        }
    }

    static inline __attribute__((always_inline)) void add(const bf16* a, ptrdiff_t a_stride,
                                                          const Columns<bf16>& b,
                                                          Floats (&acc)[Rows][kVectors]) {
        for (int pair = 0; pair < b.pairs; ++pair)
            one_pair(a + 2 * pair, a_stride, b, pair * b.pair_stride, 0xffffffffu, acc);
        if (b.is_odd)
            one_pair(a + 2 * b.pairs, a_stride, b, b.pairs * b.pair_stride, 0x0000ffffu, acc);
    }
};
#endif

// `result` (leading dimension in numbers) = or += rows of A times `Panels` panels of B from
// `first_panel` on.
template <class A, class B, int Rows, int Panels>
inline void multiply_exactly(const A* a, ptrdiff_t a_stride, const Parts<typename B::Element>& b,
                             int first_panel, bool adds, float* result, ptrdiff_t result_stride) {
    constexpr int kVectors = Panels * kPanelVectors;
    Floats acc[Rows][kVectors] = {};
    // Unrolled, as in Product, or the compiler keeps the accumulators in memory around its loop.
    if (adds) {
#pragma GCC unroll 16
        for (int row = 0; row < Rows; ++row)
#pragma GCC unroll 16
            for (int v = 0; v < kVectors; ++v)
                acc[row][v] = load(result + row * result_stride + v * kLanes);
    }
    for (int part = 0; part < b.num_parts; ++part) {
        Product<A, B, Rows, Panels>::add(a, a_stride, b.parts[part].from(first_panel), acc);
        a += b.parts[part].rows();
    }
#pragma GCC unroll 16
    for (int row = 0; row < Rows; ++row)
#pragma GCC unroll 16
        for (int v = 0; v < kVectors; ++v)
            store(result + row * result_stride + v * kLanes, acc[row][v]);
}

// As above with `rows` and `panels` known when it runs: rows <= kMaxRows, panels <= those that fit.
template <class A, class B, int Rows = kMaxRows, int Panels = panels_for(Rows)>
inline void multiply(int rows, int panels, const A* a, ptrdiff_t a_stride,
                     const Parts<typename B::Element>& b, int first_panel, bool adds,
                     float* result, ptrdiff_t result_stride) {
    if constexpr (Rows > 1) {
        if (rows < Rows)
            return multiply<A, B, Rows - 1>(rows, panels, a, a_stride, b, first_panel, adds, result,
                                            result_stride);
    }
    if constexpr (Panels > 1) {
        if (panels < Panels)
            return multiply<A, B, Rows, Panels - 1>(rows, panels, a, a_stride, b, first_panel, adds,
                                                    result, result_stride);
    }
    multiply_exactly<A, B, Rows, Panels>(a, a_stride, b, first_panel, adds, result, result_stride);
}

}  // namespace sglite::SGLITE_ISA
