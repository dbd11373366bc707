// One parallel region per replayed program, on the threads that torch uses.
#pragma once

#include <atomic>
#include <vector>

#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>
#endif

namespace sglite {

// Tells the core that this thread waits for another one.
inline void relax() {
#if defined(__x86_64__) || defined(__i386__)
    _mm_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

// Hands out the units of one operation, and knows when all of them are done. A thread that the
// system has put aside holds up the others only while it has units of its own in hand; a barrier
// would wait for it every time.
class alignas(64) WorkShare {
public:
    // First of `count` units that nobody has taken; at or beyond the number of units: none is left.
    int take(int count) { return next_.fetch_add(count, std::memory_order_relaxed); }
    void finish(int count) { done_.fetch_add(count, std::memory_order_release); }

    // Returns when `units` are done. It spins for a moment, then yields.
    void wait_for(int units) const {
        if (done_.load(std::memory_order_acquire) < units) wait_patiently(units);
    }

private:
    void wait_patiently(int units) const;

    std::atomic<int> next_{0}, done_{0};
};

// Calls `body(context, thread, num_threads)` once on each of at most `num_threads` threads and
// returns when all have. The threads are those of the OpenMP runtime that torch has loaded, where
// there is one; otherwise they are started for the call.
void run_on_threads(int num_threads, void (*body)(void*, int thread, int num_threads),
                    void* context);

// From their next region on, the OpenMP threads but the calling one stay on their place in `cores`;
// empty: those that are not pinned yet stay free. Only on Linux.
void pin_threads(std::vector<int> cores);

// "torch's OpenMP runtime" or "own threads"
const char* thread_source();

}  // namespace sglite
