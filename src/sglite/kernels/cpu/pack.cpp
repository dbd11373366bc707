#include "pack.h"

#include <atomic>
#include <cstring>

#include "threads.h"

namespace sglite {
namespace {

float widen(uint16_t value) {
    const uint32_t bits = (uint32_t)value << 16;
    float result;
    memcpy(&result, &bits, 4);
    return result;
}

void convert(float value, float& target) { target = value; }
void convert(uint16_t value, uint16_t& target) { target = value; }
void convert(uint16_t value, float& target) { target = widen(value); }
void convert(float value, uint16_t& target) {
    uint32_t bits;
    memcpy(&bits, &value, 4);
    const bool is_nan = (bits & 0x7fffffffu) > 0x7f800000u;
    target = (uint16_t)(is_nan ? (bits >> 16) | 0x40 : (bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

template <class T>
ptrdiff_t place(int input, int output) {
    if (sizeof(T) == 2) return (ptrdiff_t)(input / 2) * 2 * kPanel + 2 * output + input % 2;
    return (ptrdiff_t)input * kPanel + output;
}

template <class S, class T>
void pack_panel(const Packing& packing, int index) {
    const ptrdiff_t panel_size = (ptrdiff_t)packing.num_inputs * kPanel;
    T* const target =
        (T*)packing.target + (packing.first_panel + (ptrdiff_t)index * packing.panel_step) *
                                 panel_size;
    const S* const source = (const S*)packing.source + index * kPanel * packing.source_stride;
    const int rows = packing.num_rows - index * kPanel;
    if (rows < kPanel) memset(target, 0, panel_size * sizeof(T));
    for (int input = 0; input < packing.num_inputs; ++input)
        for (int output = 0; output < kPanel && output < rows; ++output)
            convert(source[output * packing.source_stride + input],
                    target[place<T>(input, output)]);
}

struct Work {
    const Packing& packing;
    std::atomic<int> next{0};
};

void pack_some(void* context, int, int) {
    Work& work = *(Work*)context;
    const Packing& packing = work.packing;
    const int panels = (packing.num_rows + kPanel - 1) / kPanel;
    const bool from_wide = packing.source_type == Type::float32;
    const bool to_wide = packing.target_type == Type::float32;
    for (int panel; (panel = work.next.fetch_add(1)) < panels;) {
        if (from_wide && to_wide)
            pack_panel<float, float>(packing, panel);
        else if (from_wide)
            pack_panel<float, uint16_t>(packing, panel);
        else if (to_wide)
            pack_panel<uint16_t, float>(packing, panel);
        else
            pack_panel<uint16_t, uint16_t>(packing, panel);
    }
}

}  // namespace

void pack_rows(const Packing& packing, int num_threads) {
    Work work{packing};
    run_on_threads(num_threads, pack_some, &work);
}

void unpack_row(const void* packed, Type type, int num_inputs, int row, float* target) {
    const ptrdiff_t start = (ptrdiff_t)(row / kPanel) * kPanel * num_inputs;
    for (int input = 0; input < num_inputs; ++input) {
        if (type == Type::float32)
            target[input] = ((const float*)packed)[start + place<float>(input, row % kPanel)];
        else
            target[input] =
                widen(((const uint16_t*)packed)[start + place<uint16_t>(input, row % kPanel)]);
    }
}

}  // namespace sglite
