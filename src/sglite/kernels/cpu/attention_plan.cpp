#include "attention_plan.h"

#include <algorithm>
#include <cstdint>

namespace sglite {
namespace {

constexpr int kMinSharedKeys = 64;   // fewer cost more in merging than they save in reading
constexpr int kMinSplitKeys = 512;   // of a part of one sequence's keys
constexpr int kItemsPerThread = 4;
constexpr int kReadingRows = 4;      // to read a key takes as long as to multiply so many rows

// Whole pages of a run that hold no key of this step.
int num_old_pages(const Runs& runs, int run) {
    const int length = runs.offsets[run + 1] - runs.offsets[run];
    return (runs.seq_lens[run] - length) / runs.page_size;
}

const int32_t* pages_of(const Runs& runs, int run) {
    return runs.page_table + run * runs.page_table_stride;
}

}  // namespace

void AttentionPlan::make(const Runs& runs, const PlanOptions& options) {
    options_ = options;
    page_size_ = runs.page_size;
    max_tile_tokens_ = std::max(1, kMaxQueryRows / (options.num_heads / options.num_kv_heads));
    segments_.clear();
    query_tokens_.clear();
    place_tokens(runs);
    // Pages that a window has left behind are not the tree's any more.
    groups_ = options.groups_prefixes && runs.window == 0 && runs.num_runs > 1;
    find_common_starts(runs);
    add_level(runs, 0, runs.num_runs, 0);
    split_keys();
    place_partials();
    place_items();
}

void AttentionPlan::place_tokens(const Runs& runs) {
    const int num_tokens = runs.offsets[runs.num_runs];
    visible_begin_.resize(num_tokens);
    visible_end_.resize(num_tokens);
    for (int run = 0; run < runs.num_runs; ++run) {
        for (int token = runs.offsets[run]; token < runs.offsets[run + 1]; ++token) {
            const int end = runs.seq_lens[run] - (runs.offsets[run + 1] - token) + 1;
            visible_end_[token] = end;
            visible_begin_[token] = runs.window ? std::max(0, end - runs.window) : 0;
        }
    }
}

void AttentionPlan::find_common_starts(const Runs& runs) {
    order_.resize(runs.num_runs);
    common_.assign(runs.num_runs, 0);
    for (int run = 0; run < runs.num_runs; ++run) order_[run] = run;
    if (!groups_) return;
    std::sort(order_.begin(), order_.end(), [&](int a, int b) {
        const int32_t *first = pages_of(runs, a), *second = pages_of(runs, b);
        const int first_count = num_old_pages(runs, a), second_count = num_old_pages(runs, b);
        const int count = std::min(first_count, second_count);
        for (int page = 0; page < count; ++page)
            if (first[page] != second[page]) return first[page] < second[page];
        return first_count != second_count ? first_count < second_count : a < b;
    });
    for (int i = 1; i < runs.num_runs; ++i) {
        const int32_t* before = pages_of(runs, order_[i - 1]);
        const int32_t* pages = pages_of(runs, order_[i]);
        const int most =
            std::min(num_old_pages(runs, order_[i - 1]), num_old_pages(runs, order_[i]));
        int page = 0;
        while (page < most && before[page] == pages[page]) ++page;
        common_[i] = page;
    }
}

// The runs order_[low, high), whose pages before `first_page` are dealt with.
void AttentionPlan::add_level(const Runs& runs, int low, int high, int first_page) {
    if (high - low == 1) return add_run(runs, order_[low], first_page);
    const int shared = *std::min_element(common_.begin() + low + 1, common_.begin() + high);
    if ((shared - first_page) * page_size_ >= kMinSharedKeys) {
        const int32_t* pages = pages_of(runs, order_[low]);
        const int key_begin = first_page * page_size_, key_end = shared * page_size_;
        int rest = 0;
        for (int i = low; i < high; ++i)
            rest += runs.offsets[order_[i] + 1] - runs.offsets[order_[i]];
        const int tiles = (rest + max_tile_tokens_ - 1) / max_tile_tokens_;
        const int most = (rest + tiles - 1) / tiles;  // even tiles keep the threads even
        add_segment(pages, key_begin, key_end);
        for (int i = low; i < high; ++i) {
            const int run = order_[i];
            for (int token = runs.offsets[run]; token < runs.offsets[run + 1]; ++token) {
                if (segments_.back().num_queries == most) add_segment(pages, key_begin, key_end);
                add_tokens(token, token + 1);
            }
        }
        first_page = shared;
    }
    int begin = low;
    for (int i = low + 1; i <= high; ++i) {
        if (i < high && common_[i] > shared) continue;
        add_level(runs, begin, i, first_page);
        begin = i;
    }
}

void AttentionPlan::add_run(const Runs& runs, int run, int first_page) {
    for (int token = runs.offsets[run]; token < runs.offsets[run + 1]; token += max_tile_tokens_) {
        const int end = std::min(token + max_tile_tokens_, runs.offsets[run + 1]);
        const int key_begin = std::max(first_page * page_size_, (int)visible_begin_[token]);
        add_segment(pages_of(runs, run), key_begin, visible_end_[end - 1]);
        add_tokens(token, end);
    }
}

void AttentionPlan::add_segment(const int32_t* pages, int key_begin, int key_end) {
    segments_.push_back({(int)query_tokens_.size(), 0, pages, key_begin, key_end});
}

void AttentionPlan::add_tokens(int begin, int end) {
    for (int token = begin; token < end; ++token) query_tokens_.push_back(token);
    segments_.back().num_queries += end - begin;
}

// A long sequence alone must not leave threads idle. But where its sums are cut changes their last
// bits, and how many segments the others have decides where.
void AttentionPlan::split_keys() {
    if (!options_.groups_prefixes) return;
    const int wanted = kItemsPerThread * options_.num_threads;
    const int items = (int)segments_.size() * options_.num_kv_heads;
    if (items >= wanted || items == 0) return;
    const int most = (wanted + items - 1) / items;
    std::vector<Segment> parts;
    for (const Segment& segment : segments_) {
        const int keys = segment.key_end - segment.key_begin;
        const int count = std::max(1, std::min(most, keys / kMinSplitKeys));
        const int step = (keys / count + kBlockTokens - 1) / kBlockTokens * kBlockTokens;
        int begin = segment.key_begin;
        for (int part = 0; part < count && begin < segment.key_end; ++part) {
            Segment piece = segment;
            if (part > 0) {
                piece.first_query = (int)query_tokens_.size();
                for (int query = 0; query < segment.num_queries; ++query)
                    query_tokens_.push_back(query_tokens_[segment.first_query + query]);
            }
            piece.key_begin = begin;
            piece.key_end = part == count - 1 ? segment.key_end
                                              : std::min(segment.key_end, begin + step);
            parts.push_back(piece);
            begin = piece.key_end;
        }
    }
    segments_.swap(parts);
}

void AttentionPlan::place_partials() {
    const int num_tokens = (int)visible_end_.size();
    std::vector<int32_t>& count = partial_end_;
    count.assign(num_tokens, 0);
    for (const int32_t token : query_tokens_) ++count[token];
    partial_begin_.resize(num_tokens);
    int slots = 0;
    for (int token = 0; token < num_tokens; ++token) {
        partial_begin_[token] = slots;
        if (count[token] > 1) slots += count[token];
    }
    query_slots_.resize(query_tokens_.size());
    std::vector<int32_t> next = partial_begin_;
    for (size_t query = 0; query < query_tokens_.size(); ++query) {
        const int32_t token = query_tokens_[query];
        query_slots_[query] = count[token] > 1 ? next[token]++ : -1;
    }
    for (int token = 0; token < num_tokens; ++token)
        partial_end_[token] = partial_begin_[token] + (count[token] > 1 ? count[token] : 0);
    partials_.resize((size_t)slots * options_.num_heads * (options_.head_dim + 2));
}

// Heads of a page lie side by side, so one thread reads as many of them as it can, while its part
// remains small enough for the others to have as much to do. The largest parts come first.
void AttentionPlan::place_items() {
    const int group = options_.num_heads / options_.num_kv_heads;
    const auto cost = [&](const Segment& segment) {  // of one head
        const int keys = segment.key_end - segment.key_begin;
        return (int64_t)keys * (segment.num_queries * group + kReadingRows);
    };
    int64_t total = 0;
    for (const Segment& segment : segments_) total += cost(segment) * options_.num_kv_heads;
    const int64_t share = total / (kItemsPerThread * options_.num_threads);
    items_.clear();
    for (int i = 0; i < (int)segments_.size(); ++i) {
        const int64_t affordable = share / std::max<int64_t>(1, cost(segments_[i]));
        const int fitting = kMaxQueryRows / (segments_[i].num_queries * group);
        const int most = std::max(1, (int)std::min<int64_t>(affordable, fitting));
        for (int head = 0; head < options_.num_kv_heads; head += most)
            items_.push_back({i, head, std::min(most, options_.num_kv_heads - head)});
    }
    std::sort(items_.begin(), items_.end(), [&](const AttendItem& a, const AttendItem& b) {
        const int64_t first = cost(segments_[a.segment]) * a.num_heads;
        const int64_t second = cost(segments_[b.segment]) * b.num_heads;
        if (first != second) return first > second;
        return a.segment != b.segment ? a.segment < b.segment : a.first_head < b.first_head;
    });
}

AttendInputs AttentionPlan::inputs() const {
    return {
        segments_.data(),      items_.data(),        query_tokens_.data(),
        query_slots_.data(),   visible_begin_.data(), visible_end_.data(),
        partial_begin_.data(), partial_end_.data(),  const_cast<float*>(partials_.data()),
        page_size_,
    };
}

int AttentionPlan::num_grouped_tokens() const {
    return (int)query_tokens_.size() - (int)visible_end_.size();
}

}  // namespace sglite
