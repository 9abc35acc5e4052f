// The arguments of the kernels in group_norm_silu.cu, shared by the kernels and the host.
//
// NVRTC has no standard headers, so this file uses only plain pointers, `int` and `float`, which both
// compilers lay out identically.

#pragma once

namespace ddpo {

// Threads of a block in the kernels that reduce partial sums; a power of two.
constexpr int JOIN_THREADS = 256;

// Maximum number of threads of a block in the kernels that read images.
constexpr int IMAGE_THREADS = 256;

// The partition of an image of `positions` rows of `channels` values. A chunk is the rows of one block.
struct NormShape {
  int channels, positions, groups;
  int rows;     // rows per chunk; the last chunk of an image may have fewer
  int chunks;   // chunks per image
  int columns;  // vectors of channels that a block reads from each row
};

// A vector of float32 or bfloat16.
struct Parameter {
  const void* values;
  int is_bfloat16;
};

// The gradient of a Parameter, in the parameter's type.
struct ParameterGradient {
  void* values;
  int is_bfloat16;
};

// Grid (chunks, column blocks, images). Images are channels-last.
struct MomentsArguments {
  NormShape shape;
  const void* x;
  float* moments;  // [B, chunks, 2, C]: mean, and sum of squared distances to it
};

// Grid (groups, 1, images).
struct StatisticsArguments {
  NormShape shape;
  const float* moments;
  Parameter shift;  // [B, C]; null values stand for zeros
  float eps;
  float* normalisation;  // [B, 2, C]: scale and offset, normalised = x * scale + offset
};

// Grid (chunks, column blocks, images).
struct ForwardArguments {
  NormShape shape;
  const void* x;
  const float* normalisation;
  Parameter weight, bias;
  void* y;
};

// Grid (chunks, column blocks, images). g is the gradient of weight * normalised + bias.
struct SumsArguments {
  NormShape shape;
  const void *x, *dy;
  const float* normalisation;
  Parameter weight, bias;
  float* sums;  // [B, chunks, 3, C]: sums of g, of g * normalised, of normalised
};

// Grid (groups, 1, images).
struct GroupsArguments {
  NormShape shape;
  const float *sums, *normalisation;
  Parameter weight;
  double* totals;             // [B, 3, C]: `sums` over all chunks
  float* slopes;              // [B, 2, C]: dx = scale * weight * g + slopes[0] * normalised + slopes[1]
  ParameterGradient d_shift;  // [B, C]; null values if not needed
};

// Grid over channels, one thread each.
struct ParametersArguments {
  int batch, channels;
  const double* totals;
  ParameterGradient d_weight, d_bias;
};

// Grid (chunks, column blocks, images).
struct BackwardArguments {
  NormShape shape;
  const void *x, *dy;
  const float *normalisation, *slopes;
  Parameter weight, bias;
  void* dx;
};

}  // namespace ddpo
