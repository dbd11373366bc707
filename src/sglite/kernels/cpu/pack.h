// Weights as the kernels read them: panels of 16 outputs, in them pairs of inputs.
//
//   float32   [panel][input][16 outputs]
//   bfloat16  [panel][input / 2][16 outputs][2 inputs]
#pragma once

#include <cstddef>

#include "kernels.h"

namespace sglite {

// Rows of a matrix [num_rows, num_inputs] go to the panels first, first + step, ... of `target`;
// those missing in the last panel are zero. A type is converted on the way.
struct Packing {
    const void* source;
    Type source_type;
    ptrdiff_t source_stride;
    void* target;
    Type target_type;
    int num_rows, num_inputs;
    int first_panel, panel_step;
};

void pack_rows(const Packing& packing, int num_threads);

// Row `row` of what was packed, as float32.
void unpack_row(const void* packed, Type type, int num_inputs, int row, float* target);

}  // namespace sglite
