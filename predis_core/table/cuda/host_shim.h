// CUDA on the host, for tests: every thread is a fiber, a warp's operations are rendezvous of its
// 32 lanes, and a seeded scheduler says who goes on. What a GPU may interleave is interleaved here,
// and the same seed does the same again.

#include <setjmp.h>
#include <ucontext.h>

#include <memory>
#include <vector>

#define __device__
#define __forceinline__ inline
#define __ffs __builtin_ffs
#define __popc __builtin_popcount

struct alignas(16) uint4 {
    unsigned x, y, z, w;
};

namespace shim {

typedef unsigned long long u64;
constexpr int LANES = 32;
constexpr size_t STACK = 1 << 16;

struct Axis {
    unsigned x;
};

struct Fiber {
    ucontext_t first;
    jmp_buf at;
    std::unique_ptr<char[]> stack{new char[STACK]};
    unsigned thread;
    bool started, done;
    u64 waits_for;  // the round of its warp in which it goes on
};

struct Warp {
    u64 values[2][LANES];  // of two rounds, as a lane may be one ahead
    u64 round;
    int arrived, operation;
};

inline std::vector<Fiber> fibers;
inline std::vector<Warp> warps;
inline Fiber* current;
inline jmp_buf scheduler;
inline u64 random_state;
inline bool failed;
inline unsigned block_size;
inline Axis grid, block;
inline void (*body)(const void*, const void*);
inline const void *first_argument, *second_argument;

inline unsigned random_below(unsigned limit) {
    random_state = random_state * 6364136223846793005ull + 1442695040888963407ull;
    return unsigned((random_state >> 33) % limit);
}

inline void pause() {
    if (!_setjmp(current->at)) _longjmp(scheduler, 1);
}

inline void pause_sometimes() {
    if (random_below(4) == 0) pause();
}

[[noreturn]] inline void fail() {
    failed = true;
    _longjmp(scheduler, 1);
}

inline void run_current() {
    body(first_argument, second_argument);
    current->done = true;
    _longjmp(scheduler, 1);
}

// Have all lanes of the warp say a value in the same operation; return what each has said.
inline const u64* meet(int operation, u64 value) {
    Warp& warp = warps[current->thread / LANES];
    const u64 round = warp.round;
    if (warp.arrived++ == 0) warp.operation = operation;
    if (warp.operation != operation) fail();
    warp.values[round & 1][current->thread % LANES] = value;
    if (warp.arrived == LANES) {
        warp.arrived = 0;
        warp.round++;
    } else {
        current->waits_for = round + 1;
        pause();
    }
    return warp.values[round & 1];
}

inline bool may_run(const Fiber& fiber) {
    return !fiber.done && fiber.waits_for <= warps[fiber.thread / LANES].round;
}

inline void resume(Fiber& fiber) {
    current = &fiber;
    if (_setjmp(scheduler)) return;
    if (fiber.started) _longjmp(fiber.at, 1);
    fiber.started = true;
    setcontext(&fiber.first);
}

// Let every lane of a warp that may run do so until it waits or pauses; say whether one did.
inline bool run_warp(unsigned warp) {
    const unsigned start = random_below(LANES), step = random_below(LANES / 2) * 2 + 1;
    bool ran = false;
    for (unsigned at = 0; at < LANES && !failed; at++) {
        Fiber& fiber = fibers[warp * LANES + (start + at * step) % LANES];
        if (!may_run(fiber)) continue;
        resume(fiber);
        ran = true;
    }
    return ran;
}

// Run a kernel; return 0, or 1 if the lanes of a warp did not do the same operations.
inline int run(void (*kernel)(const void*, const void*), const void* table, const void* batch,
               unsigned blocks, unsigned threads, u64 seed) {
    const unsigned count = blocks * threads;
    body = kernel, first_argument = table, second_argument = batch;
    grid.x = blocks, block.x = block_size = threads;
    random_state = seed, failed = false;
    while (fibers.size() < count) fibers.emplace_back();
    warps.assign(count / LANES, Warp{});
    for (unsigned thread = 0; thread < count; thread++) {
        Fiber& fiber = fibers[thread];
        fiber.thread = thread, fiber.started = fiber.done = false, fiber.waits_for = 0;
        getcontext(&fiber.first);
        fiber.first.uc_stack.ss_sp = fiber.stack.get();
        fiber.first.uc_stack.ss_size = STACK;
        makecontext(&fiber.first, run_current, 0);
    }
    std::vector<unsigned> open(warps.size());
    for (unsigned at = 0; at < open.size(); at++) open[at] = at;
    while (!open.empty() && !failed) {
        const unsigned at = random_below(unsigned(open.size())), warp = open[at];
        if (run_warp(warp)) continue;
        for (unsigned lane = 0; lane < LANES; lane++) failed |= !fibers[warp * LANES + lane].done;
        open[at] = open.back();
        open.pop_back();
    }
    return failed;
}

inline Axis thread_index() { return {current->thread % block_size}; }
inline Axis block_index() { return {current->thread / block_size}; }

enum Operation { BALLOT, SHUFFLE, SHUFFLE_XOR, SHUFFLE_UP, SHUFFLE_DOWN, LEAST, SUM };

inline unsigned lane() { return current->thread % LANES; }

}  // namespace shim

#define threadIdx shim::thread_index()
#define blockIdx shim::block_index()
#define blockDim shim::block
#define gridDim shim::grid

inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
    return (unsigned long long)((unsigned __int128)a * b >> 64);
}

inline unsigned __ballot_sync(unsigned, bool holds) {
    const shim::u64* said = shim::meet(shim::BALLOT, holds);
    unsigned found = 0;
    for (int lane = 0; lane < shim::LANES; lane++) found |= unsigned(said[lane]) << lane;
    return found;
}

template <class T>
T __shfl_sync(unsigned, T value, int from, int width = 32) {
    const int first = int(shim::lane()) / width * width;
    return T(shim::meet(shim::SHUFFLE, shim::u64(value))[first + from % width]);
}

template <class T>
T __shfl_xor_sync(unsigned, T value, int apart) {
    return T(shim::meet(shim::SHUFFLE_XOR, shim::u64(value))[shim::lane() ^ apart]);
}

template <class T>
T __shfl_up_sync(unsigned, T value, unsigned by) {
    const shim::u64* said = shim::meet(shim::SHUFFLE_UP, shim::u64(value));
    return shim::lane() < by ? value : T(said[shim::lane() - by]);
}

template <class T>
T __shfl_down_sync(unsigned, T value, unsigned by) {
    const shim::u64* said = shim::meet(shim::SHUFFLE_DOWN, shim::u64(value));
    return shim::lane() + by >= shim::LANES ? value : T(said[shim::lane() + by]);
}

inline unsigned __reduce_min_sync(unsigned, unsigned value) {
    const shim::u64* said = shim::meet(shim::LEAST, value);
    unsigned found = value;
    for (int lane = 0; lane < shim::LANES; lane++)
        if (said[lane] < found) found = unsigned(said[lane]);
    return found;
}

inline int __reduce_add_sync(unsigned, int value) {
    const shim::u64* said = shim::meet(shim::SUM, shim::u64(value));
    int found = 0;
    for (int lane = 0; lane < shim::LANES; lane++) found += int(said[lane]);
    return found;
}

// What is atomic is one step of a fiber; others may go on before it.
#define SHIM_ATOMIC(NAME, NEW)              \
    template <class T>                      \
    T NAME(T* at, T value) {                \
        shim::pause_sometimes();            \
        const T old = *at;                  \
        *at = NEW;                          \
        return old;                         \
    }
SHIM_ATOMIC(atomicAdd, old + value)
SHIM_ATOMIC(atomicAnd, old & value)
SHIM_ATOMIC(atomicMin, value < old ? value : old)
SHIM_ATOMIC(atomicMax, value > old ? value : old)
SHIM_ATOMIC(atomicExch, value)

template <class T>
T atomicCAS(T* at, T expected, T value) {
    shim::pause_sometimes();
    const T old = *at;
    if (old == expected) *at = value;
    return old;
}

// Marks of the source between two accesses that are one thread's own business, or should be.
#define OTHERS_MAY_GO_ON() shim::pause_sometimes()

#define KERNEL(NAME)                                                                       \
    static void NAME##_kernel(const Table& table, const Batch& batch);                     \
    static void NAME##_body(const void* table, const void* batch) {                        \
        NAME##_kernel(*(const Table*)table, *(const Batch*)batch);                         \
    }                                                                                      \
    extern "C" int predis_##NAME(const void* table, const void* batch, unsigned blocks,    \
                                 unsigned threads, unsigned long long seed) {              \
        return shim::run(NAME##_body, table, batch, blocks, threads, seed);                \
    }                                                                                      \
    static void NAME##_kernel(const Table& table, const Batch& batch)
