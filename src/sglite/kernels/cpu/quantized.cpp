// Compiled once for each instruction set that multiplies bytes in a way of its own, with its flags
// and without contraction of products and sums (quantized.h).
#include "quantized.h"

#include "quantize.h"
#include "quantized_linear.h"

namespace sglite::SGLITE_ISA {

extern const QuantizedKernels quantized_kernels;
const QuantizedKernels quantized_kernels = {
    quantize,
    any_quantized_linear,
    quantized_embed,
    pack_panel,
};

}  // namespace sglite::SGLITE_ISA
