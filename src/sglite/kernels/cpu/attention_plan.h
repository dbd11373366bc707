// Which queries read which keys together in one step, for all layers of a KV group.
#pragma once

#include <vector>

#include "kernels.h"

namespace sglite {

// The runs of a step as the attention of one KV group sees them (forward_batch.py).
struct Runs {
    const int32_t* page_table;  // [num_runs, page_table_stride]
    ptrdiff_t page_table_stride;
    const int32_t* offsets;     // [num_runs + 1]: packed tokens
    const int32_t* seq_lens;    // [num_runs]: keys after this step
    int num_runs;
    int page_size;
    int window;                 // 0: none
};

struct PlanOptions {
    int num_heads, num_kv_heads, head_dim;
    int num_threads;
    bool groups_prefixes;  // false: the bits of a run do not depend on what else is in the step
};

// Sequences that begin with the same pages attend to those together, at every level at which they
// part: runs are ordered by their pages, and the lengths of common starts between neighbours span
// the tree. A page is shared by two page tables exactly where the radix tree shares its node.
class AttentionPlan {
public:
    void make(const Runs& runs, const PlanOptions& options);
    AttendInputs inputs() const;
    int num_items() const { return (int)items_.size(); }
    int num_grouped_tokens() const;  // queries x segments beyond one each; for tests and figures

private:
    void place_tokens(const Runs& runs);
    void find_common_starts(const Runs& runs);
    void add_level(const Runs& runs, int low, int high, int first_page);
    void add_run(const Runs& runs, int run, int first_page);
    void add_segment(const int32_t* pages, int key_begin, int key_end);
    void add_tokens(int begin, int end);
    void split_keys();
    void place_partials();
    void place_items();

    int max_tile_tokens_ = 1, page_size_ = 0;
    bool groups_ = false;
    PlanOptions options_{};
    std::vector<int> order_, common_;  // runs by their pages; pages in common with the one before
    std::vector<Segment> segments_;
    std::vector<AttendItem> items_;
    std::vector<int32_t> query_tokens_, query_slots_, visible_begin_, visible_end_;
    std::vector<int32_t> partial_begin_, partial_end_;
    std::vector<float> partials_;
};

}  // namespace sglite
