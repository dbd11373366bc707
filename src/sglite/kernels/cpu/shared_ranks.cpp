#include "shared_ranks.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <stdexcept>
#include <string>
#include <thread>

#include "threads.h"

#if defined(__linux__)
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace sglite {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kSlotBytes = 256 << 10;
constexpr int kSpins = 4000;              // some 50 to 100 microseconds
constexpr double kYieldSeconds = 0.005;   // then naps: whoever is that late may be gone
constexpr double kLookSeconds = 0.05;     // between looks at whether the other still lives
constexpr int64_t kHasLeft = -1;  // in place of a process
constexpr int kNoHandle = -1, kUnknown = -2, kEnded = -3;

double seconds_since(Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
}

// What tells that a process has ended, if it has not; kUnknown where the system cannot tell.
int open_process(int64_t process) {
#if defined(__linux__) && defined(SYS_pidfd_open)
    const long handle = syscall(SYS_pidfd_open, (pid_t)process, 0u);
    if (handle >= 0) return (int)handle;
    return errno == ESRCH ? kEnded : kUnknown;
#else
    (void)process;
    return kUnknown;
#endif
}

int64_t own_process() {
#if defined(__linux__)
    return (int64_t)getpid();
#else
    return 0;
#endif
}

}  // namespace

size_t SharedRanks::region_bytes(int num_ranks) {
    return (size_t)num_ranks * (sizeof(Place) + 2 * kSlotBytes);
}

SharedRanks::SharedRanks(uint8_t* region, size_t region_bytes, int rank, int num_ranks,
                         double timeout_s)
    : places_((Place*)region),
      slots_(region + (size_t)num_ranks * sizeof(Place)),
      rank_(rank),
      num_ranks_(num_ranks),
      timeout_s_(timeout_s),
      handles_(num_ranks, kNoHandle) {
    if (rank < 0 || rank >= num_ranks) throw std::invalid_argument("no such rank");
    if (region_bytes < SharedRanks::region_bytes(num_ranks))
        throw std::invalid_argument("the region is too small for the ranks");
    if ((uintptr_t)region % alignof(Place)) throw std::invalid_argument("the region is not aligned");
    place(rank).process.store(own_process(), std::memory_order_relaxed);
}

SharedRanks::~SharedRanks() {
    place(rank_).process.store(kHasLeft, std::memory_order_release);
#if defined(__linux__)
    for (const int handle : handles_)
        if (handle >= 0) close(handle);
#endif
}

uint8_t* SharedRanks::slot(int rank) const {
    return slots_ + ((size_t)rank * 2 + step_ % 2) * kSlotBytes;
}

// A rank that has come to the last step has read what it needed in the one before.
void SharedRanks::begin_step() {
    for (int rank = 0; rank < num_ranks_; ++rank) wait_for(rank, step_);
    ++step_;
}

void SharedRanks::arrive() { place(rank_).arrived.store(step_, std::memory_order_release); }

void SharedRanks::wait_for(int rank, uint64_t step) {
    if (rank == rank_) return;
    for (int spin = 0; spin < kSpins; ++spin) {
        if (place(rank).arrived.load(std::memory_order_acquire) >= step) return;
        relax();
    }
    wait_patiently(rank, step);
}

void SharedRanks::wait_patiently(int rank, uint64_t step) {
    const Clock::time_point start = Clock::now();
    double next_look = kLookSeconds;
    while (place(rank).arrived.load(std::memory_order_acquire) < step) {
        const double waited = seconds_since(start);
        if (waited < kYieldSeconds)
            std::this_thread::yield();
        else
            std::this_thread::sleep_for(std::chrono::microseconds(100));
        if (waited < next_look) continue;
        next_look = waited + kLookSeconds;
        // It may have come to the step and ended since.
        const bool is_gone = has_ended(rank);
        if (place(rank).arrived.load(std::memory_order_acquire) >= step) return;
        if (is_gone) throw std::runtime_error("rank " + std::to_string(rank) + " has ended");
        if (waited > timeout_s_)
            throw std::runtime_error("rank " + std::to_string(rank) + " did not come");
    }
}

bool SharedRanks::has_ended(int rank) {
    const int64_t process = place(rank).process.load(std::memory_order_acquire);
    if (process == kHasLeft) return true;
#if defined(__linux__)
    int& handle = handles_[rank];
    if (handle == kNoHandle && process) handle = open_process(process);
    if (handle < 0) return handle == kEnded;
    pollfd ended{handle, POLLIN, 0};
    return poll(&ended, 1, 0) == 1;
#else
    return false;
#endif
}

template <class Number>
void SharedRanks::all_reduce(Number* x, size_t count) {
    constexpr size_t kMost = kSlotBytes / sizeof(Number);
    for (size_t done = 0; done < count; done += kMost) {
        const size_t size = std::min(kMost, count - done);
        Number* const part = x + done;
        begin_step();
        memcpy(slot(rank_), part, size * sizeof(Number));
        arrive();
        for (int rank = 0; rank < num_ranks_; ++rank) wait_for(rank, step_);
        memcpy(part, slot(0), size * sizeof(Number));
        for (int rank = 1; rank < num_ranks_; ++rank) {
            const Number* const other = (const Number*)slot(rank);
            for (size_t i = 0; i < size; ++i) part[i] += other[i];
        }
    }
}

template void SharedRanks::all_reduce(float*, size_t);
template void SharedRanks::all_reduce(uint64_t*, size_t);

void SharedRanks::broadcast(uint8_t* bytes, size_t count, int source) {
    for (size_t done = 0; done < count; done += kSlotBytes) {
        const size_t size = std::min(kSlotBytes, count - done);
        begin_step();
        if (rank_ == source) memcpy(slot(source), bytes + done, size);
        arrive();
        wait_for(source, step_);
        if (rank_ != source) memcpy(bytes + done, slot(source), size);
    }
}

void SharedRanks::gather(const uint8_t* part, uint8_t* joined, size_t num_rows, size_t row_bytes) {
    for (size_t row = 0; row < num_rows; ++row) {
        for (size_t done = 0; done < row_bytes; done += kSlotBytes) {
            const size_t size = std::min(kSlotBytes, row_bytes - done);
            const uint8_t* const own = part + row * row_bytes + done;
            begin_step();
            if (rank_ != 0) memcpy(slot(rank_), own, size);
            arrive();
            if (rank_ != 0) continue;
            uint8_t* const target = joined + row * num_ranks_ * row_bytes + done;
            memcpy(target, own, size);
            for (int rank = 1; rank < num_ranks_; ++rank) {
                wait_for(rank, step_);
                memcpy(target + rank * row_bytes, slot(rank), size);
            }
        }
    }
}

}  // namespace sglite
