#include "program.h"

#include <algorithm>

#include "threads.h"

namespace sglite {
namespace {

constexpr int kShares = 4;                     // parts of an op per thread: cores are not even
constexpr ptrdiff_t kPartBytes = 384 << 10;    // of weights, at most

template <class... Functions>
struct Overloaded : Functions... {
    using Functions::operator()...;
};
template <class... Functions>
Overloaded(Functions...) -> Overloaded<Functions...>;

int linear_units(const Linear& op) { return (op.num_outputs + kPanel - 1) / kPanel; }

ptrdiff_t unit_bytes(const Linear& op) {
    const int panels = op.epilogue == Epilogue::gated ? 2 : 1;
    const int element = op.weight_type == Type::float32 ? 4 : 2;
    return (ptrdiff_t)panels * kPanel * op.num_inputs * element;
}

ptrdiff_t unit_bytes(const QuantizedLinear& op) {
    return (op.linear.epilogue == Epilogue::gated ? 2 : 1) * op.weight.panel_bytes;
}

// Weights that a unit of an op reads; 0 for what reads none to speak of.
ptrdiff_t weight_bytes(const Op& op) {
    if (const Linear* linear = std::get_if<Linear>(&op)) return unit_bytes(*linear);
    if (const QuantizedLinear* linear = std::get_if<QuantizedLinear>(&op))
        return unit_bytes(*linear);
    return 0;
}

}  // namespace

struct Program::Replay {
    const Program& program;
    const Step& step;
    size_t begin, end;                    // of the ops
    std::unique_ptr<WorkShare[]> shares;  // one per op
};

Program::Program(const Kernels& kernels, int num_threads, std::vector<GroupLayout> groups,
                 bool groups_prefixes)
    : kernels_(kernels),
      num_threads_(num_threads),
      layouts_(std::move(groups)),
      groups_prefixes_(groups_prefixes),
      plans_(layouts_.size()),
      plan_options_(layouts_.size()) {}

void Program::add(const Op& op, bool of_samples) {
    ops_.push_back({op, of_samples});
    if (const Sample* sample = std::get_if<Sample>(&op)) {
        sample_op_ = ops_.size() - 1;
        scratch_.clear();  // memory that is touched by rows that draw, and not before
        for (int thread = 0; thread < num_threads_; ++thread)
            scratch_.emplace_back(new float[sample_scratch_size(sample->size)]);
    }
    if (const AttendOp* attend = std::get_if<AttendOp>(&op)) {
        const Attend& args = attend->args;
        plan_options_[attend->group] = {args.num_heads, args.num_kv_heads, args.head_dim,
                                        num_threads_, groups_prefixes_};
        ops_.push_back({MergeOp{args, attend->group}, false});
    }
}

void Program::add_call(std::function<void(int)> function, bool of_samples) {
    calls_.push_back({ops_.size(), std::move(function), of_samples});
}

void Program::make_plans(const Step& step) {
    for (size_t group = 0; group < step.groups.size(); ++group) {
        if (plan_options_[group].num_heads == 0) continue;  // nothing attends to it
        const Runs runs{step.groups[group].page_table, step.groups[group].page_table_stride,
                        step.offsets, step.seq_lens, step.num_runs, layouts_[group].page_size,
                        layouts_[group].window};
        plans_[group].make(runs, plan_options_[group]);
    }
}

void Program::run(const Step& step) {
    make_plans(step);
    size_t done = 0;
    for (const Call& call : calls_) {
        run_ops(step, done, call.before);
        done = call.before;
        const int num_rows = call.of_samples ? step.num_samples : step.num_rows;
        if (num_rows > 0) call.function(num_rows);
    }
    run_ops(step, done, ops_.size());
}

void Program::draw(const Draws& draws) {
    if (draws.count == 0) return;
    Step step;
    step.num_samples = draws.count;
    step.draws = draws;
    run_ops(step, sample_op_, sample_op_ + 1);
}

void Program::run_ops(const Step& step, size_t begin, size_t end) {
    if (begin == end) return;
    Replay replay{*this, step, begin, end, std::make_unique<WorkShare[]>(end - begin)};
    run_on_threads(num_threads_, work, &replay);
}

void Program::work(void* context, int thread, int num_threads) {
    Replay& replay = *(Replay*)context;
    const Program& program = replay.program;
    for (size_t index = replay.begin; index < replay.end; ++index) {
        const Recorded& recorded = program.ops_[index];
        const int units = program.units_of(recorded, replay.step);
        if (units == 0) continue;
        const int grain = program.grain_of(recorded.op, units, num_threads);
        WorkShare& share = replay.shares[index - replay.begin];
        for (int begin; (begin = share.take(grain)) < units;) {
            const int end = std::min(units, begin + grain);
            program.run_part(recorded, replay.step, thread, begin, end);
            share.finish(end - begin);
        }
        share.wait_for(units);
    }
}

int Program::units_of(const Recorded& recorded, const Step& step) const {
    const int num_rows = recorded.of_samples ? step.num_samples : step.num_rows;
    if (num_rows == 0) return 0;
    return std::visit(
        Overloaded{
            [&](const Linear& linear) { return linear_units(linear); },
            [&](const QuantizedLinear& linear) { return linear_units(linear.linear); },
            [&](const Sample&) { return step.draws.count; },
            [&](const AttendOp& attend) { return plans_[attend.group].num_items(); },
            [&](const MergeOp& merge) {
                return plans_[merge.group].num_grouped_tokens() ? step.num_rows : 0;
            },
            [&](const auto&) { return num_rows; },
        },
        recorded.op);
}

int Program::grain_of(const Op& op, int units, int num_threads) const {
    if (std::holds_alternative<AttendOp>(op)) return 1;
    int grain = std::max(1, units / (kShares * num_threads));
    if (const ptrdiff_t bytes = weight_bytes(op))
        grain = std::min(grain, (int)std::max<ptrdiff_t>(1, kPartBytes / bytes));
    return grain;
}

void Program::run_part(const Recorded& recorded, const Step& step, int thread, int begin,
                       int end) const {
    const bool of_samples = recorded.of_samples;
    const int num_rows = of_samples ? step.num_samples : step.num_rows;
    const QuantizedKernels& quantized = *kernels_.quantized;
    std::visit(
        Overloaded{
            [&](const Embed& embed) { kernels_.embed(embed, step.input_ids, begin, end); },
            [&](const Norm& norm) {
                kernels_.norm(norm, of_samples ? step.sample_rows : nullptr, begin, end);
            },
            [&](const Linear& linear) { kernels_.linear(linear, num_rows, begin, end); },
            [&](const Sample& sample) {
                kernels_.sample(sample, step.draws, scratch_[thread].get(), begin, end);
            },
            [&](const RotateOp& rotate) {
                const int64_t* out_slots = step.groups[rotate.group].out_slots;
                kernels_.rotate(rotate.args, {step.cos_sin, step.cos_sin_rows, out_slots}, begin,
                                end);
            },
            [&](const AttendOp& attend) {
                kernels_.attend(attend.args, plans_[attend.group].inputs(), begin, end);
            },
            [&](const MergeOp& merge) {
                kernels_.merge(merge.args, plans_[merge.group].inputs(), begin, end);
            },
            [&](const Quantize& quantize) { quantized.quantize(quantize, begin, end); },
            [&](const QuantizedLinear& linear) { quantized.linear(linear, num_rows, begin, end); },
            [&](const QuantizedEmbed& embed) {
                quantized.embed(embed, step.input_ids, begin, end);
            },
        },
        recorded.op);
}

int Program::num_grouped_tokens() const {
    int total = 0;
    for (const AttentionPlan& plan : plans_) total += plan.num_grouped_tokens();
    return total;
}

}  // namespace sglite
