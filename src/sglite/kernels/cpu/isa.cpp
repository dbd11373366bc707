// Compiled once for each instruction set, with its flags and SGLITE_ISA as its name.
#include "attention.h"
#include "kernels.h"
#include "linear.h"
#include "rows.h"
#include "sample.h"

#define SGLITE_TEXT(name) #name
#define SGLITE_NAME(name) SGLITE_TEXT(name)

namespace sglite::SGLITE_ISA {

extern const Kernels kernels;
const Kernels kernels = {
    SGLITE_NAME(SGLITE_ISA),
    SGLITE_BF16_DOT ? Type::bfloat16 : Type::float32,
    any_linear,
    norm,
    sample,
    embed,
    rotate,
    any_attend,
    any_merge,
    nullptr,
};

}  // namespace sglite::SGLITE_ISA
