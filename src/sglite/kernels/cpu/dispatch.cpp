#include "dispatch.h"

#include "quantized.h"

#if SGLITE_X86
#include <cpuid.h>
#endif

namespace sglite {

#define SGLITE_DECLARE(isa)       \
    namespace isa {               \
    extern const Kernels kernels; \
    }
#define SGLITE_DECLARE_QUANTIZED(isa)               \
    namespace quantized_##isa {                     \
    extern const QuantizedKernels quantized_kernels; \
    }

SGLITE_DECLARE(avx512_bf16)
SGLITE_DECLARE(avx512)
SGLITE_DECLARE(avx2)
SGLITE_DECLARE(neon)
SGLITE_DECLARE(portable)
SGLITE_DECLARE_QUANTIZED(avx512_vnni)
SGLITE_DECLARE_QUANTIZED(avx512)
SGLITE_DECLARE_QUANTIZED(avx2_vnni)
SGLITE_DECLARE_QUANTIZED(avx2)
SGLITE_DECLARE_QUANTIZED(neon)
SGLITE_DECLARE_QUANTIZED(portable)

namespace {

Kernels table(const char* name, const Kernels& kernels, const QuantizedKernels& quantized) {
    Kernels result = kernels;
    result.name = name;
    result.quantized = &quantized;
    return result;
}

#define SGLITE_TABLE(name, isa, quantized) \
    table(#name, isa::kernels, quantized_##quantized::quantized_kernels)

#if SGLITE_X86
// What this machine has, of what the kernels use.
struct Machine {
    bool avx2, avx2_vnni, avx512, avx512_vnni, avx512_bf16;
};

Machine machine() {
    Machine has{};
    __builtin_cpu_init();  // its answers count the system's support of the registers in
    has.avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#if SGLITE_EMULATE
    has.avx2_vnni = has.avx512 = has.avx512_vnni = has.avx512_bf16 = has.avx2;
#else
    has.avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                 __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
                 __builtin_cpu_supports("avx512cd");
    // Names that compilers learned late, so their bits: CPUID, leaf 7, EAX of subleaf 1, ECX of 0.
    unsigned eax, ebx, ecx, edx;
    if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx))
        has.avx512_vnni = has.avx512 && (ecx >> 11 & 1);
    if (__get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx)) {
        has.avx2_vnni = has.avx2 && (eax >> 4 & 1);
        has.avx512_bf16 = has.avx512_vnni && (eax >> 5 & 1);  // no machine has it alone
    }
#endif
    return has;
}
#endif

// SGLITE_HAS_...: the compiler knew the flags of that code.
std::vector<Kernels> runnable() {
    std::vector<Kernels> found;
#if SGLITE_X86
    const Machine has = machine();
    (void)has;
#endif
#if SGLITE_HAS_AVX512_BF16 && SGLITE_HAS_QUANTIZED_AVX512_VNNI
    if (has.avx512_bf16) found.push_back(SGLITE_TABLE(avx512_bf16, avx512_bf16, avx512_vnni));
#endif
#if SGLITE_HAS_AVX512 && SGLITE_HAS_QUANTIZED_AVX512_VNNI
    if (has.avx512_vnni) found.push_back(SGLITE_TABLE(avx512_vnni, avx512, avx512_vnni));
#endif
#if SGLITE_HAS_AVX512 && SGLITE_HAS_QUANTIZED_AVX512
    if (has.avx512) found.push_back(SGLITE_TABLE(avx512, avx512, avx512));
#endif
#if SGLITE_HAS_AVX2 && SGLITE_HAS_QUANTIZED_AVX2_VNNI
    if (has.avx2_vnni) found.push_back(SGLITE_TABLE(avx2_vnni, avx2, avx2_vnni));
#endif
#if SGLITE_HAS_AVX2 && SGLITE_HAS_QUANTIZED_AVX2
    if (has.avx2) found.push_back(SGLITE_TABLE(avx2, avx2, avx2));
#endif
#if SGLITE_HAS_NEON && SGLITE_HAS_QUANTIZED_NEON
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
