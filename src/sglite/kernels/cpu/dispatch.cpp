#include "dispatch.h"

#include "quantized.h"

namespace sglite {

#define SGLITE_DECLARE(isa)       \
    namespace isa {               \
    extern const Kernels kernels; \
    }
#define SGLITE_DECLARE_QUANTIZED(isa)               \
    namespace quantized_##isa {                     \
    extern const QuantizedKernels quantized_kernels; \
    }

SGLITE_DECLARE(portable)
SGLITE_DECLARE_QUANTIZED(portable)
#if SGLITE_X86
SGLITE_DECLARE(avx512_bf16)
SGLITE_DECLARE(avx512)
SGLITE_DECLARE(avx2)
SGLITE_DECLARE_QUANTIZED(avx512_vnni)
SGLITE_DECLARE_QUANTIZED(avx512)
SGLITE_DECLARE_QUANTIZED(avx2_vnni)
SGLITE_DECLARE_QUANTIZED(avx2)
#elif SGLITE_ARM64
SGLITE_DECLARE(neon)
SGLITE_DECLARE_QUANTIZED(neon)
#endif

namespace {

Kernels table(const char* name, const Kernels& kernels, const QuantizedKernels& quantized) {
    Kernels result = kernels;
    result.name = name;
    result.quantized = &quantized;
    return result;
}

#define SGLITE_TABLE(name, isa, quantized) \
    table(#name, isa::kernels, quantized_##quantized::quantized_kernels)

std::vector<Kernels> runnable() {
    std::vector<Kernels> found;
#if SGLITE_X86
    __builtin_cpu_init();
    const bool has_avx512 = __builtin_cpu_supports("avx512f") &&
                            __builtin_cpu_supports("avx512bw") &&
                            __builtin_cpu_supports("avx512dq") &&
                            __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512cd");
    const bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    if (has_avx512 && __builtin_cpu_supports("avx512vnni")) {
        if (__builtin_cpu_supports("avx512bf16"))  // every CPU with this has the other
            found.push_back(SGLITE_TABLE(avx512_bf16, avx512_bf16, avx512_vnni));
        found.push_back(SGLITE_TABLE(avx512_vnni, avx512, avx512_vnni));
    }
    if (has_avx512) found.push_back(SGLITE_TABLE(avx512, avx512, avx512));
    if (has_avx2 && __builtin_cpu_supports("avxvnni"))
        found.push_back(SGLITE_TABLE(avx2_vnni, avx2, avx2_vnni));
    if (has_avx2) found.push_back(SGLITE_TABLE(avx2, avx2, avx2));
#elif SGLITE_ARM64
    found.push_back(SGLITE_TABLE(neon, neon, neon));  // every 64-bit ARM has it
#endif
    found.push_back(SGLITE_TABLE(portable, portable, portable));
    return found;
}

const std::vector<Kernels>& tables() {
    static const std::vector<Kernels> found = runnable();
    return found;
}

}  // namespace

std::vector<std::string> instruction_sets() {
    std::vector<std::string> names;
    for (const Kernels& kernels : tables()) names.emplace_back(kernels.name);
    return names;
}

const Kernels* find_kernels(const std::string& name) {
    for (const Kernels& kernels : tables())
        if (name == kernels.name) return &kernels;
    return nullptr;
}

}  // namespace sglite
