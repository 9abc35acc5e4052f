// The order and the grids of the kernels of group_norm_silu.cu.
//
// The operator launches them on a GPU (operator.cpp), the tests on a CPU (tests/cuda/emulated.cpp).
// A launcher has `template <class Arguments> void launch(Kernel, Grid, const Arguments&)`.

#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "arguments.h"

namespace ddpo {

enum class Kernel {
  MOMENTS_1,
  MOMENTS_4,
  STATISTICS,
  FORWARD_1,
  FORWARD_4,
  SUMS_1,
  SUMS_4,
  GROUPS,
  PARAMETERS,
  BACKWARD_1,
  BACKWARD_4,
};

constexpr const char* KERNEL_NAMES[] = {
    "norm_moments_1", "norm_moments_4", "norm_statistics", "norm_forward_1",  "norm_forward_4",  "norm_sums_1",
    "norm_sums_4",    "norm_groups",    "norm_parameters", "norm_backward_1", "norm_backward_4",
};
constexpr std::size_t KERNELS = sizeof KERNEL_NAMES / sizeof *KERNEL_NAMES;

struct Grid {
  unsigned x, y, z, threads;
  unsigned shared_bytes;
};

// Limits of the kernels' indices and grids: elements per image, images per batch.
constexpr std::int64_t MOST_ELEMENTS = std::int64_t{1} << 29;
constexpr std::int64_t MOST_IMAGES = 65535;

// The partition of a batch. It depends only on the images' shape, so that results depend neither on the
// GPU's size nor on the other images of the batch.
struct NormPlan {
  NormShape shape;
  int batch, vector;
  unsigned column_blocks, threads;

  // `can_load_vectors`: the address of every image is aligned to four elements.
  NormPlan(std::int64_t batch_, std::int64_t channels, std::int64_t positions, std::int64_t groups,
           bool can_load_vectors)
      : batch(static_cast<int>(batch_)), vector(can_load_vectors && channels % 4 == 0 ? 4 : 1) {
    const std::int64_t columns = channels / vector;
    const std::int64_t blocks = (columns + IMAGE_THREADS - 1) / IMAGE_THREADS;
    const std::int64_t block_columns = (columns + blocks - 1) / blocks;
    // About 256 chunks per image, and 16 to 64 elements per thread.
    const std::int64_t elements =
        std::clamp<std::int64_t>(channels * positions / 256, 16 * IMAGE_THREADS, 64 * IMAGE_THREADS);
    const std::int64_t rows = std::clamp<std::int64_t>(elements / channels, 1, positions);
    column_blocks = static_cast<unsigned>(blocks);
    threads = static_cast<unsigned>(block_columns * (IMAGE_THREADS / block_columns));
    shape = {static_cast<int>(channels),
             static_cast<int>(positions),
             static_cast<int>(groups),
             static_cast<int>(rows),
             static_cast<int>((positions + rows - 1) / rows),
             static_cast<int>(block_columns)};
  }

  // Element counts of the scratch memory of forward and backward.
  std::int64_t moments() const { return std::int64_t{2} * batch * shape.chunks * shape.channels; }
  std::int64_t normalisation() const { return std::int64_t{2} * batch * shape.channels; }
  std::int64_t sums() const { return std::int64_t{3} * batch * shape.chunks * shape.channels; }
  std::int64_t totals() const { return std::int64_t{3} * batch * shape.channels; }
  std::int64_t slopes() const { return std::int64_t{2} * batch * shape.channels; }

  Kernel choose(Kernel one, Kernel four) const { return vector == 4 ? four : one; }

  // Returns the grid of a kernel that reads images and computes `sums` sums for each channel.
  Grid images(unsigned sums) const {
    return {static_cast<unsigned>(shape.chunks), column_blocks, static_cast<unsigned>(batch), threads,
            static_cast<unsigned>(sums * vector * threads * sizeof(float))};
  }

  // Returns the grid of a kernel with one block per group and image, which shares `sums` numbers per thread.
  Grid group_blocks(unsigned sums) const {
    return {static_cast<unsigned>(shape.groups), 1, static_cast<unsigned>(batch), JOIN_THREADS,
            static_cast<unsigned>(sums * JOIN_THREADS * sizeof(double))};
  }

  Grid channel_threads() const {
    return {static_cast<unsigned>((shape.channels + JOIN_THREADS - 1) / JOIN_THREADS), 1, 1, JOIN_THREADS, 0};
  }
};

// Inputs and outputs of forward. `moments` is scratch; `normalisation` is kept for the gradient.
struct NormForward {
  const void* x;
  Parameter shift, weight, bias;
  float eps;
  float *moments, *normalisation;
  void* y;
};

template <class Launcher>
void launch_forward(Launcher& launcher, const NormPlan& plan, const NormForward& t) {
  const NormShape& shape = plan.shape;
  launcher.launch(plan.choose(Kernel::MOMENTS_1, Kernel::MOMENTS_4), plan.images(2),
                  MomentsArguments{shape, t.x, t.moments});
  launcher.launch(Kernel::STATISTICS, plan.group_blocks(1),
                  StatisticsArguments{shape, t.moments, t.shift, t.eps, t.normalisation});
  launcher.launch(plan.choose(Kernel::FORWARD_1, Kernel::FORWARD_4), plan.images(0),
                  ForwardArguments{shape, t.x, t.normalisation, t.weight, t.bias, t.y});
}

// Inputs and outputs of backward. `sums`, `totals` and `slopes` are scratch.
struct NormBackward {
  const void *x, *dy;
  const float* normalisation;
  Parameter weight, bias;
  float *sums, *slopes;
  double* totals;
  void* dx;
  ParameterGradient d_shift, d_weight, d_bias;
};

template <class Launcher>
void launch_backward(Launcher& launcher, const NormPlan& plan, const NormBackward& t) {
  const NormShape& shape = plan.shape;
  launcher.launch(plan.choose(Kernel::SUMS_1, Kernel::SUMS_4), plan.images(3),
                  SumsArguments{shape, t.x, t.dy, t.normalisation, t.weight, t.bias, t.sums});
  launcher.launch(
      Kernel::GROUPS, plan.group_blocks(3),
      GroupsArguments{shape, t.sums, t.normalisation, t.weight, t.totals, t.slopes, t.d_shift});
  launcher.launch(Kernel::PARAMETERS, plan.channel_threads(),
                  ParametersArguments{plan.batch, shape.channels, t.totals, t.d_weight, t.d_bias});
  launcher.launch(
      plan.choose(Kernel::BACKWARD_1, Kernel::BACKWARD_4), plan.images(0),
      BackwardArguments{shape, t.x, t.dy, t.normalisation, t.slopes, t.weight, t.bias, t.dx});
}

}  // namespace ddpo
