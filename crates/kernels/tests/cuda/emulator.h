// Emulates CUDA kernels on a CPU: every thread of a block is a fiber with a separate stack, and
// __syncthreads() waits until all threads of the block reach it.
//
// Blocks run sequentially. Between two barriers the threads run in the order `order`; a kernel whose
// results depend on it has a race. Shared memory is filled with NaN before each block, and a write beyond
// the requested bytes ends the program.

#pragma once

#include <ucontext.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <limits>
#include <vector>

#define __global__
#define __device__
#define __shared__
#define __launch_bounds__(threads)

struct Index {
  unsigned x, y, z;
};

inline Index threadIdx, blockIdx, blockDim, gridDim;

// The dynamic shared memory of the running block.
constexpr std::size_t SHARED_DOUBLES = 8192;
inline double shared[SHARED_DOUBLES];

namespace emulator {

enum class Order { ASCENDING, DESCENDING, INTERLEAVED };
inline Order order = Order::ASCENDING;

enum class State { RUNS, WAITS, ENDED };

struct Fiber {
  ucontext_t context;
  std::vector<char> stack;
  State state;
};

inline std::vector<Fiber> fibers;
inline ucontext_t scheduler;
inline std::size_t running;
inline const std::function<void()>* body;

[[noreturn]] inline void fail(const char* message) {
  std::fprintf(stderr, "emulator: %s\n", message);
  std::abort();
}

inline void enter() {
  (*body)();
  fibers[running].state = State::ENDED;
  swapcontext(&fibers[running].context, &scheduler);
}

inline void wait() {
  const std::size_t self = running;
  fibers[self].state = State::WAITS;
  swapcontext(&fibers[self].context, &scheduler);
}

// Returns the index of the thread that runs in position `step` of `count`.
inline std::size_t at(std::size_t step, std::size_t count) {
  switch (order) {
    case Order::ASCENDING: return step;
    case Order::DESCENDING: return count - 1 - step;
    case Order::INTERLEAVED: break;
  }
  // First the odd threads in descending order, then the even threads in ascending order.
  const std::size_t odd = count / 2;
  return step < odd ? 2 * (odd - 1 - step) + 1 : 2 * (step - odd);
}

inline void run_block(std::size_t threads, std::size_t shared_bytes) {
  if (shared_bytes > sizeof shared) fail("the launch asks for too much shared memory");
  std::fill_n(shared, SHARED_DOUBLES, std::numeric_limits<double>::quiet_NaN());
  std::memset(reinterpret_cast<char*>(shared) + shared_bytes, 0x5a, sizeof shared - shared_bytes);
  for (std::size_t i = 0; i < threads; ++i) {
    Fiber& fiber = fibers[i];
    fiber.state = State::RUNS;
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = fiber.stack.data();
    fiber.context.uc_stack.ss_size = fiber.stack.size();
    fiber.context.uc_link = nullptr;
    makecontext(&fiber.context, enter, 0);
  }
  for (bool is_done = false; !is_done;) {
    std::size_t waiting = 0;
    for (std::size_t step = 0; step < threads; ++step) {
      running = at(step, threads);
      if (fibers[running].state == State::ENDED) continue;
      fibers[running].state = State::RUNS;
      threadIdx = {static_cast<unsigned>(running), 0, 0};
      swapcontext(&scheduler, &fibers[running].context);
      waiting += fibers[running].state == State::WAITS;
    }
    is_done = waiting == 0;
    for (std::size_t i = 0; i < threads && !is_done; ++i) {
      if (fibers[i].state == State::ENDED) fail("threads wait at a barrier that others never reach");
    }
  }
  const char* bytes = reinterpret_cast<const char*>(shared);
  for (std::size_t i = shared_bytes; i < sizeof shared; ++i) {
    if (bytes[i] != 0x5a) fail("a write past the shared memory of the launch");
  }
}

// Runs kernel() for all threads of all blocks.
inline void run(Index grid, unsigned threads, std::size_t shared_bytes, const std::function<void()>& kernel) {
  if (fibers.size() < threads) fibers.resize(threads);
  for (Fiber& fiber : fibers) {
    if (fiber.stack.empty()) fiber.stack.resize(64 * 1024);
  }
  body = &kernel;
  gridDim = grid;
  blockDim = {threads, 1, 1};
  for (unsigned z = 0; z < grid.z; ++z) {
    for (unsigned y = 0; y < grid.y; ++y) {
      for (unsigned x = 0; x < grid.x; ++x) {
        blockIdx = {x, y, z};
        run_block(threads, shared_bytes);
      }
    }
  }
  body = nullptr;
}

}  // namespace emulator

inline void __syncthreads() { emulator::wait(); }
