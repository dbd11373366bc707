// Linear layers and the embedding over weights of 8 and 4 bits.
//
// As in tile.h, a tile is a few rows times a few panels whose sums stay in registers; what the
// rows are multiplied with, and in which order, does not depend on their number.
#pragma once

#include "integer_dot.h"
#include "linear.h"
#include "quantized.h"

namespace sglite::SGLITE_ISA {

// A tile's operands. Codes of x are `x_stride` bytes apart; `panels[p]` begins with the scales.
struct QuantizedTile {
    const QuantizedMatrix& weight;
    const uint8_t* panels[kMaxPanels];
    const int8_t* codes;
    const float* scales;
    const int32_t* sums;
};

struct EightBits {
    static constexpr int kRows = kMaxRows;
    static constexpr int panels_for_rows(int rows) { return panels_for(rows); }

    template <int Rows, int Panels>
    static inline __attribute__((always_inline)) void multiply(const QuantizedTile& tile,
                                                               float* result, ptrdiff_t stride) {
        constexpr int kVectors = Panels * kPanelVectors;
        const QuantizedMatrix& weight = tile.weight;
        Ints sums[Rows][kVectors];
#pragma GCC unroll 16
        for (int row = 0; row < Rows; ++row)
#pragma GCC unroll 16
            for (int v = 0; v < kVectors; ++v)
                sums[row][v] = broadcast_int(-kCodeZero * tile.sums[row]);
        for (int input = 0; input < weight.padded_inputs; input += 4) {
            Bits codes[kVectors];
#pragma GCC unroll 16
            for (int p = 0; p < Panels; ++p) {
                const uint8_t* line =
                    tile.panels[p] + weight.scale_bytes + (ptrdiff_t)input * kPanel;
                if (Rows <= 2) __builtin_prefetch(line + 1024);
#pragma GCC unroll 16
                for (int v = 0; v < kPanelVectors; ++v)
                    codes[p * kPanelVectors + v] =
                        codes_of(load_bits(line + v * SGLITE_VECTOR_BYTES));
            }
#pragma GCC unroll 16
            for (int row = 0; row < Rows; ++row) {
                const Row x = row_of(tile.codes + (ptrdiff_t)row * weight.padded_inputs + input);
#pragma GCC unroll 16
                for (int v = 0; v < kVectors; ++v)
                    sums[row][v] = dot(sums[row][v], codes[v], x);
            }
        }
#pragma GCC unroll 16
        for (int row = 0; row < Rows; ++row)
#pragma GCC unroll 16
            for (int v = 0; v < kVectors; ++v) {
                const float* scales = (const float*)tile.panels[v / kPanelVectors];
                const Floats value = __builtin_convertvector(sums[row][v], Floats);
                store(result + row * stride + v * kLanes,
                      value * load(scales + v % kPanelVectors * kLanes) * tile.scales[row]);
            }
    }
};

struct FourBits {
    // A group's sums are in registers beside the row's, so there are half as many of each.
    static constexpr int kRows = kLanes == kPanel ? kMaxRows : (kMaxRows + 1) / 2;
    static constexpr int panels_for_rows(int rows) {
        const int fitting = kAccumulators / 2 / (rows * kPanelVectors);
        return fitting < 1 ? 1 : (fitting > kMaxPanels ? kMaxPanels : fitting);
    }

    template <int Rows, int Vectors>
    static inline __attribute__((always_inline)) void add_line(
        const uint8_t* const (&lines)[Vectors], const int8_t* x, ptrdiff_t x_stride,
        Partial (&partial)[Rows][Vectors]) {
        Bits low[Vectors], high[Vectors];
#pragma GCC unroll 16
        for (int v = 0; v < Vectors; ++v) {
            if (Rows <= 2 && v % kPanelVectors == 0) __builtin_prefetch(lines[v] + 1024);
            const Bits codes = load_bits(lines[v]);
            low[v] = codes & 0x0f0f0f0fu;
            high[v] = (codes >> 4) & 0x0f0f0f0fu;
        }
#pragma GCC unroll 16
        for (int row = 0; row < Rows; ++row) {
            const NibbleRow first = nibble_row_of(x + row * x_stride);
            const NibbleRow second = nibble_row_of(x + row * x_stride + 4);
#pragma GCC unroll 16
            for (int v = 0; v < Vectors; ++v) {
                partial[row][v] = nibble_dot(partial[row][v], low[v], first);
                partial[row][v] = nibble_dot(partial[row][v], high[v], second);
            }
        }
    }

    template <int Rows, int Panels>
    static inline __attribute__((always_inline)) void multiply(const QuantizedTile& tile,
                                                               float* result, ptrdiff_t stride) {
        constexpr int kVectors = Panels * kPanelVectors;
        const QuantizedMatrix& weight = tile.weight;
        const int step = kPartialInputs ? kPartialInputs : weight.group_size;
        Floats values[Rows][kVectors] = {};
        for (int group = 0; group < weight.num_groups; ++group) {
            const int end = (group + 1) * weight.group_size;
            Ints sums[Rows][kVectors];
#pragma GCC unroll 16
            for (int row = 0; row < Rows; ++row)
#pragma GCC unroll 16
                for (int v = 0; v < kVectors; ++v)
                    sums[row][v] =
                        broadcast_int(-8 * tile.sums[(ptrdiff_t)row * weight.num_groups + group]);
            for (int first = end - weight.group_size; first < end; first += step) {
                Partial partial[Rows][kVectors] = {};
                for (int input = first; input < first + step; input += 8) {
                    const uint8_t* lines[kVectors];
#pragma GCC unroll 16
                    for (int v = 0; v < kVectors; ++v)
                        lines[v] = tile.panels[v / kPanelVectors] + weight.scale_bytes +
                                   (ptrdiff_t)input * (kPanel / 2) +
                                   v % kPanelVectors * SGLITE_VECTOR_BYTES;
                    add_line<Rows, kVectors>(lines, tile.codes + input, weight.padded_inputs,
                                             partial);
                }
#pragma GCC unroll 16
                for (int row = 0; row < Rows; ++row)
#pragma GCC unroll 16
                    for (int v = 0; v < kVectors; ++v) sums[row][v] += total(partial[row][v]);
            }
#pragma GCC unroll 16
            for (int v = 0; v < kVectors; ++v) {
                const bf16* scales = (const bf16*)tile.panels[v / kPanelVectors];
                const Floats scale = load_row(scales + group * kPanel + v % kPanelVectors * kLanes);
#pragma GCC unroll 16
                for (int row = 0; row < Rows; ++row)
                    values[row][v] += __builtin_convertvector(sums[row][v], Floats) * scale;
            }
        }
#pragma GCC unroll 16
        for (int row = 0; row < Rows; ++row)
#pragma GCC unroll 16
            for (int v = 0; v < kVectors; ++v)
                store(result + row * stride + v * kLanes, values[row][v] * tile.scales[row]);
    }
};

// `multiply` of as many rows and panels as there are when it runs.
template <class Weights, int Rows = Weights::kRows, int Panels = Weights::panels_for_rows(Rows)>
inline void multiply_quantized(int rows, int panels, const QuantizedTile& tile, float* result,
                               ptrdiff_t stride) {
    if constexpr (Rows > 1) {
        if (rows < Rows)
            return multiply_quantized<Weights, Rows - 1>(rows, panels, tile, result, stride);
    }
    if constexpr (Panels > 1) {
        if (panels < Panels)
            return multiply_quantized<Weights, Rows, Panels - 1>(rows, panels, tile, result,
                                                                 stride);
    }
    Weights::template multiply<Rows, Panels>(tile, result, stride);
}

// Rows row0, row0 + 1, ... (at most kRows) times panels panel_begin up to panel_end.
template <class Weights>
void multiply_rows(const QuantizedLinear& op, int row0, int rows, int panel_begin, int panel_end) {
    const Linear& linear = op.linear;
    const QuantizedMatrix& weight = op.weight;
    const int unit_panels = linear.epilogue == Epilogue::gated ? 2 : 1;
    constexpr ptrdiff_t kStride = kMaxPanels * kPanel;
    alignas(64) float result[Weights::kRows * kStride];
    const int at_once = Weights::panels_for_rows(rows);
    const int group = at_once < unit_panels ? unit_panels : at_once - at_once % unit_panels;
    QuantizedTile tile{weight,
                       {},
                       op.codes + (ptrdiff_t)row0 * weight.padded_inputs,
                       op.scales + row0,
                       op.sums + (ptrdiff_t)row0 * weight.num_groups};
    for (int panel = panel_begin; panel < panel_end; panel += group) {
        const int panels = panel_end - panel < group ? panel_end - panel : group;
        for (int done = 0; done < panels; done += at_once) {
            const int now = panels - done < at_once ? panels - done : at_once;
            for (int p = 0; p < now; ++p)
                tile.panels[p] = weight.panels + (panel + done + p) * weight.panel_bytes;
            multiply_quantized<Weights>(rows, now, tile, result + done * kPanel, kStride);
        }
        for (int p = 0; p < panels; p += unit_panels) {
            const float* const values = result + p * kPanel;
            if (unit_panels == 2)
                finish_gated<float>(linear, values, kStride, row0, rows, (panel + p) / 2);
            else
                finish_panel(linear, values, kStride, row0, rows, panel + p);
        }
    }
}

template <class Weights>
void quantized_linear(const QuantizedLinear& op, int rows, int begin, int end) {
    const int unit_panels = op.linear.epilogue == Epilogue::gated ? 2 : 1;
    int block = end - begin;  // units of which the rows read the same weights again
    if (rows > Weights::kRows) {
        block = (int)(kWeightBlockBytes / (unit_panels * op.weight.panel_bytes));
        if (block < 1) block = 1;
    }
    for (int first = begin; first < end; first += block) {
        const int last = first + block < end ? first + block : end;
        for (int row0 = 0; row0 < rows; row0 += Weights::kRows) {
            const int count = rows - row0 < Weights::kRows ? rows - row0 : Weights::kRows;
            multiply_rows<Weights>(op, row0, count, first * unit_panels, last * unit_panels);
        }
    }
}

inline void any_quantized_linear(const QuantizedLinear& op, int rows, int begin, int end) {
    if (op.weight.bits == 8) return quantized_linear<EightBits>(op, rows, begin, end);
    quantized_linear<FourBits>(op, rows, begin, end);
}

inline void quantized_embed(const QuantizedEmbed& op, const int64_t* ids, int begin, int end) {
    const QuantizedMatrix& table = op.table;
    for (int row = begin; row < end; ++row) {
        const int64_t id = ids[row] - op.first_id;
        float* const y = op.y + (ptrdiff_t)row * table.num_inputs;
        if (id < 0 || id >= op.num_ids) {
            for (int i = 0; i < table.num_inputs; ++i) y[i] = 0.0f;
            continue;
        }
        const int lane = (int)(id % kPanel);
        const uint8_t* const panel = table.panels + id / kPanel * table.panel_bytes;
        const uint8_t* const codes = panel + table.scale_bytes + 4 * lane;
        for (int i = 0; i < table.num_inputs; ++i) {
            if (table.bits == 8) {
                const int code = codes[(ptrdiff_t)(i / 4) * 64 + i % 4];
                y[i] = (float)(code - 128) * ((const float*)panel)[lane];
            } else {
                const int both = codes[(ptrdiff_t)(i / 8) * 64 + i % 4];
                const int code = i % 8 < 4 ? both & 15 : both >> 4;
                const bf16* const scales = (const bf16*)panel + i / table.group_size * kPanel;
                y[i] = (float)(code - 8) * widen(scales[lane]);
            }
        }
    }
}

}  // namespace sglite::SGLITE_ISA
