// Computes x * weight^T + bias with oneDNN; libtorch uses another library for f32 matrix products.

#include <ATen/core/Tensor.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/linear.h>

#include <cstring>
#include <exception>
#include <optional>

namespace {

using at::Tensor;
using Product = Tensor(const Tensor&, const Tensor&, const std::optional<Tensor>&, c10::string_view,
                       c10::List<std::optional<at::Scalar>>, std::optional<c10::string_view>);

// The operator that libtorch provides for its compiler; missing in builds without oneDNN.
const std::optional<c10::TypedOperatorHandle<Product>>& product() {
  static const auto found = []() -> std::optional<c10::TypedOperatorHandle<Product>> {
    const auto handle = c10::Dispatcher::singleton().findSchema({"mkldnn::_linear_pointwise", ""});
    if (!handle.has_value()) return std::nullopt;
    return handle->typed<Product>();
  }();
  return found;
}

// Returns whether oneDNN can compute the product. libtorch handles all other inputs and reports errors,
// because oneDNN does not check shapes.
bool suits(const Tensor& x, const Tensor& weight, const std::optional<Tensor>& bias) {
  const auto plain = [](const Tensor& each) {
    return each.device().is_cpu() && each.scalar_type() == at::kFloat && each.is_contiguous();
  };
  const bool constant = !bias || (plain(*bias) && bias->dim() == 1 && bias->size(0) == weight.size(0));
  return constant && !at::GradMode::is_enabled() && plain(x) && plain(weight) && x.dim() >= 2 &&
         weight.dim() == 2 && weight.numel() > 0 && x.numel() > 0 && x.size(-1) == weight.size(1) && product().has_value();
}

}  // namespace

extern "C" {

// Writes a new tensor to `out` and returns null, or returns a message that ddpo_free_message frees.
// `bias` may be null. Nothing is thrown.
char* ddpo_linear(const Tensor* x, const Tensor* weight, const Tensor* bias, Tensor** out) noexcept {
  try {
    const std::optional<Tensor> constant = bias ? std::optional<Tensor>(*bias) : std::nullopt;
    const Tensor rows = x->device().is_cpu() ? x->contiguous() : *x;
    *out = new Tensor(suits(rows, *weight, constant)
                          ? product()->call(rows, *weight, constant, "none",
                                                c10::List<std::optional<at::Scalar>>(), std::nullopt)
                          : at::linear(*x, *weight, constant));
    return nullptr;
  } catch (const std::exception& error) {
    return strdup(error.what());
  } catch (...) {
    return strdup("linear: unknown exception");
  }
}
}
