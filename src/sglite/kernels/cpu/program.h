// A recorded step: kernels over fixed buffers, replayed by one call on all threads.
#pragma once

#include <functional>
#include <memory>
#include <variant>
#include <vector>

#include "attention_plan.h"
#include "kernels.h"
#include "quantized.h"

namespace sglite {

// What one KV group contributes to a step.
struct GroupStep {
    const int32_t* page_table;
    ptrdiff_t page_table_stride;
    const int64_t* out_slots;
};

// Inputs of one replay. A program without attention needs `num_rows` alone.
struct Step {
    int num_rows = 0;
    const int64_t* input_ids = nullptr;
    const float* cos_sin = nullptr;
    const int32_t* cos_sin_rows = nullptr;
    const int32_t* offsets = nullptr;
    const int32_t* seq_lens = nullptr;
    int num_runs = 0;
    const int32_t* sample_rows = nullptr;  // tokens whose logits are wanted
    int num_samples = 0;
    Draws draws;  // of samples, as rows of their logits
    std::vector<GroupStep> groups;
};

struct GroupLayout {
    int page_size, window;
};

struct RotateOp {
    Rotate args;
    int group;
};
struct AttendOp {
    Attend args;
    int group;
};
struct MergeOp {
    Attend args;
    int group;
};
using Op = std::variant<Embed, Norm, Linear, Sample, RotateOp, AttendOp, MergeOp, Quantize,
                        QuantizedLinear, QuantizedEmbed>;

// An operation over all rows of a step, or over those that are sampled.
struct Recorded {
    Op op;
    bool of_samples;
};

// What a caller does between operations, with the number of rows that the step has there.
struct Call {
    size_t before;  // the operation that comes next
    std::function<void(int num_rows)> function;
    bool of_samples;
};

class Program {
public:
    Program(const Kernels& kernels, int num_threads, std::vector<GroupLayout> groups,
            bool groups_prefixes);
    Program(const Program&) = delete;

    // A Norm of samples reads their rows among all; what follows it has one row per sample.
    void add(const Op& op, bool of_samples = false);
    // From the thread that runs the program, while its others rest; nothing without rows. What it
    // throws ends the run.
    void add_call(std::function<void(int num_rows)> function, bool of_samples = false);
    void run(const Step& step);

    // Draws from the logits that the last run left.
    void draw(const Draws& draws);

    const Kernels& kernels() const { return kernels_; }
    int num_ops() const { return (int)ops_.size(); }
    int num_grouped_tokens() const;  // of the last run

private:
    struct Replay;
    static void work(void* replay, int thread, int num_threads);
    void make_plans(const Step& step);
    void run_ops(const Step& step, size_t begin, size_t end);
    int units_of(const Recorded& recorded, const Step& step) const;
    int grain_of(const Op& op, int units, int num_threads) const;
    void run_part(const Recorded& recorded, const Step& step, int thread, int begin,
                  int end) const;

    const Kernels& kernels_;
    const int num_threads_;
    const std::vector<GroupLayout> layouts_;
    const bool groups_prefixes_;
    std::vector<Recorded> ops_;
    std::vector<Call> calls_;
    size_t sample_op_ = 0;
    std::vector<AttentionPlan> plans_;  // per KV group
    std::vector<PlanOptions> plan_options_;
    std::vector<std::unique_ptr<float[]>> scratch_;  // of each thread, for Sample
};

}  // namespace sglite
