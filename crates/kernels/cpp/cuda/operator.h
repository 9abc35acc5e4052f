// silu(group_norm(x + shift)) of channels-last images on a GPU, on libtorch's tensors and current stream.

#pragma once

#include <ATen/core/Tensor.h>

namespace ddpo {

struct CudaForward {
  at::Tensor y;
  // f32 [B, 2, C]: scale and offset, which the gradient needs besides the inputs.
  at::Tensor normalisation;
};

// `x` is channels-last, float32 or bfloat16; `shift` may be undefined. All on one CUDA device, whose module
// is loaded.
CudaForward cuda_forward(const at::Tensor& x, const at::Tensor& shift, const at::Tensor& weight,
                         const at::Tensor& bias, int64_t groups, double eps);

// The gradients of x, shift, weight and bias, each in its input's type. The gradient of an undefined shift
// is undefined.
// `dy` has x's type.
struct CudaGradients {
  at::Tensor x, shift, weight, bias;
};
CudaGradients cuda_backward(const at::Tensor& x, const at::Tensor& shift, const at::Tensor& weight,
                            const at::Tensor& bias, const at::Tensor& normalisation, int64_t groups,
                            const at::Tensor& dy);

}  // namespace ddpo
