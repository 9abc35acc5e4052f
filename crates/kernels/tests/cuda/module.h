// The kernels of group_norm_silu.cu on a CPU, called by driver_stub.cpp.

#pragma once

#include "emulator.h"

#include "group_norm_silu.cu"

#include <functional>
#include <map>
#include <string>

extern "C" {
bool emulated_has(const char* name);
void* emulated_stream();
void emulated_launch(const char* name, const unsigned* grid, unsigned threads, unsigned shared_bytes,
                     const void* arguments);
}

namespace {

template <class Arguments>
std::function<void(const void*)> kernel(void (*function)(Arguments)) {
  return [=](const void* arguments) { function(*static_cast<const Arguments*>(arguments)); };
}

const std::map<std::string, std::function<void(const void*)>>& kernels() {
  static const std::map<std::string, std::function<void(const void*)>> all = {
      {"norm_moments_1", kernel(norm_moments_1)},   {"norm_moments_4", kernel(norm_moments_4)},
      {"norm_statistics", kernel(norm_statistics)}, {"norm_forward_1", kernel(norm_forward_1)},
      {"norm_forward_4", kernel(norm_forward_4)},   {"norm_sums_1", kernel(norm_sums_1)},
      {"norm_sums_4", kernel(norm_sums_4)},         {"norm_groups", kernel(norm_groups)},
      {"norm_parameters", kernel(norm_parameters)}, {"norm_backward_1", kernel(norm_backward_1)},
      {"norm_backward_4", kernel(norm_backward_4)},
  };
  return all;
}

}  // namespace

bool emulated_has(const char* name) { return kernels().count(name) > 0; }

// The only stream that the stub launches on.
void* emulated_stream() {
  static char stream;
  return &stream;
}

void emulated_launch(const char* name, const unsigned* grid, unsigned threads, unsigned shared_bytes,
                     const void* arguments) {
  const auto& kernel = kernels().at(name);
  emulator::run({grid[0], grid[1], grid[2]}, threads, shared_bytes, [&] { kernel(arguments); });
}
