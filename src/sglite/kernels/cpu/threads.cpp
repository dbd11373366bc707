#include "threads.h"

#include <thread>
#include <vector>

#if defined(__unix__) || defined(__APPLE__)
#include <dlfcn.h>
#include <sched.h>
#endif

namespace sglite {
namespace {

constexpr int kSpins = 4000;  // some 50 to 100 microseconds

// GNU OpenMP's entry points, found in the process and not linked: a second runtime with threads of
// its own would fight torch's for the cores.
struct GnuOpenMP {
    using Body = void (*)(void*);
    void (*parallel)(Body, void*, unsigned num_threads, unsigned flags) = nullptr;
    int (*thread_num)() = nullptr;
    int (*num_threads)() = nullptr;

    GnuOpenMP() {
#if defined(__unix__) || defined(__APPLE__)
        parallel = (decltype(parallel))dlsym(RTLD_DEFAULT, "GOMP_parallel");
        thread_num = (decltype(thread_num))dlsym(RTLD_DEFAULT, "omp_get_thread_num");
        num_threads = (decltype(num_threads))dlsym(RTLD_DEFAULT, "omp_get_num_threads");
#endif
    }
    bool is_there() const { return parallel && thread_num && num_threads; }
};

const GnuOpenMP& gnu_openmp() {
    static const GnuOpenMP found;
    return found;
}

std::vector<int>& pinned_cores() {
    static std::vector<int> cores;
    return cores;
}

// A thread of a pool is pinned once; the next one of a pool that is made anew, too.
void pin(int thread) {
#if defined(__linux__)
    thread_local int core = -1;
    const std::vector<int>& cores = pinned_cores();
    if (thread == 0 || thread >= (int)cores.size() || core == cores[thread]) return;
    core = cores[thread];
    cpu_set_t only;
    CPU_ZERO(&only);
    CPU_SET(core, &only);
    sched_setaffinity(0, sizeof only, &only);  // 0: this thread; where it may not, it stays free
#else
    (void)thread;
#endif
}

struct Region {
    void (*body)(void*, int, int);
    void* context;
};

void enter_region(void* data) {
    const Region& region = *(const Region*)data;
    pin(gnu_openmp().thread_num());
    region.body(region.context, gnu_openmp().thread_num(), gnu_openmp().num_threads());
}

}  // namespace

void WorkShare::wait_patiently(int units) const {
    for (int spin = 0; done_.load(std::memory_order_acquire) < units; ++spin) {
        if (spin < kSpins)
            relax();
        else
            std::this_thread::yield();
    }
}

void run_on_threads(int num_threads, void (*body)(void*, int, int), void* context) {
    if (num_threads == 1) return body(context, 0, 1);
    if (gnu_openmp().is_there()) {
        Region region{body, context};
        gnu_openmp().parallel(enter_region, &region, (unsigned)num_threads, 0);
        return;
    }
    std::vector<std::thread> others;
    for (int thread = 1; thread < num_threads; ++thread)
        others.emplace_back(body, context, thread, num_threads);
    body(context, 0, num_threads);
    for (std::thread& other : others) other.join();
}

void pin_threads(std::vector<int> cores) { pinned_cores() = std::move(cores); }

const char* thread_source() {
    return gnu_openmp().is_there() ? "torch's OpenMP runtime" : "own threads";
}

}  // namespace sglite
