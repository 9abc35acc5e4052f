#include "operator.h"

#include <dlfcn.h>

#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <c10/core/Stream.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>

#include <cstdint>
#include <cstring>
#include <initializer_list>

#include "driver.h"
#include "launches.h"

namespace ddpo {
namespace {

using at::Tensor;

const NormModule& module_for(const Tensor& x) {
  const ImageType type = x.scalar_type() == at::kFloat ? ImageType::FLOAT : ImageType::BFLOAT16;
  const NormModule* module = NormModule::find(x.device().index(), type);
  TORCH_CHECK(module != nullptr, "group_norm_silu: the kernels for ", x.device(), " are not loaded");
  return *module;
}

// Returns libtorch's current stream of the tensor's device, a CUstream. The registry needs no CUDA headers.
void* current_stream(const Tensor& x) {
  const auto* cuda = c10::impl::getDeviceGuardImpl(c10::DeviceType::CUDA);
  return cuda->getStreamNativeHandle(cuda->getStream(x.device()));
}

NormPlan plan_of(const Tensor& x, int64_t groups, std::initializer_list<const Tensor*> others) {
  const int64_t positions = x.size(2) * x.size(3);
  TORCH_CHECK(x.size(0) <= MOST_IMAGES && x.size(1) <= MOST_ELEMENTS / positions,
              "group_norm_silu on CUDA: expected at most ", MOST_IMAGES, " images of ", MOST_ELEMENTS,
              " elements, found ", x.sizes());
  bool can_load_vectors = true;
  for (const Tensor* each : others) {
    const auto address = reinterpret_cast<std::uintptr_t>(each->const_data_ptr());
    can_load_vectors = can_load_vectors && address % (4 * x.element_size()) == 0;
  }
  return {x.size(0), x.size(1), positions, groups, can_load_vectors};
}

// Returns the tensor contiguous and in a type that the kernels support.
Tensor readable(const Tensor& tensor) {
  const auto kind = tensor.scalar_type();
  return (kind == at::kFloat || kind == at::kBFloat16 ? tensor : tensor.to(at::kFloat)).contiguous();
}

Parameter parameter(const Tensor& tensor) {
  if (!tensor.defined()) return {nullptr, 0};
  return {tensor.const_data_ptr(), tensor.scalar_type() == at::kBFloat16};
}

ParameterGradient gradient(const Tensor& tensor) {
  if (!tensor.defined()) return {nullptr, 0};
  return {tensor.data_ptr(), tensor.scalar_type() == at::kBFloat16};
}

Tensor scratch(const Tensor& x, int64_t count, at::ScalarType kind = at::kFloat) {
  return at::empty({count}, x.options().dtype(kind));
}

}  // namespace

CudaForward cuda_forward(const Tensor& x, const Tensor& shift_, const Tensor& weight_, const Tensor& bias_,
                         int64_t groups, double eps) {
  const NormModule& module = module_for(x);
  const Tensor shift = shift_.defined() ? readable(shift_) : Tensor();
  const Tensor weight = readable(weight_), bias = readable(bias_);
  const Tensor y = at::empty_like(x, at::MemoryFormat::ChannelsLast);
  const NormPlan plan = plan_of(x, groups, {&x, &y});
  const Tensor moments = scratch(x, plan.moments());
  const Tensor normalisation = scratch(x, plan.normalisation());
  Launcher launcher(module, current_stream(x));
  launch_forward(launcher, plan,
                 NormForward{x.const_data_ptr(), parameter(shift), parameter(weight), parameter(bias),
                             static_cast<float>(eps), moments.data_ptr<float>(), normalisation.data_ptr<float>(),
                             y.data_ptr()});
  return {y, normalisation.view({x.size(0), 2, x.size(1)})};
}

CudaGradients cuda_backward(const Tensor& x, const Tensor& shift, const Tensor& weight_, const Tensor& bias_,
                            const Tensor& normalisation, int64_t groups, const Tensor& dy_) {
  const NormModule& module = module_for(x);
  const Tensor weight = readable(weight_), bias = readable(bias_);
  const Tensor dy = dy_.contiguous(at::MemoryFormat::ChannelsLast);
  const Tensor dx = at::empty_like(x, at::MemoryFormat::ChannelsLast);
  const NormPlan plan = plan_of(x, groups, {&x, &dy, &dx});
  const auto like = [](const Tensor& tensor) {
    return at::empty_like(readable(tensor), at::MemoryFormat::Contiguous);
  };
  const Tensor d_shift = shift.defined() ? like(shift) : Tensor();
  const Tensor d_weight = like(weight), d_bias = like(bias);
  const Tensor sums = scratch(x, plan.sums()), slopes = scratch(x, plan.slopes());
  const Tensor totals = scratch(x, plan.totals(), at::kDouble);
  Launcher launcher(module, current_stream(x));
  launch_backward(launcher, plan,
                  NormBackward{x.const_data_ptr(), dy.const_data_ptr(), normalisation.const_data_ptr<float>(),
                               parameter(weight), parameter(bias), sums.data_ptr<float>(), slopes.data_ptr<float>(),
                               totals.data_ptr<double>(), dx.data_ptr(), gradient(d_shift), gradient(d_weight),
                               gradient(d_bias)});
  return {dx, shift.defined() ? d_shift.to(shift.scalar_type()) : Tensor(), d_weight.to(weight_.scalar_type()),
          d_bias.to(bias_.scalar_type())};
}

}  // namespace ddpo

extern "C" {

// Returns the path of the libc10 that this process has loaded, which ddpo_free_message frees, or null.
char* ddpo_libtorch_path() noexcept {
  Dl_info info{};
  const void* symbol = &c10::impl::device_guard_impl_registry;
  return dladdr(symbol, &info) != 0 && info.dli_fname != nullptr ? strdup(info.dli_fname) : nullptr;
}
}
