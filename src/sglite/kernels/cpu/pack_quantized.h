// Weights of 8 and 4 bits: the layout of a matrix, and its packing on all threads.
#pragma once

#include "quantized.h"

namespace sglite {

// The layout over `panels` (quantized.h). `bits` is 8, or 4 with a group size of 32, 64 or 128;
// std::invalid_argument for anything else.
QuantizedMatrix quantized_matrix(uint8_t* panels, int num_inputs, int bits, int group_size);

void pack_quantized_rows(const QuantizedPacking& packing, const QuantizedKernels& kernels,
                         int num_threads);

}  // namespace sglite
