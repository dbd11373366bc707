// What every instruction set offers: plain arguments and one table of functions.
//
// The code of an instruction set includes nothing but these plain types: an inline function of the
// standard library compiled with its flags could end up in a process that cannot run it.
#pragma once

#include <cstddef>
#include <cstdint>

namespace sglite {

enum class Type : int { float32, bfloat16, int8, float8_e4m3 };  // the last two: in KV pools alone
enum class Epilogue : int { store, add, gated };
enum class Activation : int { silu, gelu, gelu_tanh };

constexpr int kPanel = 16;         // outputs of a matrix that lie together
constexpr int kBlockTokens = 16;   // keys that lie together in the KV pool
constexpr int kMaxHeadDim = 256;
constexpr int kMaxQueryRows = 48;  // tokens x heads of a tile of attention

// y = x W^T, W as panels of 16 outputs (pack.h).
//   store: y[row, n] = result + bias;  add: y[row, n] += result + bias, y is float32
//   gated: panels alternate between gate and up; y[row, n] = act(gate) * up, in `x_type`
struct Linear {
    const void* weight;
    const float* bias;  // padded to whole panels, or null
    const void* x;
    void* y;
    Type weight_type, x_type;
    Epilogue epilogue;
    Activation activation;
    int num_outputs;  // numbers of a row of y
    int num_inputs;   // even
    ptrdiff_t y_stride;
};

// y[row] = x[row] / rms(x[row]) * weight, y in `y_type`; with rows, x[rows[row]].
struct Norm {
    const float* x;
    const float* weight;
    void* y;
    Type y_type;
    int size;
    float eps;
};

// y[row] = the row of `ids[row]` in a packed table of `size` columns, float32. The table has
// `num_ids` rows from id `first_id` on; a row of any other id is zero: another rank has it.
struct Embed {
    const void* table;
    float* y;
    Type type;
    int size;
    int64_t first_id, num_ids;
};

// ids[row] = the next token of the logits x[row] as Draws say; -1 where their largest is not finite
// or any of them is no number, legal or not, and where no legal one is above -inf.
struct Sample {
    const float* x;
    int64_t* ids;
    int size;
};

// Which rows draw, and how (sample.h); arrays of one element per draw. Those of the parameters may
// all be null: each is the likeliest token, the first of equals.
struct Draws {
    int count = 0;
    const int32_t* rows = nullptr;    // of the logits and ids, each once; null: from 0 on
    const uint32_t* legal = nullptr;  // [count, mask_words]: bit v % 32 of word v / 32; null: all
    const float* temperature = nullptr;  // 0: the likeliest
    const float* top_p = nullptr;
    const float* min_p = nullptr;
    const int64_t* seed = nullptr;
    const int64_t* top_k = nullptr;  // at least 1
    const int64_t* position = nullptr;
};

constexpr int kSampleBlock = 128;  // tokens whose largest weight is known

// Static, as no instruction set may get another's code for them.
static constexpr int mask_words(int size) { return (size + 31) / 32; }
static constexpr int sample_blocks(int size) { return (size + kSampleBlock - 1) / kSampleBlock; }
// Floats of memory that a thread needs for rows of `size`: weights, and the largest of each block.
static constexpr ptrdiff_t sample_scratch_size(int size) {
    return (ptrdiff_t)sample_blocks(size) * (kSampleBlock + 1) + 16;
}

// Splits a row of qkv; normalises and rotates q and k; q, scaled, goes to `q`, k and v to the pool.
struct Rotate {
    const float* qkv;
    void* q;
    void* k_pool;
    void* v_pool;
    const float* q_norm;  // or null
    const float* k_norm;
    Type q_type, kv_type;
    int num_heads, num_kv_heads, head_dim;
    float eps, scale;
};

struct RotateInputs {
    const float* cos_sin;      // rows of head_dim: cosines of all pairs, then sines
    const int32_t* cos_sin_rows;  // per token
    const int64_t* out_slots;  // per token
};

// Some queries of one or several sequences over keys [key_begin, key_end) that they share.
struct Segment {
    int first_query;   // into AttendInputs::query_tokens
    int num_queries;   // tokens; each has its group's heads
    const int32_t* pages;
    int key_begin, key_end;
};

struct Attend {
    const void* q;
    void* out;
    const void* k_pool;
    const void* v_pool;
    Type q_type, kv_type;
    int num_heads, num_kv_heads, head_dim;
    float softcap;  // scores become softcap * tanh(score / softcap); 0: they stay
};

// Some KV heads of a segment: what a thread does at a time.
struct AttendItem {
    int segment, first_head, num_heads;
};

struct AttendInputs {
    const Segment* segments;
    const AttendItem* items;
    const int32_t* query_tokens;
    const int32_t* query_slots;     // where a query's partial result goes; -1: it is the result
    const int32_t* visible_begin;   // per token, positions
    const int32_t* visible_end;
    const int32_t* partial_begin;   // per token: its slots in `partials`
    const int32_t* partial_end;
    float* partials;                // [slot, head, head_dim + 2]: maximum, sum, weighted values
    int page_size;
};

struct QuantizedKernels;  // quantized.h

struct Kernels {
    const char* name;
    Type best_x_type;  // what linear layers with bfloat16 weights read fastest
    void (*linear)(const Linear&, int rows, int begin, int end);      // panels, or pairs of them
    void (*norm)(const Norm&, const int32_t* rows, int begin, int end);
    void (*sample)(const Sample&, const Draws&, float* scratch, int begin, int end);  // draws
    void (*embed)(const Embed&, const int64_t* ids, int begin, int end);
    void (*rotate)(const Rotate&, const RotateInputs&, int begin, int end);  // tokens
    void (*attend)(const Attend&, const AttendInputs&, int begin, int end);  // items
    void (*merge)(const Attend&, const AttendInputs&, int begin, int end);   // tokens
    const QuantizedKernels* quantized;  // dispatch.cpp puts them there
};

}  // namespace sglite
