// What every instruction set offers for weights of 8 and 4 bits: plain arguments, one table.
//
// All of it gives the same numbers, bit for bit, on every instruction set: sums of products are
// integers, and what is done to them in float32 has one order (this code is compiled without
// contraction of products and sums into one operation).
#pragma once

#include "kernels.h"

namespace sglite {

// Panels of 16 outputs; in each the scales, then the codes, both in whole lines of 64 bytes.
//   8 bits: scales float32 [16]; codes [inputs / 4][16 outputs][4 inputs];
//           weight = (code - 128) * scale
//   4 bits: scales bfloat16 [group][16]; codes [inputs / 8][16 outputs][4 bytes], in the low half
//           of byte i input i, in the high half input 4 + i; weight = (code - 8) * scale
// Inputs are padded to whole fours (8 bits) or groups (4 bits) with weights of zero.
struct QuantizedMatrix {
    uint8_t* panels;
    int bits;         // 8 or 4
    int num_inputs;   // of the matrix, at most kMaxQuantizedInputs
    int padded_inputs;
    int group_size;   // inputs that share a scale; 8 bits: all
    int num_groups;
    ptrdiff_t scale_bytes;  // of a panel
    ptrdiff_t panel_bytes;
};

constexpr int kMaxQuantizedInputs = 1 << 16;  // more could overflow a sum of 32 bits
constexpr int kMaxGroupSize = 128;

// Rows as integers of 8 bits: codes = round(x / scale), scale = max |x| / 127.
// A row with a NaN or an infinity gets zeros and the scale NaN, so that its results are NaN.
struct Quantize {
    const void* x;     // [row, size]
    Type x_type;
    int8_t* codes;     // [row, padded_size], zero beyond size
    float* scales;     // [row]
    int32_t* sums;     // [row, num_groups]: of a group's codes
    int size, padded_size, group_size, num_groups;
};

// As `linear` says, with x as `Quantize` leaves it; y is float32 whatever the epilogue.
struct QuantizedLinear {
    Linear linear;  // without weight and x
    QuantizedMatrix weight;
    const int8_t* codes;
    const float* scales;
    const int32_t* sums;
};

// As `Embed`, of a matrix whose first row is that of id `first_id`.
struct QuantizedEmbed {
    QuantizedMatrix table;
    float* y;
    int64_t first_id, num_ids;
};

// Rows of a matrix [num_rows, num_inputs] into the panels first, first + step, ...; those missing
// in the last panel are zero.
struct QuantizedPacking {
    const void* source;
    Type source_type;
    ptrdiff_t source_stride;
    QuantizedMatrix target;
    int num_rows;
    int first_panel, panel_step;
};

struct QuantizedKernels {
    void (*quantize)(const Quantize&, int begin, int end);                        // rows
    void (*linear)(const QuantizedLinear&, int rows, int begin, int end);         // panels, or pairs
    void (*embed)(const QuantizedEmbed&, const int64_t* ids, int begin, int end);  // rows
    void (*pack_panel)(const QuantizedPacking&, int index);
};

}  // namespace sglite
