// Sums and copies among the ranks of one machine, through memory that all of them have mapped.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace sglite {

// Every rank makes the same calls in the same order. A call is one or several steps; in each a rank
// writes what the others need into its own slot, says so, and reads theirs. There are two slots per
// rank, used in turn: nobody writes one before all others have come to the step after its use.
//
// Region: a Place per rank, then per rank two slots. It starts as zeros and is used once.
class SharedRanks {
public:
    // std::invalid_argument where the region is too small for `num_ranks`.
    SharedRanks(uint8_t* region, size_t region_bytes, int rank, int num_ranks, double timeout_s);
    ~SharedRanks();
    SharedRanks(const SharedRanks&) = delete;

    // All of these throw std::runtime_error where a rank is later than the timeout or has ended.
    // The sum over ranks, in place, added in the order of the ranks: the same bits everywhere.
    // Number: float, or uint64_t, whose sums wrap around.
    template <class Number>
    void all_reduce(Number* x, size_t count);
    // What rank `source` has, in place.
    void broadcast(uint8_t* bytes, size_t count, int source);
    // At rank 0 the rows of all ranks' parts side by side in `joined`; elsewhere that is not read.
    void gather(const uint8_t* part, uint8_t* joined, size_t num_rows, size_t row_bytes);

    static size_t region_bytes(int num_ranks);

private:
    // A rank's own line: the last step to which it has come, and the process that it is.
    struct alignas(128) Place {
        std::atomic<uint64_t> arrived;
        std::atomic<int64_t> process;
    };

    Place& place(int rank) const { return places_[rank]; }
    uint8_t* slot(int rank) const;
    void begin_step();
    void arrive();
    void wait_for(int rank, uint64_t step);
    void wait_patiently(int rank, uint64_t step);
    bool has_ended(int rank);

    Place* const places_;
    uint8_t* const slots_;
    const int rank_, num_ranks_;
    const double timeout_s_;
    uint64_t step_ = 0;
    std::vector<int> handles_;  // of the ranks' processes, as far as they were asked for
};

}  // namespace sglite
