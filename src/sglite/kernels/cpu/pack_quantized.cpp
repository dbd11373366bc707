#include "pack_quantized.h"

#include <atomic>
#include <stdexcept>

#include "threads.h"

namespace sglite {
namespace {

constexpr ptrdiff_t kLine = 64;

ptrdiff_t round_up(ptrdiff_t value, ptrdiff_t step) { return (value + step - 1) / step * step; }

struct Work {
    const QuantizedPacking& packing;
    const QuantizedKernels& kernels;
    std::atomic<int> next{0};
};

void pack_some(void* context, int, int) {
    Work& work = *(Work*)context;
    const int panels = (work.packing.num_rows + kPanel - 1) / kPanel;
    for (int panel; (panel = work.next.fetch_add(1)) < panels;)
        work.kernels.pack_panel(work.packing, panel);
}

}  // namespace

QuantizedMatrix quantized_matrix(uint8_t* panels, int num_inputs, int bits, int group_size) {
    if (num_inputs < 1 || num_inputs > kMaxQuantizedInputs)
        throw std::invalid_argument("the number of inputs must be from 1 to 65,536");
    QuantizedMatrix matrix{panels, bits, num_inputs, 0, 0, 1, 0, 0};
    if (bits == 8) {
        matrix.padded_inputs = matrix.group_size = (int)round_up(num_inputs, 4);
        matrix.scale_bytes = kPanel * 4;
    } else if (bits == 4 && (group_size == 32 || group_size == 64 || group_size == 128)) {
        matrix.padded_inputs = (int)round_up(num_inputs, group_size);
        matrix.group_size = group_size;
        matrix.num_groups = matrix.padded_inputs / group_size;
        matrix.scale_bytes = round_up((ptrdiff_t)matrix.num_groups * kPanel * 2, kLine);
    } else {
        throw std::invalid_argument("bits must be 8, or 4 with a group_size of 32, 64 or 128");
    }
    const ptrdiff_t code_bytes = (ptrdiff_t)matrix.padded_inputs * kPanel * bits / 8;
    matrix.panel_bytes = matrix.scale_bytes + code_bytes;
    return matrix;
}

void pack_quantized_rows(const QuantizedPacking& packing, const QuantizedKernels& kernels,
                         int num_threads) {
    Work work{packing, kernels};
    run_on_threads(num_threads, pack_some, &work);
}

}  // namespace sglite
