// Tests the complete CUDA operator without a GPU: tensors of the device "cuda:1" are in host memory,
// driver_stub.cpp launches, emulator.h runs the kernels. Compares with the same operator on the CPU.
//
// DDPO_ELEMENT is the type of images. Linked with the objects of cpp/ that cargo has built.

#include "module.h"

#include "driver.h"

#include <ATen/ATen.h>
#include <ATen/EmptyTensor.h>
#include <ATen/ops/as_strided_native.h>
#include <ATen/ops/view_native.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/variable.h>
#include <torch/library.h>

#include <optional>
#include <string>

using at::Tensor;

extern "C" {
char* ddpo_group_norm_silu(const Tensor* x, const Tensor* shift, const Tensor* weight, const Tensor* bias,
                           int64_t groups, double eps, Tensor** out) noexcept;
char* ddpo_cuda_norm_load(int device, int type, const void* image) noexcept;
}

namespace {

const c10::Device DEVICE(c10::DeviceType::CUDA, 1);
constexpr at::ScalarType KIND = sizeof(Element) == 2 ? at::kBFloat16 : at::kFloat;

// Returns a valid stream only for the tensor's device, to check that the operator requests that one.
struct Guard final : c10::impl::DeviceGuardImplInterface {
  c10::DeviceType type() const override { return c10::DeviceType::CUDA; }
  c10::Device exchangeDevice(c10::Device) const override { return getDevice(); }
  c10::Device getDevice() const override { return {c10::DeviceType::CUDA, 0}; }
  void setDevice(c10::Device) const override {}
  void uncheckedSetDevice(c10::Device) const noexcept override {}
  c10::Stream getStream(c10::Device device) const noexcept override {
    return c10::Stream(c10::Stream::UNSAFE, device, device.index() == 1 ? 7 : 0);
  }
  c10::Stream exchangeStream(c10::Stream stream) const noexcept override { return stream; }
  void* getStreamNativeHandle(const c10::Stream stream) const override {
    return stream.id() == 7 ? emulated_stream() : nullptr;
  }
  c10::DeviceIndex deviceCount() const noexcept override { return 2; }
};

C10_REGISTER_GUARD_IMPL(CUDA, Guard)

// Host memory under the device's name, filled with one bits, which are NaN in every type.
struct Memory final : c10::Allocator {
  c10::DataPtr allocate(std::size_t bytes) override {
    void* data = std::aligned_alloc(64, (bytes + 64) / 64 * 64);
    std::memset(data, 0xff, bytes);
    return {data, data, &std::free, DEVICE};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &std::free; }
  void copy_data(void* target, const void* source, std::size_t count) const override {
    std::memcpy(target, source, count);
  }
};

Memory memory;
const c10::DispatchKeySet KEYS(c10::DispatchKey::CUDA);

Tensor empty(at::IntArrayRef size, std::optional<at::ScalarType> kind, std::optional<at::Layout>,
             std::optional<at::Device>, std::optional<bool>, std::optional<at::MemoryFormat> format) {
  return at::detail::empty_generic(size, &memory, KEYS, kind.value_or(at::kFloat), format);
}

Tensor empty_strided(at::IntArrayRef size, at::IntArrayRef stride, std::optional<at::ScalarType> kind,
                     std::optional<at::Layout>, std::optional<at::Device>, std::optional<bool>) {
  return at::detail::empty_strided_generic(size, stride, &memory, KEYS, kind.value_or(at::kFloat));
}

// A view of a tensor's memory as a CPU tensor.
Tensor host(const Tensor& tensor) {
  return at::from_blob(tensor.data_ptr(), tensor.sizes(), tensor.strides(),
                       at::TensorOptions().dtype(tensor.scalar_type()));
}

Tensor& copy(Tensor& self, const Tensor& source, bool) {
  Tensor target = host(self);
  target.copy_(host(source));
  return self;
}

TORCH_LIBRARY_IMPL(aten, CUDA, library) {
  library.impl("empty.memory_format", TORCH_FN(empty));
  library.impl("empty_strided", TORCH_FN(empty_strided));
  library.impl("copy_", TORCH_FN(copy));
  library.impl("view", TORCH_FN(at::native::view));
  library.impl("as_strided", TORCH_FN(at::native::as_strided_tensorimpl));
}

Tensor to_device(const Tensor& tensor) {
  Tensor result = at::empty_strided(tensor.sizes(), tensor.strides(), tensor.options().device(DEVICE));
  host(result).copy_(tensor);
  return result;
}

bool has_failed = false;

void fail(const std::string& what) {
  std::printf("FAILED %s\n", what.c_str());
  has_failed = true;
}

struct Inputs {
  Tensor x;
  std::optional<Tensor> shift;
  Tensor weight, bias, dy;
};

Tensor wave(at::IntArrayRef shape, double frequency, double mean, at::ScalarType kind) {
  const Tensor angle = at::arange(c10::multiply_integers(shape), at::kDouble) * frequency;
  return (at::sin(angle) + 1.5 * at::cos(0.37 * angle) + mean).reshape(shape).to(kind);
}

std::string error_of(const Inputs& in, int64_t groups) {
  Tensor* out = nullptr;
  char* message =
      ddpo_group_norm_silu(&in.x, in.shift ? &*in.shift : nullptr, &in.weight, &in.bias, groups, 1e-6, &out);
  const std::string text = message != nullptr ? message : "";
  std::free(message);
  delete out;
  return text;
}

// Returns the output and the gradients of all inputs, in the operator's order.
std::vector<Tensor> run(const std::string& name, const Inputs& in, int64_t groups) {
  const auto leaf = [](const Tensor& tensor) { return tensor.detach().set_requires_grad(true); };
  const Tensor x = leaf(in.x), weight = leaf(in.weight), bias = leaf(in.bias);
  const Tensor shift = in.shift ? leaf(*in.shift) : Tensor();
  Tensor* out = nullptr;
  char* message = ddpo_group_norm_silu(&x, in.shift ? &shift : nullptr, &weight, &bias, groups, 1e-6, &out);
  if (message != nullptr) {
    fail(name + ": " + message);
    std::exit(1);
  }
  std::vector<Tensor> results{out->detach()};
  const at::AutoGradMode no_gradient(false);
  for (const Tensor& gradient : (*out->grad_fn())({in.dy})) results.push_back(gradient);
  delete out;
  return results;
}

// `in` are CPU tensors. Without a shift, the CPU operator still returns a gradient for it, because it adds
// zeros; the GPU operator does not.
void compare(const std::string& name, const Inputs& in, int64_t groups) {
  const Inputs on_device{to_device(in.x), in.shift ? std::optional(to_device(*in.shift)) : std::nullopt,
                         to_device(in.weight), to_device(in.bias), to_device(in.dy)};
  std::vector<Tensor> expected = run(name, in, groups), found = run(name, on_device, groups);
  if (!in.shift) expected.erase(expected.begin() + 2);
  std::printf("%-34s", name.c_str());
  if (found.size() != expected.size()) fail(name + ": the number of gradients");
  for (std::size_t i = 0; i < std::min(found.size(), expected.size()); ++i) {
    const Tensor &ours = found[i], &theirs = expected[i];
    if (ours.device() != DEVICE || ours.scalar_type() != theirs.scalar_type() || ours.sizes() != theirs.sizes()) {
      fail(name + ": device, type or shape of result " + std::to_string(i));
      continue;
    }
    if (ours.dim() == 4 && !ours.is_contiguous(at::MemoryFormat::ChannelsLast)) fail(name + ": strides");
    const Tensor right = theirs.to(at::kDouble), left = host(ours).to(at::kDouble);
    const double scale = std::max(1.0, right.abs().max().item<double>());
    const double gap = (left - right).abs().max().item<double>() / scale;
    // Two results rounded to 8 binary digits can differ by one unit, 2^-7 of the value.
    const double tolerance = theirs.scalar_type() == at::kBFloat16 ? 1.0 / 128.0 : 1e-5;
    if (!(gap <= tolerance)) fail(name + ": result " + std::to_string(i));
    std::printf("  %.1e", gap);
  }
  std::printf("\n");
}

}  // namespace

int main() {
  const auto last = [](const Tensor& tensor) { return tensor.contiguous(at::MemoryFormat::ChannelsLast); };
  const auto inputs = [&](at::IntArrayRef shape) {
    const std::int64_t batch = shape[0], channels = shape[1];
    return Inputs{last(wave(shape, 0.7713, 0.8, KIND)), wave({batch, channels}, 1.31, 0.1, KIND),
                  wave({channels}, 2.17, 1.0, KIND), wave({channels}, 0.91, -0.2, KIND),
                  last(wave(shape, 1.113, 0.05, KIND))};
  };
  const Inputs usual = inputs({2, 32, 5, 7});
  const Inputs on_device{to_device(usual.x), std::nullopt, to_device(usual.weight), to_device(usual.bias), {}};
  const std::string absent = error_of(on_device, 8);
  if (absent.find("the kernels for cuda:1 are not loaded") == std::string::npos) fail("not loaded: " + absent);
  if (ddpo_cuda_norm_load(1, KIND == at::kFloat ? 0 : 1, "image") != nullptr) fail("load");

  compare("usual", usual, 8);
  Inputs changed = usual;
  changed.shift = std::nullopt;
  compare("no shift", changed, 8);
  changed = usual;
  changed.x = usual.x.contiguous();
  changed.dy = usual.dy.contiguous();
  compare("channels first", changed, 8);
  compare("odd channels", inputs({3, 7, 3, 5}), 7);
  compare("one position", inputs({2, 64, 1, 1}), 4);
  changed = usual;
  changed.shift = usual.shift->to(at::kFloat);
  changed.weight = usual.weight.to(at::kDouble);
  changed.bias = usual.bias.to(at::kFloat);
  compare("parameters of three types", changed, 8);
  changed = usual;
  changed.shift = wave({2, 64}, 1.31, 0.1, KIND).narrow(1, 16, 32);
  compare("shift in a larger tensor", changed, 8);

  changed = on_device;
  changed.bias = usual.bias;
  const std::string mixed = error_of(changed, 8);
  if (mixed.find("expected all tensors on cuda:1, found one on cpu") == std::string::npos) fail("mixed: " + mixed);
  std::printf("done\n");
  return has_failed ? 1 : 0;
}
