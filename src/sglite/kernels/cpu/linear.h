// Linear layers over packed weights, for any number of rows.
#pragma once

#include <cmath>

#include "kernels.h"
#include "tile.h"

namespace sglite::SGLITE_ISA {

constexpr ptrdiff_t kAheadBytes = 1024;
constexpr ptrdiff_t kWeightBlockBytes = 192 << 10;  // of weights that stay in the cache over rows

inline Floats activate(Floats x, Activation function) {
    switch (function) {
        case Activation::silu:
            return x / (exponential(-x) + 1.0f);
        case Activation::gelu_tanh: {
            const Floats inner = x * 0.7978845608f * (x * x * 0.044715f + 1.0f);
            return x / (exponential(inner * -2.0f) + 1.0f);
        }
        default: {
            Floats result;
            for (int lane = 0; lane < kLanes; ++lane)
                result[lane] = 0.5f * x[lane] * (1.0f + erff(x[lane] * 0.70710678f));
            return result;
        }
    }
}

template <class T>
inline void store_some(T* target, Floats value, int count) {
    if (count >= kLanes) {
        store_row(target, value);
    } else {
        for (int lane = 0; lane < count; ++lane) assign(target[lane], value[lane]);
    }
}

// One panel's results of some rows into y.
inline void finish_panel(const Linear& op, const float* result, ptrdiff_t result_stride, int row0,
                         int rows, int panel) {
    float* const y = (float*)op.y;
    for (int row = 0; row < rows; ++row) {
        for (int v = 0; v < kPanelVectors; ++v) {
            const int column = panel * kPanel + v * kLanes;
            const int count = op.num_outputs - column;
            if (count <= 0) break;
            Floats value = load(result + row * result_stride + v * kLanes);
            if (op.bias) value += load(op.bias + column);
            float* const target = y + (row0 + row) * op.y_stride + column;
            if (op.epilogue == Epilogue::add) {
                if (count >= kLanes)
                    value += load(target);
                else
                    for (int lane = 0; lane < count; ++lane) value[lane] += target[lane];
            }
            store_some(target, value, count);
        }
    }
}

// A gate panel and the up panel beside it into y.
template <class A>
inline void finish_gated(const Linear& op, const float* result, ptrdiff_t result_stride, int row0,
                         int rows, int unit) {
    A* const y = (A*)op.y;
    for (int row = 0; row < rows; ++row) {
        for (int v = 0; v < kPanelVectors; ++v) {
            const int column = unit * kPanel + v * kLanes;
            if (column >= op.num_outputs) break;
            const float* source = result + row * result_stride + v * kLanes;
            Floats gate = load(source), up = load(source + kPanel);
            if (op.bias) {
                const float* bias = op.bias + 2 * unit * kPanel + v * kLanes;
                gate += load(bias);
                up += load(bias + kPanel);
            }
            store_some(y + (row0 + row) * op.y_stride + column, activate(gate, op.activation) * up,
                       op.num_outputs - column);
        }
    }
}

template <class A, class B>
void linear(const Linear& op, int rows, int begin, int end) {
    using Element = typename B::Element;
    const bool is_gated = op.epilogue == Epilogue::gated;
    const int unit_panels = is_gated ? 2 : 1;
    const int pairs = op.num_inputs / 2;
    const ptrdiff_t panel_size = (ptrdiff_t)pairs * 2 * kPanel;
    const Element* const weight = (const Element*)op.weight;
    const A* const x = (const A*)op.x;
    constexpr ptrdiff_t kStride = kMaxPanels * kPanel;
    alignas(64) float result[kMaxRows * kStride];

    int block = end - begin;  // units of which the rows read the same weights again
    if (rows > kMaxRows) {
        const ptrdiff_t unit_bytes = unit_panels * panel_size * (ptrdiff_t)sizeof(Element);
        block = (int)(kWeightBlockBytes / unit_bytes);
        if (block < 1) block = 1;
    }
    for (int first = begin; first < end; first += block) {
        const int panel_begin = first * unit_panels;
        const int panel_end = (first + block < end ? first + block : end) * unit_panels;
        for (int row0 = 0; row0 < rows; row0 += kMaxRows) {
            const int count = rows - row0 < kMaxRows ? rows - row0 : kMaxRows;
            // The last rows that use these weights ask for the next ones.
            const bool is_last = rows > kMaxRows && row0 + count == rows && first + block < end;
            const ptrdiff_t ahead_by =
                is_last ? block * unit_panels * panel_size : kAheadBytes / sizeof(Element);
            const int at_once = panels_for(count);
            const int group = at_once < unit_panels ? unit_panels : at_once - at_once % unit_panels;
            for (int panel = panel_begin; panel < panel_end; panel += group) {
                const int panels = panel_end - panel < group ? panel_end - panel : group;
                for (int done = 0; done < panels; done += at_once) {
                    const int now = panels - done < at_once ? panels - done : at_once;
                    const Element *columns[kMaxPanels], *ahead[kMaxPanels];
                    for (int p = 0; p < now; ++p) {
                        columns[p] = weight + (panel + done + p) * panel_size;
                        ahead[p] = columns[p] + ahead_by;
                    }
                    const Columns<Element> all{columns, ahead, 2 * kPanel, pairs, false};
                    multiply<A, B>(count, now, x + (ptrdiff_t)row0 * op.num_inputs, op.num_inputs,
                                   {&all, 1}, 0, false, result + done * kPanel, kStride);
                }
                for (int p = 0; p < panels; p += unit_panels) {
                    if (is_gated)
                        finish_gated<A>(op, result + p * kPanel, kStride, row0, count,
                                        (panel + p) / 2);
                    else
                        finish_panel(op, result + p * kPanel, kStride, row0, count, panel + p);
                }
            }
        }
    }
}

inline void any_linear(const Linear& op, int rows, int begin, int end) {
    if (op.weight_type == Type::float32) return linear<float, Float32Pairs>(op, rows, begin, end);
#if SGLITE_BF16_DOT
    if (op.x_type == Type::bfloat16) return linear<bf16, BFloat16Pairs>(op, rows, begin, end);
#endif
    linear<float, BFloat16Pairs>(op, rows, begin, end);
}

}  // namespace sglite::SGLITE_ISA
