// What Python sees: instruction sets, packing, and programs that are recorded once and replayed.
//
// Arrays come by DLPack and are checked here; a program keeps those it was recorded with alive.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <optional>
#include <stdexcept>

#include "dispatch.h"
#include "pack.h"
#include "pack_quantized.h"
#include "program.h"
#include "threads.h"

namespace nb = nanobind;

namespace sglite {
namespace {

using Array = nb::ndarray<nb::device::cpu, nb::c_contig>;
using Int32s = nb::ndarray<const int32_t, nb::device::cpu, nb::c_contig>;
using Int64s = nb::ndarray<const int64_t, nb::device::cpu, nb::c_contig>;
using Floats32 = nb::ndarray<const float, nb::device::cpu, nb::c_contig>;

[[noreturn]] void refuse(const std::string& what) { throw std::invalid_argument(what); }

void require(bool holds, const char* what) {
    if (!holds) refuse(what);
}

template <class AnyArray>
Type type_of(const AnyArray& array) {
    const nb::dlpack::dtype type = array.dtype();
    if (type.lanes == 1 && type.code == (uint8_t)nb::dlpack::dtype_code::Float && type.bits == 32)
        return Type::float32;
    if (type.lanes == 1 && type.code == (uint8_t)nb::dlpack::dtype_code::Bfloat && type.bits == 16)
        return Type::bfloat16;
    refuse("expected an array of float32 or bfloat16");
}

// Torch hands out its 8-bit floats as uint8 (kv_pool.py).
Type pool_type_of(const Array& array) {
    if (array.dtype() == nb::dtype<int8_t>()) return Type::int8;
    if (array.dtype() == nb::dtype<uint8_t>()) return Type::float8_e4m3;
    return type_of(array);
}

float* floats(const Array& array, const char* what) {
    if (type_of(array) != Type::float32) refuse(std::string(what) + " must be float32");
    return (float*)array.data();
}

Epilogue epilogue_of(const std::string& name) {
    if (name == "store") return Epilogue::store;
    if (name == "add") return Epilogue::add;
    if (name == "gated") return Epilogue::gated;
    refuse("unknown epilogue " + name);
}

Activation activation_of(const std::string& name) {
    if (name == "silu") return Activation::silu;
    if (name == "gelu") return Activation::gelu;
    if (name == "gelu_pytorch_tanh") return Activation::gelu_tanh;
    refuse("unknown activation " + name);
}

const Kernels& kernels_of(const std::string& name) {
    const Kernels* kernels = find_kernels(name);
    if (!kernels) refuse("instruction set " + name + " does not run on this machine");
    return *kernels;
}

void pack(nb::ndarray<nb::ro, nb::device::cpu> source, Array target, int first_panel,
          int panel_step, int num_threads) {
    require(source.ndim() == 2 && source.stride(1) == 1, "source must be a matrix of whole rows");
    const int num_rows = (int)source.shape(0), num_inputs = (int)source.shape(1);
    require(num_inputs % 2 == 0, "the number of inputs must be even");
    const int panels = (num_rows + 15) / 16;
    const size_t last = first_panel + (size_t)(panels - 1) * panel_step;
    require((last + 1) * 16 * num_inputs <= target.size(), "the panels do not fit the target");
    const Packing packing{source.data(), type_of(source), source.stride(0), target.data(),
                          type_of(target), num_rows, num_inputs, first_panel, panel_step};
    nb::gil_scoped_release release;
    pack_rows(packing, num_threads);
}

void unpack(Array packed, int num_inputs, Int64s rows, Array target) {
    require(target.size() == rows.size() * num_inputs, "the target must hold the rows");
    float* const out = floats(target, "target");
    for (size_t i = 0; i < rows.size(); ++i) {
        require(rows.data()[i] >= 0 && (size_t)(rows.data()[i] / 16 + 1) * 16 * num_inputs <=
                                           packed.size(), "row out of range");
        unpack_row(packed.data(), type_of(packed), num_inputs, (int)rows.data()[i],
                   out + i * num_inputs);
    }
}

// A matrix of 8 or 4 bits over an array of bytes that it keeps.
struct HeldMatrix {
    HeldMatrix(Array packed, int num_inputs, int bits, int group_size)
        : array(packed),
          matrix(quantized_matrix((uint8_t*)packed.data(), num_inputs, bits, group_size)),
          num_panels(packed.size() / matrix.panel_bytes) {
        require(packed.dtype() == nb::dtype<uint8_t>(), "packed must be uint8");
        require(packed.size() == num_panels * matrix.panel_bytes, "packed is not whole panels");
    }

    void pack(const std::string& instruction_set, nb::ndarray<nb::ro, nb::device::cpu> source,
              int first_panel, int panel_step, int num_threads) {
        require(source.ndim() == 2 && source.stride(1) == 1,
                "source must be a matrix of whole rows");
        require((int)source.shape(1) == matrix.num_inputs, "source has another number of inputs");
        const int num_rows = (int)source.shape(0);
        const size_t last = first_panel + (size_t)((num_rows + 15) / 16 - 1) * panel_step;
        require(num_rows > 0 && first_panel >= 0 && panel_step > 0 && last < num_panels,
                "the panels do not fit the matrix");
        const QuantizedPacking packing{source.data(), type_of(source), source.stride(0), matrix,
                                       num_rows, first_panel, panel_step};
        const QuantizedKernels& kernels = *kernels_of(instruction_set).quantized;
        nb::gil_scoped_release release;
        pack_quantized_rows(packing, kernels, num_threads);
    }

    Array array;
    QuantizedMatrix matrix;
    size_t num_panels;
};

// Records operations and replays them.
class Recorder {
public:
    Recorder(const std::string& instruction_set, int num_threads,
             const std::vector<int>& page_sizes, const std::vector<int>& windows,
             bool groups_prefixes)
        : program_(kernels_of(instruction_set), num_threads, layouts(page_sizes, windows),
                   groups_prefixes),
          num_groups_(page_sizes.size()) {
        require(num_threads > 0, "num_threads must be positive");
    }

    void embed(Array table, Array out, int size, int64_t first_id) {
        require(size > 0 && table.size() % (kPanel * (size_t)size) == 0,
                "table is not whole panels");
        program_.add(Embed{table.data(), floats(out, "out"), type_of(table), size, first_id,
                           (int64_t)(table.size() / size)});
        keep({table, out});
    }

    void norm(Array x, Array weight, Array out, float eps, bool of_samples) {
        program_.add(Norm{floats(x, "x"), floats(weight, "weight"), out.data(), type_of(out),
                          (int)weight.size(), eps},
                     of_samples);
        keep({x, weight, out});
    }

    void linear(Array weight, nb::object bias, Array x, Array out, int num_outputs,
                int num_inputs, const std::string& epilogue, const std::string& activation,
                bool of_samples) {
        Linear op{weight.data(), nullptr, x.data(), out.data(), type_of(weight), type_of(x),
                  epilogue_of(epilogue), activation_of(activation), num_outputs, num_inputs,
                  num_outputs};
        const size_t panels = (num_outputs + 15) / 16 * (op.epilogue == Epilogue::gated ? 2 : 1);
        require(weight.size() == panels * 16 * num_inputs, "weight has another size");
        require(op.x_type == Type::float32 || (op.weight_type == Type::bfloat16 &&
                program_.kernels().best_x_type == Type::bfloat16),
                "x must be float32 for this weight and instruction set");
        require(type_of(out) == (op.epilogue == Epilogue::gated ? op.x_type : Type::float32),
                "out has another type");
        if (!bias.is_none()) {
            const Array values = nb::cast<Array>(bias);
            require(values.size() == panels * 16, "bias must be padded to whole panels");
            op.bias = floats(values, "bias");
            keep({values});
        }
        program_.add(op, of_samples);
        keep({weight, x, out});
    }

    void quantized_embed(const HeldMatrix& table, Array out, int64_t first_id) {
        program_.add(QuantizedEmbed{table.matrix, floats(out, "out"), first_id,
                                    (int64_t)table.num_panels * kPanel});
        keep({table.array, out});
    }

    // x as integers, for `weight`: what its product, the next operation, reads.
    void quantize(Array x, const HeldMatrix& weight, Array codes, Array scales, Array sums,
                  bool of_samples) {
        const QuantizedMatrix& matrix = weight.matrix;
        require(x.ndim() == 2 && (int)x.shape(1) == matrix.num_inputs, "x has another size");
        check_codes(matrix, codes, scales, sums);
        program_.add(Quantize{x.data(), type_of(x), (int8_t*)codes.data(), floats(scales, "scales"),
                              (int32_t*)sums.data(), matrix.num_inputs, matrix.padded_inputs,
                              matrix.group_size, matrix.num_groups},
                     of_samples);
        keep({x, codes, scales, sums});
    }

    void quantized_linear(const HeldMatrix& weight, nb::object bias, Array codes, Array scales,
                          Array sums, Array out, int num_outputs, const std::string& epilogue,
                          const std::string& activation, bool of_samples) {
        const QuantizedMatrix& matrix = weight.matrix;
        check_codes(matrix, codes, scales, sums);
        QuantizedLinear op{{}, matrix, (const int8_t*)codes.data(), floats(scales, "scales"),
                           (const int32_t*)sums.data()};
        op.linear = {nullptr, nullptr, nullptr, floats(out, "out"), Type::float32, Type::float32,
                     epilogue_of(epilogue), activation_of(activation), num_outputs,
                     matrix.num_inputs, num_outputs};
        const bool is_gated = op.linear.epilogue == Epilogue::gated;
        const size_t panels = (num_outputs + 15) / 16 * (is_gated ? 2 : 1);
        require(weight.num_panels == panels, "weight has another number of outputs");
        if (!bias.is_none()) {
            const Array values = nb::cast<Array>(bias);
            require(values.size() == panels * 16, "bias must be padded to whole panels");
            op.linear.bias = floats(values, "bias");
            keep({values});
        }
        program_.add(op, of_samples);
        keep({weight.array, codes, scales, sums, out});
    }

    void sample(Array x, Array ids, int size) {
        require(ids.dtype() == nb::dtype<int64_t>(), "ids must be int64");
        require(size > 0, "size must be positive");
        require(x.size() >= ids.size() * size, "x must have a row per id");
        program_.add(Sample{floats(x, "x"), (int64_t*)ids.data(), size}, true);
        most_samples_ = ids.size();
        vocab_size_ = size;
        keep({x, ids});
    }

    void rotate(Array qkv, Array q, Array k_pool, Array v_pool, nb::object q_norm,
                nb::object k_norm, int num_heads, int num_kv_heads, int head_dim, float eps,
                float scale, int group) {
        check_heads(num_heads, num_kv_heads, head_dim, group);
        Rotate args{floats(qkv, "qkv"), q.data(), k_pool.data(), v_pool.data(), nullptr, nullptr,
                    type_of(q), pool_type_of(k_pool), num_heads, num_kv_heads, head_dim, eps, scale};
        check_pool(args.q_type, k_pool, v_pool, num_kv_heads, head_dim);
        if (!q_norm.is_none()) {
            const Array q_weight = nb::cast<Array>(q_norm), k_weight = nb::cast<Array>(k_norm);
            args.q_norm = floats(q_weight, "q_norm");
            args.k_norm = floats(k_weight, "k_norm");
            keep({q_weight, k_weight});
        }
        program_.add(RotateOp{args, group});
        keep({qkv, q, k_pool, v_pool});
    }

    void attend(Array q, Array out, Array k_pool, Array v_pool, int num_heads, int num_kv_heads,
                int head_dim, int group, float softcap) {
        check_heads(num_heads, num_kv_heads, head_dim, group);
        const Attend args{q.data(),  out.data(),           k_pool.data(), v_pool.data(),
                          type_of(q), pool_type_of(k_pool), num_heads,     num_kv_heads,
                          head_dim,   softcap};
        check_pool(args.q_type, k_pool, v_pool, num_kv_heads, head_dim);
        program_.add(AttendOp{args, group});
        keep({q, out, k_pool, v_pool});
    }

    // A program is no part of Python's search for cycles: `function` must not lead back to it.
    void call(nb::callable function, bool of_samples) {
        program_.add_call(
            [function](int num_rows) {
                nb::gil_scoped_acquire acquire;
                function(num_rows);
            },
            of_samples);
    }

    void replay_rows(int num_rows) {
        Step step;
        step.num_rows = num_rows;
        nb::gil_scoped_release release;
        program_.run(step);
    }

    void replay(Int64s input_ids, Floats32 cos_sin, Int32s cos_sin_rows, Int32s offsets,
                Int32s seq_lens, const std::vector<Int32s>& page_tables,
                const std::vector<Int64s>& out_slots, Int32s sample_rows,
                std::optional<Floats32> draw_floats, std::optional<Int64s> draw_integers,
                std::optional<Int32s> draw_samples) {
        Step step;
        step.num_rows = (int)input_ids.size();
        step.input_ids = input_ids.data();
        step.cos_sin = cos_sin.data();
        step.cos_sin_rows = cos_sin_rows.data();
        step.offsets = offsets.data();
        step.seq_lens = seq_lens.data();
        step.num_runs = (int)seq_lens.size();
        step.sample_rows = sample_rows.data();
        step.num_samples = (int)sample_rows.size();
        if (draw_samples) check_samples(*draw_samples, sample_rows.size());
        step.draws = draws_of(draw_floats, draw_integers,
                              draw_samples ? draw_samples->size() : sample_rows.size());
        if (draw_samples) step.draws.rows = draw_samples->data();
        require(offsets.size() == seq_lens.size() + 1, "offsets must have one more than seq_lens");
        require(cos_sin_rows.size() == input_ids.size(), "one row of cos_sin per token");
        require(page_tables.size() == num_groups_ && out_slots.size() == num_groups_,
                "one page table and one list of slots per KV group");
        for (size_t group = 0; group < num_groups_; ++group) {
            require(page_tables[group].ndim() == 2 &&
                        page_tables[group].shape(0) == seq_lens.size(),
                    "a page table has a row per run");
            require(out_slots[group].size() == input_ids.size(), "one slot per token");
            step.groups.push_back({page_tables[group].data(), page_tables[group].stride(0),
                                   out_slots[group].data()});
        }
        nb::gil_scoped_release release;
        program_.run(step);
    }

    void draw(Int32s samples, std::optional<Floats32> floats, std::optional<Int64s> integers,
              std::optional<Int32s> legal) {
        check_samples(samples, most_samples_);
        Draws draws = draws_of(floats, integers, samples.size());
        draws.rows = samples.data();
        if (legal) {
            require(legal->size() == samples.size() * mask_words(vocab_size_),
                    "a mask has a bit per token, in whole words of 32");
            draws.legal = (const uint32_t*)legal->data();
        }
        nb::gil_scoped_release release;
        program_.draw(draws);
    }

    int num_ops() const { return program_.num_ops(); }
    int num_grouped_tokens() const { return program_.num_grouped_tokens(); }

private:
    static std::vector<GroupLayout> layouts(const std::vector<int>& page_sizes,
                                            const std::vector<int>& windows) {
        require(page_sizes.size() == windows.size(), "one window per KV group");
        std::vector<GroupLayout> result;
        for (size_t group = 0; group < page_sizes.size(); ++group) {
            require(page_sizes[group] > 0 && page_sizes[group] % kBlockTokens == 0,
                    "page_size must be a multiple of 16");
            result.push_back({page_sizes[group], windows[group]});
        }
        return result;
    }

    static Draws draws_of(const std::optional<Floats32>& floats,
                          const std::optional<Int64s>& integers, size_t count) {
        require(floats.has_value() == integers.has_value(), "a step that draws needs both arrays");
        Draws draws;
        draws.count = (int)count;
        if (!floats) return draws;
        require(floats->size() == 3 * count && integers->size() == 3 * count,
                "three floats and three integers per sample");
        draws.temperature = floats->data();
        draws.top_p = draws.temperature + count;
        draws.min_p = draws.top_p + count;
        draws.seed = integers->data();
        draws.top_k = draws.seed + count;
        draws.position = draws.top_k + count;
        for (size_t i = 0; i < count; ++i) {
            require(draws.temperature[i] >= 0.0f, "a temperature must not be negative");
            require(draws.top_k[i] > 0, "top_k must be positive");
        }
        return draws;
    }

    // Each once: two threads must not write one token.
    static void check_samples(const Int32s& samples, size_t num_samples) {
        for (size_t i = 0; i < samples.size(); ++i) {
            require(samples.data()[i] >= 0 && (size_t)samples.data()[i] < num_samples,
                    "no such sample");
            require(i == 0 || samples.data()[i] > samples.data()[i - 1],
                    "samples to draw must ascend");
        }
    }

    void check_heads(int num_heads, int num_kv_heads, int head_dim, int group) const {
        require(num_kv_heads > 0 && num_heads % num_kv_heads == 0, "heads must divide evenly");
        require(num_heads / num_kv_heads <= 48, "at most 48 query heads per KV head");
        require(head_dim % 16 == 0 && head_dim <= kMaxHeadDim,
                "head_dim must be a multiple of 16 and at most 256");
        require(group >= 0 && (size_t)group < num_groups_, "no such KV group");
    }

    void check_pool(Type q_type, const Array& k_pool, const Array& v_pool, int num_kv_heads,
                    int head_dim) const {
        const Type type = pool_type_of(k_pool);
        require(q_type == Type::float32 || (type == Type::bfloat16 &&
                program_.kernels().best_x_type == Type::bfloat16),
                "q must be float32 for this pool and instruction set");
        const size_t scale_size = type == Type::int8 ? sizeof(float) : 0;
        for (const Array& pool : {k_pool, v_pool})
            require(pool.dtype() == k_pool.dtype() && pool.ndim() == 3 &&
                        pool.shape(1) == (size_t)num_kv_heads &&
                        pool.shape(2) == kBlockTokens * (head_dim + scale_size),
                    "the blocks of the pool have another shape");
    }

    static void check_codes(const QuantizedMatrix& matrix, const Array& codes, const Array& scales,
                            const Array& sums) {
        require(codes.dtype() == nb::dtype<int8_t>() && sums.dtype() == nb::dtype<int32_t>(),
                "codes must be int8 and sums int32");
        require(codes.size() == scales.size() * matrix.padded_inputs &&
                    sums.size() == scales.size() * matrix.num_groups,
                "codes, scales and sums do not have the shapes that the matrix needs");
    }

    void keep(std::initializer_list<Array> arrays) {
        kept_.insert(kept_.end(), arrays.begin(), arrays.end());
    }

    Program program_;
    const size_t num_groups_;
    size_t most_samples_ = 0;
    int vocab_size_ = 0;
    std::vector<Array> kept_;
};

}  // namespace
}  // namespace sglite

namespace sglite {
void bind_shared_ranks(nb::module_& m);  // bindings_ranks.cpp
}

NB_MODULE(_cpu, m) {
    using namespace sglite;
    m.doc() = "CPU kernels: packed weights and programs that are recorded once and replayed.";
    m.def("instruction_sets", &instruction_sets);
    m.def("best_x_type", [](const std::string& name) {
        return kernels_of(name).best_x_type == Type::bfloat16 ? "bfloat16" : "float32";
    });
    m.def("thread_source", &thread_source);
    m.def("pin_threads", &pin_threads, nb::arg("cores"));
    m.def("pack", &pack, nb::arg("source"), nb::arg("target"), nb::arg("first_panel"),
          nb::arg("panel_step"), nb::arg("num_threads"));
    m.def("unpack", &unpack, nb::arg("packed"), nb::arg("num_inputs"), nb::arg("rows"),
          nb::arg("target"));
    bind_shared_ranks(m);
    nb::class_<HeldMatrix>(m, "QuantizedMatrix")
        .def(nb::init<Array, int, int, int>(), nb::arg("packed"), nb::arg("num_inputs"),
             nb::arg("bits"), nb::arg("group_size"))
        .def("pack", &HeldMatrix::pack, nb::arg("instruction_set"), nb::arg("source"),
             nb::arg("first_panel"), nb::arg("panel_step"), nb::arg("num_threads"));
    nb::class_<Recorder>(m, "Program")
        .def(nb::init<const std::string&, int, const std::vector<int>&, const std::vector<int>&,
                      bool>(),
             nb::arg("instruction_set"), nb::arg("num_threads"), nb::arg("page_sizes"),
             nb::arg("windows"), nb::arg("groups_prefixes"))
        .def("embed", &Recorder::embed, nb::arg("table"), nb::arg("out"), nb::arg("size"),
             nb::arg("first_id") = 0)
        .def("norm", &Recorder::norm, nb::arg("x"), nb::arg("weight"), nb::arg("out"),
             nb::arg("eps"), nb::arg("of_samples") = false)
        .def("sample", &Recorder::sample, nb::arg("x"), nb::arg("ids"), nb::arg("size"))
        .def("linear", &Recorder::linear, nb::arg("weight"), nb::arg("bias").none(), nb::arg("x"),
             nb::arg("out"), nb::arg("num_outputs"), nb::arg("num_inputs"),
             nb::arg("epilogue") = "store", nb::arg("activation") = "silu",
             nb::arg("of_samples") = false)
        .def("quantized_embed", &Recorder::quantized_embed, nb::arg("table"), nb::arg("out"),
             nb::arg("first_id") = 0)
        .def("quantize", &Recorder::quantize, nb::arg("x"), nb::arg("weight"), nb::arg("codes"),
             nb::arg("scales"), nb::arg("sums"), nb::arg("of_samples") = false)
        .def("quantized_linear", &Recorder::quantized_linear, nb::arg("weight"),
             nb::arg("bias").none(), nb::arg("codes"), nb::arg("scales"), nb::arg("sums"),
             nb::arg("out"), nb::arg("num_outputs"), nb::arg("epilogue") = "store",
             nb::arg("activation") = "silu", nb::arg("of_samples") = false)
        .def("rotate", &Recorder::rotate, nb::arg("qkv"), nb::arg("q"), nb::arg("k_pool"),
             nb::arg("v_pool"), nb::arg("q_norm").none(), nb::arg("k_norm").none(),
             nb::arg("num_heads"), nb::arg("num_kv_heads"), nb::arg("head_dim"), nb::arg("eps"),
             nb::arg("scale"), nb::arg("group"))
        .def("attend", &Recorder::attend, nb::arg("q"), nb::arg("out"), nb::arg("k_pool"),
             nb::arg("v_pool"), nb::arg("num_heads"), nb::arg("num_kv_heads"),
             nb::arg("head_dim"), nb::arg("group"), nb::arg("softcap") = 0.0f)
        .def("call", &Recorder::call, nb::arg("function"), nb::arg("of_samples") = false)
        .def("replay_rows", &Recorder::replay_rows, nb::arg("num_rows"))
        .def("replay", &Recorder::replay, nb::arg("input_ids"), nb::arg("cos_sin"),
             nb::arg("cos_sin_rows"), nb::arg("offsets"), nb::arg("seq_lens"),
             nb::arg("page_tables"), nb::arg("out_slots"), nb::arg("sample_rows"),
             nb::arg("draw_floats") = nb::none(), nb::arg("draw_integers") = nb::none(),
             nb::arg("draw_samples") = nb::none())
        .def("draw", &Recorder::draw, nb::arg("samples"), nb::arg("floats") = nb::none(),
             nb::arg("integers") = nb::none(), nb::arg("legal") = nb::none())
        .def("num_ops", &Recorder::num_ops)
        .def("num_grouped_tokens", &Recorder::num_grouped_tokens);
}
