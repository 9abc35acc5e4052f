// silu(group_norm(x + shift)) of channels-last images, and its gradient: on a CPU in this file, on a GPU in
// cuda/operator.cpp.
//
// For each image and channel, every chunk of positions is summed in f32, and the chunks' sums are added in
// double precision in the order of the chunks. Chunks do not depend on the number of threads, so neither do
// the results. Only x and the mean and deviation of each group are kept for the gradient, which recomputes
// the rest.

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <optional>
#include <vector>

#include "cuda/operator.h"
#include "loops.h"

namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

const ddpo::Table& table() {
#if defined(__x86_64__)
  static const ddpo::Table& best = []() -> const ddpo::Table& {
    __builtin_cpu_init();
    const bool fma = __builtin_cpu_supports("fma");
    if (fma && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")) {
      return loops_avx512;
    }
    return fma && __builtin_cpu_supports("avx2") ? loops_avx2 : loops_default;
  }();
  return best;
#else
  return loops_default;
#endif
}

const ddpo::Loops<float>& loops(const float*) { return table().f32; }
const ddpo::Loops<uint16_t>& loops(const uint16_t*) { return table().bf16; }

// Elements of a chunk; as f32 they fit twice into the L2 cache.
constexpr int64_t CHUNK = 32768;

struct Shape {
  int64_t batch, channels, positions, groups, rows, chunks;

  Shape(const Tensor& x, int64_t groups_)
      : batch(x.size(0)), channels(x.size(1)), positions(x.size(2) * x.size(3)), groups(groups_) {
    rows = std::max<int64_t>(1, CHUNK / std::max<int64_t>(1, channels));
    chunks = (positions + rows - 1) / rows;
  }

  int64_t width() const { return channels / groups; }
  int64_t rows_of(int64_t chunk) const { return std::min(rows, positions - chunk * rows); }
};

template <class T>
const T* values(const Tensor& tensor) {
  return static_cast<const T*>(tensor.const_data_ptr());
}

// Calls body(image, chunk, first element) for every chunk, in parallel.
template <class Body>
void each_chunk(const Shape& shape, Body body) {
  at::parallel_for(0, shape.batch * shape.chunks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const int64_t image = task / shape.chunks, chunk = task % shape.chunks;
      const int64_t first = (image * shape.positions + chunk * shape.rows) * shape.channels;
      body(image, chunk, first);
    }
  });
}

// Per chunk, `count` sums of every channel.
struct Partial {
  const Shape& shape;
  int64_t count;
  std::vector<float> data;

  Partial(const Shape& shape_, int64_t count_)
      : shape(shape_), count(count_),
        data(static_cast<size_t>(shape.batch * shape.chunks * count * shape.channels), 0.0f) {}

  float* at(int64_t image, int64_t chunk, int64_t which) {
    return data.data() + ((image * shape.chunks + chunk) * count + which) * shape.channels;
  }

  // The sums over an image's chunks.
  std::vector<double> joined(int64_t image, int64_t which) {
    std::vector<double> total(static_cast<size_t>(shape.channels), 0.0);
    for (int64_t chunk = 0; chunk < shape.chunks; ++chunk) {
      const float* part = at(image, chunk, which);
      for (int64_t i = 0; i < shape.channels; ++i) total[i] += part[i];
    }
    return total;
  }
};

// The inputs in the form that the loops require: x channels-last, the rest f32.
struct Inputs {
  Tensor x, shift, weight, bias;
  double eps;
  Shape shape;

  Inputs(const Tensor& x_, const Tensor& shift_, const Tensor& weight_, const Tensor& bias_,
         int64_t groups, double eps_)
      : x(x_.contiguous(at::MemoryFormat::ChannelsLast)),
        shift(shift_.to(at::kFloat).contiguous()),
        weight(weight_.to(at::kFloat).contiguous()), bias(bias_.to(at::kFloat).contiguous()),
        eps(eps_), shape(x, groups) {}
};

// Returns mean and 1 / deviation `[2, batch, groups]`. Sums squared distances to the image's first row, so
// that a mean far from zero loses no precision.
template <class T>
Tensor statistics(const Inputs& in) {
  const Shape& shape = in.shape;
  const T* x = values<T>(in.x);
  const auto& loop = loops(x);
  std::vector<float> pivot(static_cast<size_t>(shape.batch * shape.channels));
  for (int64_t image = 0; image < shape.batch; ++image) {
    loop.widen(x + image * shape.positions * shape.channels, shape.channels,
               pivot.data() + image * shape.channels);
  }
  Partial partial(shape, 2);
  each_chunk(shape, [&](int64_t image, int64_t chunk, int64_t first) {
    loop.moments(x + first, shape.rows_of(chunk), shape.channels,
                 pivot.data() + image * shape.channels, partial.at(image, chunk, 0),
                 partial.at(image, chunk, 1));
  });
  Tensor result = at::empty({2, shape.batch, shape.groups}, at::kFloat);
  float* means = result.data_ptr<float>();
  float* inverse = means + shape.batch * shape.groups;
  const double n = static_cast<double>(shape.positions);
  for (int64_t image = 0; image < shape.batch; ++image) {
    const auto sums = partial.joined(image, 0), squares = partial.joined(image, 1);
    const float* base = pivot.data() + image * shape.channels;
    const float* shift = values<float>(in.shift) + image * shape.channels;
    const auto mean_of = [&](int64_t i) {
      return static_cast<double>(base[i]) + shift[i] + sums[i] / n;
    };
    for (int64_t group = 0; group < shape.groups; ++group) {
      const int64_t from = group * shape.width(), to = from + shape.width();
      double mean = 0.0, spread = 0.0;
      for (int64_t i = from; i < to; ++i) mean += mean_of(i);
      mean /= static_cast<double>(shape.width());
      for (int64_t i = from; i < to; ++i) {
        const double distance = mean_of(i) - mean;
        spread += std::max(0.0, squares[i] - sums[i] * sums[i] / n) + n * distance * distance;
      }
      const double variance = spread / (n * static_cast<double>(shape.width()));
      means[image * shape.groups + group] = static_cast<float>(mean);
      inverse[image * shape.groups + group] = static_cast<float>(1.0 / std::sqrt(variance + in.eps));
    }
  }
  return result;
}

// normalised = x * scale + offset, per image and channel.
struct Normalisation {
  std::vector<float> scale, offset;

  Normalisation(const Inputs& in, const Tensor& statistics) {
    const Shape& shape = in.shape;
    const float* means = values<float>(statistics);
    const float* inverse = means + shape.batch * shape.groups;
    const float* shift = values<float>(in.shift);
    for (int64_t image = 0; image < shape.batch; ++image) {
      for (int64_t i = 0; i < shape.channels; ++i) {
        const int64_t group = image * shape.groups + i / shape.width();
        scale.push_back(inverse[group]);
        const double centre = static_cast<double>(shift[image * shape.channels + i]) - means[group];
        offset.push_back(static_cast<float>(centre * inverse[group]));
      }
    }
  }
};

template <class T>
Tensor forward(const Inputs& in, const Tensor& statistics) {
  const Shape& shape = in.shape;
  Normalisation coefficients(in, statistics);
  const float* weight = values<float>(in.weight);
  const float* bias = values<float>(in.bias);
  for (int64_t k = 0; k < shape.batch * shape.channels; ++k) {
    const int64_t i = k % shape.channels;
    coefficients.offset[k] = coefficients.offset[k] * weight[i] + bias[i];
    coefficients.scale[k] *= weight[i];
  }
  Tensor result = at::empty_like(in.x, at::MemoryFormat::ChannelsLast);
  const T* x = values<T>(in.x);
  T* y = static_cast<T*>(result.data_ptr());
  const auto& loop = loops(x);
  each_chunk(shape, [&](int64_t image, int64_t chunk, int64_t first) {
    loop.forward(x + first, y + first, shape.rows_of(chunk), shape.channels,
                 coefficients.scale.data() + image * shape.channels,
                 coefficients.offset.data() + image * shape.channels);
  });
  return result;
}

// Returns the gradients of x, shift, weight and bias; the last three in f32.
template <class T>
variable_list backward(const Inputs& in, const Tensor& statistics, const Tensor& gradient) {
  const Shape& shape = in.shape;
  const Normalisation coefficients(in, statistics);
  const Tensor dy_tensor = gradient.contiguous(at::MemoryFormat::ChannelsLast);
  const T* x = values<T>(in.x);
  const T* dy = values<T>(dy_tensor);
  const float* weight = values<float>(in.weight);
  const auto& loop = loops(x);
  const auto affine = [&](int64_t image) {
    const int64_t first = image * shape.channels;
    return ddpo::Affine{coefficients.scale.data() + first, coefficients.offset.data() + first, weight,
                        values<float>(in.bias)};
  };
  Partial partial(shape, 3);
  each_chunk(shape, [&](int64_t image, int64_t chunk, int64_t first) {
    loop.sums(x + first, dy + first, shape.rows_of(chunk), shape.channels, affine(image),
              partial.at(image, chunk, 0), partial.at(image, chunk, 1), partial.at(image, chunk, 2));
  });

  const auto size = static_cast<size_t>(shape.batch * shape.channels);
  std::vector<float> slope(size), by_normalised(size), constant(size);
  std::vector<double> d_weight(static_cast<size_t>(shape.channels)), d_bias(d_weight);
  Tensor d_shift = at::empty({shape.batch, shape.channels}, at::kFloat);
  const double positions = static_cast<double>(shape.positions);
  const double n = positions * static_cast<double>(shape.width());
  for (int64_t image = 0; image < shape.batch; ++image) {
    const auto by_g = partial.joined(image, 0), by_product = partial.joined(image, 1);
    const auto sum_normalised = partial.joined(image, 2);
    for (int64_t group = 0; group < shape.groups; ++group) {
      const int64_t from = group * shape.width(), to = from + shape.width();
      double mean_g = 0.0, mean_product = 0.0;
      for (int64_t i = from; i < to; ++i) {
        mean_g += by_g[i] * weight[i];
        mean_product += by_product[i] * weight[i];
        d_weight[i] += by_product[i];
        d_bias[i] += by_g[i];
      }
      mean_g /= n;
      mean_product /= n;
      for (int64_t i = from; i < to; ++i) {
        const int64_t k = image * shape.channels + i;
        const double inverse = coefficients.scale[k];
        slope[k] = static_cast<float>(inverse * weight[i]);
        by_normalised[k] = static_cast<float>(-inverse * mean_product);
        constant[k] = static_cast<float>(-inverse * mean_g);
        d_shift.data_ptr<float>()[k] = static_cast<float>(
            inverse * (by_g[i] * weight[i] - mean_product * sum_normalised[i] - mean_g * positions));
      }
    }
  }

  Tensor d_x = at::empty_like(in.x, at::MemoryFormat::ChannelsLast);
  T* dx = static_cast<T*>(d_x.data_ptr());
  each_chunk(shape, [&](int64_t image, int64_t chunk, int64_t first) {
    const int64_t channel = image * shape.channels;
    const ddpo::Gradient coefficient{slope.data() + channel, by_normalised.data() + channel,
                                     constant.data() + channel};
    loop.backward(x + first, dy + first, dx + first, shape.rows_of(chunk), shape.channels,
                  affine(image), coefficient);
  });
  const auto tensor = [&](const std::vector<double>& source) {
    Tensor target = at::empty({shape.channels}, at::kFloat);
    std::copy(source.begin(), source.end(), target.data_ptr<float>());
    return target;
  };
  return {d_x, d_shift, tensor(d_weight), tensor(d_bias)};
}

// Calls body with the type of the loops: float, or the bits of a bfloat16.
template <class Body>
auto dispatch(const Tensor& x, Body body) {
  return x.scalar_type() == at::kFloat ? body(float{}) : body(uint16_t{});
}

// On the CPU `shift` always has a value.
struct GroupNormSilu : torch::autograd::Function<GroupNormSilu> {
  static Tensor forward(AutogradContext* context, const Tensor& x, const std::optional<Tensor>& shift_,
                        const Tensor& weight, const Tensor& bias, int64_t groups, double eps) {
    context->saved_data["groups"] = groups;
    context->saved_data["eps"] = eps;
    const Tensor shift = shift_.value_or(Tensor());
    if (x.is_cuda()) {
      const Tensor images = x.contiguous(at::MemoryFormat::ChannelsLast);
      const auto result = ddpo::cuda_forward(images, shift, weight, bias, groups, eps);
      context->save_for_backward({images, shift, weight, bias, result.normalisation});
      return result.y;
    }
    const Inputs in(x, shift, weight, bias, groups, eps);
    return dispatch(x, [&](auto kind) {
      using T = decltype(kind);
      const Tensor statistics = ::statistics<T>(in);
      context->save_for_backward({in.x, shift, weight, bias, statistics});
      return ::forward<T>(in, statistics);
    });
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    TORCH_CHECK(!at::GradMode::is_enabled(), "group_norm_silu has no second derivative");
    const auto saved = context->get_saved_variables();
    const Tensor &x = saved[0], &shift = saved[1], &weight = saved[2], &bias = saved[3];
    const int64_t groups = context->saved_data["groups"].toInt();
    const Tensor dy = gradients[0].to(x.scalar_type());
    if (x.is_cuda()) {
      const auto d = ddpo::cuda_backward(x, shift, weight, bias, saved[4], groups, dy);
      return {d.x, d.shift, d.weight, d.bias, Tensor(), Tensor()};
    }
    const Inputs in(x, shift, weight, bias, groups, context->saved_data["eps"].toDouble());
    auto result = dispatch(x, [&](auto kind) { return ::backward<decltype(kind)>(in, saved[4], dy); });
    result[1] = result[1].to(shift.scalar_type());
    result[2] = result[2].to(weight.scalar_type());
    result[3] = result[3].to(bias.scalar_type());
    result.resize(6);
    return result;
  }
};

void check(const Tensor& x, const std::optional<Tensor>& shift, const Tensor& weight, const Tensor& bias,
           int64_t groups) {
  const auto kind = x.scalar_type();
  TORCH_CHECK(x.dim() == 4 && x.numel() > 0, "group_norm_silu: expected x [B, C, H, W], not empty, found ",
              x.sizes());
  TORCH_CHECK(kind == at::kFloat || kind == at::kBFloat16,
              "group_norm_silu: expected x in float32 or bfloat16, found ", kind);
  const int64_t channels = x.size(1);
  TORCH_CHECK(groups > 0 && channels % groups == 0, "group_norm_silu: ", groups,
              " groups do not divide ", channels, " channels");
  for (const Tensor* each : {&weight, &bias}) {
    TORCH_CHECK(each->dim() == 1 && each->size(0) == channels,
                "group_norm_silu: expected weight and bias [", channels, "], found ", each->sizes());
  }
  if (shift) {
    TORCH_CHECK(shift->dim() == 2 && shift->size(0) == x.size(0) && shift->size(1) == channels,
                "group_norm_silu: expected shift [", x.size(0), ", ", channels, "], found ", shift->sizes());
  }
  const auto device = x.device();
  TORCH_CHECK(device.is_cpu() || device.is_cuda(), "group_norm_silu: expected x on the CPU or a CUDA device, found ",
              device);
  for (const Tensor* each : {shift ? &*shift : &x, &weight, &bias}) {
    TORCH_CHECK(each->device() == device, "group_norm_silu: expected all tensors on ", device, ", found one on ",
                each->device());
  }
}

}  // namespace

extern "C" {

// Writes a new tensor to `out` and returns null, or returns a message that ddpo_free_message frees.
// `shift` may be null. Nothing is thrown.
char* ddpo_group_norm_silu(const Tensor* x, const Tensor* shift, const Tensor* weight,
                           const Tensor* bias, int64_t groups, double eps, Tensor** out) noexcept {
  try {
    std::optional<Tensor> added;
    if (shift) added = *shift;
    check(*x, added, *weight, *bias, groups);
    if (!added && x->is_cpu()) added = at::zeros({x->size(0), x->size(1)}, at::kFloat);
    *out = new Tensor(GroupNormSilu::apply(*x, added, *weight, *bias, groups, eps));
    return nullptr;
  } catch (const std::exception& error) {
    return strdup(error.what());
  } catch (...) {
    return strdup("group_norm_silu: unknown exception");
  }
}

void ddpo_free_message(char* message) noexcept { std::free(message); }
}
