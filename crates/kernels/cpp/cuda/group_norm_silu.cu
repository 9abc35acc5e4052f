// silu(group_norm(x + shift)) of channels-last images on a GPU, and its gradient.
//
// Forward: `moments` reads x, `statistics` combines the chunks' moments, `forward` reads x and writes y;
// three passes over memory. Backward: `sums` reads x and dy, `groups` and `parameters` combine the chunks'
// sums, `backward` reads x and dy and writes dx; five passes over memory.
//
// Every sum has a fixed order that depends only on an image's shape, without atomics, so the bits depend
// neither on the GPU's size nor on the other images of the batch. Partial results go through shared memory,
// not through warp shuffles, so that tests/cuda/emulator.h can run this file on a CPU.
//
// DDPO_ELEMENT is the type of x: float or bfloat16. The suffix of a kernel's name is the number of channels
// per load of a thread.

#include "arguments.h"

struct bfloat16 {
  unsigned short bits;
};

extern __shared__ double shared[];

namespace {

using namespace ddpo;
using Element = DDPO_ELEMENT;

// Rows that a thread loads before it uses the first.
constexpr int ROWS_AHEAD_ONE_INPUT = 4;
constexpr int ROWS_AHEAD_TWO_INPUTS = 2;

__device__ inline float widen(float value) { return value; }

__device__ inline float widen(bfloat16 value) {
  const unsigned bits = static_cast<unsigned>(value.bits) << 16;
  float result;
  memcpy(&result, &bits, sizeof result);
  return result;
}

[[maybe_unused]] __device__ inline void narrow(float value, float& target) { target = value; }

// Rounds to nearest, ties to even.
__device__ inline void narrow(float value, bfloat16& target) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(target.bits) : "f"(value));
#else
  unsigned bits;
  memcpy(&bits, &value, sizeof bits);
  const bool is_nan = (bits & 0x7fffffffu) > 0x7f800000u;
  bits += 0x7fffu + ((bits >> 16) & 1u);
  target.bits = static_cast<unsigned short>(is_nan ? 0x7fffu : bits >> 16);
#endif
}

// V values that are loaded and stored together.
template <class T, int V>
struct alignas(sizeof(T) * V) Pack {
  T values[V];
};

template <int V, class T>
__device__ inline void load(const T* source, float (&target)[V]) {
  const Pack<T, V> pack = *reinterpret_cast<const Pack<T, V>*>(source);
#pragma unroll
  for (int i = 0; i < V; ++i) target[i] = widen(pack.values[i]);
}

template <int V, class T>
__device__ inline void store(const float (&source)[V], T* target) {
  Pack<T, V> pack;
#pragma unroll
  for (int i = 0; i < V; ++i) narrow(source[i], pack.values[i]);
  *reinterpret_cast<Pack<T, V>*>(target) = pack;
}

__device__ inline float value_of(const Parameter& parameter, long long index) {
  return parameter.is_bfloat16 ? widen(static_cast<const bfloat16*>(parameter.values)[index])
                               : static_cast<const float*>(parameter.values)[index];
}

template <int V>
__device__ inline void load(const Parameter& parameter, int first, float (&target)[V]) {
#pragma unroll
  for (int i = 0; i < V; ++i) target[i] = value_of(parameter, first + i);
}

__device__ inline void store(const ParameterGradient& gradient, long long index, double value) {
  const float rounded = static_cast<float>(value);
  if (gradient.is_bfloat16) {
    narrow(rounded, static_cast<bfloat16*>(gradient.values)[index]);
  } else {
    static_cast<float*>(gradient.values)[index] = rounded;
  }
}

// The vector of channels and the rows of a thread: first_row + lane, then every lanes-th of the chunk.
template <int V>
struct Place {
  int column, lane, lanes, channel, first_row, last_row;
  long long image;
  bool is_active;

  __device__ explicit Place(const NormShape& shape)
      : column(threadIdx.x % shape.columns), lane(threadIdx.x / shape.columns),
        lanes(blockDim.x / shape.columns), channel((blockIdx.y * shape.columns + column) * V),
        first_row(blockIdx.x * shape.rows), last_row(first_row + shape.rows), image(blockIdx.z),
        is_active(channel < shape.channels) {
    if (last_row > shape.positions) last_row = shape.positions;
  }
};

// Sums each of a thread's N * V values over the lanes of its block, in the order of the lanes, and
// calls body(channel, sums) for every channel of the block.
template <int N, int V, class Body>
__device__ inline void each_channel_sum(const NormShape& shape, const Place<V>& place,
                                        const float (&values)[N][V], Body body) {
  float* parts = reinterpret_cast<float*>(shared);
  const int threads = blockDim.x;
#pragma unroll
  for (int n = 0; n < N; ++n) {
#pragma unroll
    for (int i = 0; i < V; ++i) parts[(n * V + i) * threads + threadIdx.x] = values[n][i];
  }
  __syncthreads();
  for (int index = threadIdx.x; index < shape.columns * V; index += threads) {
    const int i = index / shape.columns, column = index % shape.columns;
    const int channel = (blockIdx.y * shape.columns + column) * V + i;
    if (channel >= shape.channels) continue;
    float sums[N];
#pragma unroll
    for (int n = 0; n < N; ++n) {
      sums[n] = 0.0f;
      for (int lane = 0; lane < place.lanes; ++lane) {
        sums[n] += parts[(n * V + i) * threads + lane * shape.columns + column];
      }
    }
    body(channel, sums);
  }
}

// Sums squared distances to the chunk's first row, so that a mean far from zero loses no precision.
template <int V>
__device__ inline void moments(const MomentsArguments& arguments) {
  constexpr int AHEAD = ROWS_AHEAD_ONE_INPUT;
  const NormShape shape = arguments.shape;
  const Place<V> place(shape);
  const Element* x =
      static_cast<const Element*>(arguments.x) + place.image * shape.positions * shape.channels;
  const Element* pivots = x + place.first_row * shape.channels;
  float sums[2][V] = {};
  if (place.is_active) {
    float pivot[V];
    load<V>(pivots + place.channel, pivot);
    for (int row = place.first_row + place.lane; row < place.last_row; row += AHEAD * place.lanes) {
      float values[AHEAD][V];
#pragma unroll
      for (int k = 0; k < AHEAD; ++k) {
        const int at = row + k * place.lanes;
        // A row past the end counts as the pivot: its distance is zero.
        load<V>((at < place.last_row ? x + at * shape.channels : pivots) + place.channel, values[k]);
      }
#pragma unroll
      for (int k = 0; k < AHEAD; ++k) {
#pragma unroll
        for (int i = 0; i < V; ++i) {
          const float distance = values[k][i] - pivot[i];
          sums[0][i] += distance;
          sums[1][i] += distance * distance;
        }
      }
    }
  }
  float* target =
      arguments.moments + (place.image * shape.chunks + blockIdx.x) * 2 * shape.channels;
  const float count = static_cast<float>(place.last_row - place.first_row);
  each_channel_sum(shape, place, sums, [&](int channel, const float(&sum)[2]) {
    const float spread = sum[1] - sum[0] * (sum[0] / count);
    target[channel] = widen(pivots[channel]) + sum[0] / count;
    target[shape.channels + channel] = spread < 0.0f ? 0.0f : spread;
  });
}

// Returns the sum over the JOIN_THREADS threads of a block, by a tree.
template <class T>
__device__ inline T block_sum(T value) {
  T* parts = reinterpret_cast<T*>(shared);
  __syncthreads();
  parts[threadIdx.x] = value;
  __syncthreads();
  for (int half = JOIN_THREADS / 2; half > 0; half /= 2) {
    if (threadIdx.x < static_cast<unsigned>(half)) parts[threadIdx.x] += parts[threadIdx.x + half];
    __syncthreads();
  }
  return parts[0];
}

// Two passes over the chunks' moments: the mean first, then the squared distances to it.
__device__ inline void statistics(const StatisticsArguments& arguments) {
  const NormShape shape = arguments.shape;
  const int width = shape.channels / shape.groups, first = blockIdx.x * width;
  const int items = width * shape.chunks;
  const long long image = blockIdx.z;
  const float* moments = arguments.moments + image * shape.chunks * 2 * shape.channels;
  const auto shift_of = [&](int channel) {
    return arguments.shift.values ? value_of(arguments.shift, image * shape.channels + channel) : 0.0f;
  };
  const auto rows_of = [&](int chunk) {
    const int left = shape.positions - chunk * shape.rows;
    return static_cast<float>(left < shape.rows ? left : shape.rows);
  };
  const auto mean_of = [&](int item) {
    const int channel = first + item % width;
    return moments[item / width * 2 * shape.channels + channel] + shift_of(channel);
  };
  const float total = static_cast<float>(shape.positions) * static_cast<float>(width);
  const float pivot = mean_of(0);
  float sum = 0.0f;
#pragma unroll 2
  for (int item = threadIdx.x; item < items; item += JOIN_THREADS) {
    sum += rows_of(item / width) * (mean_of(item) - pivot);
  }
  const float mean = pivot + block_sum(sum) / total;
  sum = 0.0f;
#pragma unroll 2
  for (int item = threadIdx.x; item < items; item += JOIN_THREADS) {
    const float distance = mean_of(item) - mean;
    const float* spreads = moments + (item / width * 2 + 1) * shape.channels + first;
    sum += spreads[item % width] + rows_of(item / width) * distance * distance;
  }
  const float inverse = 1.0f / sqrtf(block_sum(sum) / total + arguments.eps);
  float* scale = arguments.normalisation + image * 2 * shape.channels;
  for (int i = threadIdx.x; i < width; i += JOIN_THREADS) {
    scale[first + i] = inverse;
    scale[shape.channels + first + i] = (shift_of(first + i) - mean) * inverse;
  }
}

__device__ inline float silu(float z) { return z / (1.0f + expf(-z)); }

__device__ inline float silu_slope(float z) {
  const float sigmoid = 1.0f / (1.0f + expf(-z));
  return sigmoid * (1.0f + z * (1.0f - sigmoid));
}

template <int V>
__device__ inline void forward(const ForwardArguments& arguments) {
  constexpr int AHEAD = ROWS_AHEAD_ONE_INPUT;
  const NormShape shape = arguments.shape;
  const Place<V> place(shape);
  if (!place.is_active) return;
  float scale[V], offset[V];
  {
    const float* normalisation =
        arguments.normalisation + place.image * 2 * shape.channels + place.channel;
    float weight[V], bias[V];
    load<V>(normalisation, scale);
    load<V>(normalisation + shape.channels, offset);
    load<V>(arguments.weight, place.channel, weight);
    load<V>(arguments.bias, place.channel, bias);
#pragma unroll
    for (int i = 0; i < V; ++i) {
      scale[i] *= weight[i];
      offset[i] = offset[i] * weight[i] + bias[i];
    }
  }
  const long long origin = place.image * shape.positions * shape.channels + place.channel;
  const Element* x = static_cast<const Element*>(arguments.x) + origin;
  Element* y = static_cast<Element*>(arguments.y) + origin;
  for (int row = place.first_row + place.lane; row < place.last_row; row += AHEAD * place.lanes) {
    float values[AHEAD][V];
#pragma unroll
    for (int k = 0; k < AHEAD; ++k) {
      const int at = row + k * place.lanes;
      if (at < place.last_row) load<V>(x + at * shape.channels, values[k]);
    }
#pragma unroll
    for (int k = 0; k < AHEAD; ++k) {
      const int at = row + k * place.lanes;
      if (at >= place.last_row) continue;
#pragma unroll
      for (int i = 0; i < V; ++i) values[k][i] = silu(values[k][i] * scale[i] + offset[i]);
      store<V>(values[k], y + at * shape.channels);
    }
  }
}

// The coefficients of a thread's channels for the gradient.
template <int V>
struct Channels {
  float scale[V], offset[V], weight[V], bias[V];

  __device__ Channels(const NormShape& shape, const Place<V>& place, const float* normalisation,
                      const Parameter& weight_, const Parameter& bias_) {
    const float* source = normalisation + place.image * 2 * shape.channels + place.channel;
    load<V>(source, scale);
    load<V>(source + shape.channels, offset);
    load<V>(weight_, place.channel, weight);
    load<V>(bias_, place.channel, bias);
  }

  __device__ float normalised(int i, float x) const { return x * scale[i] + offset[i]; }

  // The gradient of weight * normalised + bias.
  __device__ float gradient(int i, float normalised, float dy) const {
    return dy * silu_slope(normalised * weight[i] + bias[i]);
  }
};

// Calls body(row, x, dy) for every row of the thread.
template <int V, class Body>
__device__ inline void each_row(const NormShape& shape, const Place<V>& place, const void* x_images,
                                const void* dy_images, Body body) {
  constexpr int AHEAD = ROWS_AHEAD_TWO_INPUTS;
  const long long origin = place.image * shape.positions * shape.channels + place.channel;
  const Element* x = static_cast<const Element*>(x_images) + origin;
  const Element* dy = static_cast<const Element*>(dy_images) + origin;
  for (int row = place.first_row + place.lane; row < place.last_row; row += AHEAD * place.lanes) {
    float x_values[AHEAD][V], dy_values[AHEAD][V];
#pragma unroll
    for (int k = 0; k < AHEAD; ++k) {
      const int at = row + k * place.lanes;
      if (at >= place.last_row) continue;
      load<V>(x + at * shape.channels, x_values[k]);
      load<V>(dy + at * shape.channels, dy_values[k]);
    }
#pragma unroll
    for (int k = 0; k < AHEAD; ++k) {
      const int at = row + k * place.lanes;
      if (at < place.last_row) body(at, x_values[k], dy_values[k]);
    }
  }
}

template <int V>
__device__ inline void sums(const SumsArguments& arguments) {
  const NormShape shape = arguments.shape;
  const Place<V> place(shape);
  float sums[3][V] = {};
  if (place.is_active) {
    const Channels<V> channels(shape, place, arguments.normalisation, arguments.weight, arguments.bias);
    each_row(shape, place, arguments.x, arguments.dy,
             [&](int, const float(&x)[V], const float(&dy)[V]) {
#pragma unroll
               for (int i = 0; i < V; ++i) {
                 const float normalised = channels.normalised(i, x[i]);
                 const float g = channels.gradient(i, normalised, dy[i]);
                 sums[0][i] += g;
                 sums[1][i] += g * normalised;
                 sums[2][i] += normalised;
               }
             });
  }
  float* target = arguments.sums + (place.image * shape.chunks + blockIdx.x) * 3 * shape.channels;
  each_channel_sum(shape, place, sums, [&](int channel, const float(&sum)[3]) {
#pragma unroll
    for (int n = 0; n < 3; ++n) target[n * shape.channels + channel] = sum[n];
  });
}

// Combines the chunks' sums of a group's channels, in double precision, because d_shift is a small
// difference of large sums.
__device__ inline void groups(const GroupsArguments& arguments) {
  const NormShape shape = arguments.shape;
  const int width = shape.channels / shape.groups, first = blockIdx.x * width;
  const int columns = width < JOIN_THREADS ? width : JOIN_THREADS, lanes = JOIN_THREADS / columns;
  const int column = threadIdx.x % columns, lane = threadIdx.x / columns;
  const long long image = blockIdx.z;
  const float* sums = arguments.sums + image * shape.chunks * 3 * shape.channels + first;
  double* totals = arguments.totals + image * 3 * shape.channels + first;
  double sum_g = 0.0, sum_product = 0.0;
  for (int from = 0; from < width; from += columns) {
    const int i = from + column;
    double parts[3] = {};
    if (i < width && lane < lanes) {
      for (int chunk = lane; chunk < shape.chunks; chunk += lanes) {
        for (int n = 0; n < 3; ++n) parts[n] += sums[(chunk * 3 + n) * shape.channels + i];
      }
    }
    // With more than one round there is only one lane, so each thread reads only its own values.
    for (int n = 0; n < 3; ++n) shared[n * JOIN_THREADS + threadIdx.x] = parts[n];
    __syncthreads();
    if (i < width && lane == 0) {
      double total[3] = {};
      for (int n = 0; n < 3; ++n) {
        for (int k = 0; k < lanes; ++k) total[n] += shared[n * JOIN_THREADS + k * columns + column];
        totals[n * shape.channels + i] = total[n];
      }
      const double weight = value_of(arguments.weight, first + i);
      sum_g += total[0] * weight;
      sum_product += total[1] * weight;
    }
  }
  const double positions = shape.positions, count = positions * width;
  const double mean_g = block_sum(sum_g) / count;
  const double mean_product = block_sum(sum_product) / count;
  if (lane > 0) return;
  // Each thread reads only the totals that it wrote.
  for (int i = column; i < width; i += columns) {
    const double inverse = arguments.normalisation[image * 2 * shape.channels + first + i];
    float* slopes = arguments.slopes + image * 2 * shape.channels + first + i;
    slopes[0] = static_cast<float>(-inverse * mean_product);
    slopes[shape.channels] = static_cast<float>(-inverse * mean_g);
    if (!arguments.d_shift.values) continue;
    const double weighted = totals[i] * value_of(arguments.weight, first + i);
    const double d_shift = inverse * (weighted - mean_product * totals[2 * shape.channels + i] -
                                      mean_g * positions);
    store(arguments.d_shift, image * shape.channels + first + i, d_shift);
  }
}

__device__ inline void parameters(const ParametersArguments& arguments) {
  const int channel = blockIdx.x * blockDim.x + threadIdx.x;
  if (channel >= arguments.channels) return;
  double d_weight = 0.0, d_bias = 0.0;
  for (int image = 0; image < arguments.batch; ++image) {
    const double* totals = arguments.totals + static_cast<long long>(image) * 3 * arguments.channels;
    d_bias += totals[channel];
    d_weight += totals[arguments.channels + channel];
  }
  store(arguments.d_weight, channel, d_weight);
  store(arguments.d_bias, channel, d_bias);
}

template <int V>
__device__ inline void backward(const BackwardArguments& arguments) {
  const NormShape shape = arguments.shape;
  const Place<V> place(shape);
  if (!place.is_active) return;
  const Channels<V> channels(shape, place, arguments.normalisation, arguments.weight, arguments.bias);
  float by_g[V], by_normalised[V], constant[V];
  const float* slopes = arguments.slopes + place.image * 2 * shape.channels + place.channel;
  load<V>(slopes, by_normalised);
  load<V>(slopes + shape.channels, constant);
#pragma unroll
  for (int i = 0; i < V; ++i) by_g[i] = channels.scale[i] * channels.weight[i];
  Element* dx = static_cast<Element*>(arguments.dx) +
                place.image * shape.positions * shape.channels + place.channel;
  each_row(shape, place, arguments.x, arguments.dy,
           [&](int row, const float(&x)[V], const float(&dy)[V]) {
             float result[V];
#pragma unroll
             for (int i = 0; i < V; ++i) {
               const float normalised = channels.normalised(i, x[i]);
               const float g = channels.gradient(i, normalised, dy[i]);
               result[i] = by_g[i] * g + (by_normalised[i] * normalised + constant[i]);
             }
             store<V>(result, dx + row * shape.channels);
           });
}

}  // namespace

// Kernels take their arguments as one struct. The host uses the names with the prefix norm_.
#define DDPO_KERNEL(name, threads, Arguments, call) \
  extern "C" __global__ void __launch_bounds__(threads) norm_##name(const Arguments arguments) { \
    call(arguments); \
  }

DDPO_KERNEL(moments_1, IMAGE_THREADS, MomentsArguments, moments<1>)
DDPO_KERNEL(moments_4, IMAGE_THREADS, MomentsArguments, moments<4>)
DDPO_KERNEL(statistics, JOIN_THREADS, StatisticsArguments, statistics)
DDPO_KERNEL(forward_1, IMAGE_THREADS, ForwardArguments, forward<1>)
DDPO_KERNEL(forward_4, IMAGE_THREADS, ForwardArguments, forward<4>)
DDPO_KERNEL(sums_1, IMAGE_THREADS, SumsArguments, sums<1>)
DDPO_KERNEL(sums_4, IMAGE_THREADS, SumsArguments, sums<4>)
DDPO_KERNEL(groups, JOIN_THREADS, GroupsArguments, groups)
DDPO_KERNEL(parameters, JOIN_THREADS, ParametersArguments, parameters)
DDPO_KERNEL(backward_1, IMAGE_THREADS, BackwardArguments, backward<1>)
DDPO_KERNEL(backward_4, IMAGE_THREADS, BackwardArguments, backward<4>)
