// Elementwise operations on lists of tensors. On a GPU libtorch's multi-tensor kernels run a list in a few
// launches; on a CPU they run tensor by tensor. No gradient is recorded.

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/_foreach_add.h>
#include <ATen/ops/_foreach_copy.h>
#include <ATen/ops/_foreach_div.h>
#include <ATen/ops/_foreach_lerp.h>
#include <ATen/ops/_foreach_mul.h>
#include <ATen/ops/_foreach_norm.h>
#include <ATen/ops/_foreach_sqrt.h>
#include <ATen/ops/_foreach_zero.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <exception>
#include <vector>

namespace {

using at::Tensor;
using Pointers = const Tensor* const*;

std::vector<Tensor> list(Pointers tensors, std::size_t count) {
  std::vector<Tensor> found;
  found.reserve(count);
  for (std::size_t index = 0; index < count; ++index) found.push_back(*tensors[index]);
  return found;
}

// Whether the elements of both lie in the same order. The stride of a side of length one has no effect.
bool same_order(const Tensor& x, const Tensor& y) {
  if (x.sizes() != y.sizes()) return false;
  for (std::int64_t side = 0; side < x.dim(); ++side) {
    if (x.size(side) != 1 && x.stride(side) != y.stride(side)) return false;
  }
  return true;
}

// Calls `operation` on the pairs of equal strides and then on the others: libtorch runs a whole list tensor by
// tensor if one pair differs.
template <typename Operation>
void on_pairs(Pointers x, Pointers y, std::size_t count, Operation operation) {
  std::array<std::vector<Tensor>, 2> left, right;
  for (std::size_t index = 0; index < count; ++index) {
    const std::size_t part = same_order(*x[index], *y[index]) ? 0 : 1;
    left[part].push_back(*x[index]);
    right[part].push_back(*y[index]);
  }
  for (std::size_t part = 0; part < 2; ++part) {
    if (!left[part].empty()) operation(left[part], right[part]);
  }
}

// Runs `operation` without gradients. Returns null, or the message of an error, made by strdup.
template <typename Operation>
char* guarded(Operation operation) noexcept {
  try {
    const at::NoGradGuard no_gradient;
    operation();
    return nullptr;
  } catch (const std::exception& error) {
    return strdup(error.what());
  } catch (...) {
    return strdup("an error without a text");
  }
}

// Writes new tensors for the caller.
void write(const std::vector<Tensor>& found, Tensor** out) {
  for (std::size_t index = 0; index < found.size(); ++index) out[index] = new Tensor(found[index]);
}

}  // namespace

// Every call takes `count` >= 1 tensors in each list, returns null or a message that ddpo_free_message frees,
// and throws nothing. `out` has room for `count` tensors and is written if and only if null comes back.
extern "C" {

// x <- x + value (0), x * value (1), x / value (2).
char* ddpo_foreach_scalar_(Pointers x, std::size_t count, std::int32_t operation, double value) noexcept {
  return guarded([&] {
    const auto tensors = list(x, count);
    if (operation == 0) at::_foreach_add_(tensors, value);
    else if (operation == 1) at::_foreach_mul_(tensors, value);
    else at::_foreach_div_(tensors, value);
  });
}

// x <- x + y.
char* ddpo_foreach_add_(Pointers x, Pointers y, std::size_t count) noexcept {
  return guarded([&] {
    on_pairs(x, y, count, [](const auto& left, const auto& right) { at::_foreach_add_(left, right); });
  });
}

// x <- y.
char* ddpo_foreach_copy_(Pointers x, Pointers y, std::size_t count) noexcept {
  return guarded([&] {
    on_pairs(x, y, count, [](const auto& left, const auto& right) { at::_foreach_copy_(left, right); });
  });
}

// x <- x + weight * (y - x).
char* ddpo_foreach_lerp_(Pointers x, Pointers y, std::size_t count, double weight) noexcept {
  return guarded([&] {
    on_pairs(x, y, count, [&](const auto& left, const auto& right) { at::_foreach_lerp_(left, right, weight); });
  });
}

// x <- 0.
char* ddpo_foreach_zero_(Pointers x, std::size_t count) noexcept {
  return guarded([&] { at::_foreach_zero_(list(x, count)); });
}

// out <- x * y.
char* ddpo_foreach_mul(Pointers x, Pointers y, std::size_t count, Tensor** out) noexcept {
  return guarded([&] { write(at::_foreach_mul(list(x, count), list(y, count)), out); });
}

// out <- x / y.
char* ddpo_foreach_div(Pointers x, Pointers y, std::size_t count, Tensor** out) noexcept {
  return guarded([&] { write(at::_foreach_div(list(x, count), list(y, count)), out); });
}

// out <- sqrt(x).
char* ddpo_foreach_sqrt(Pointers x, std::size_t count, Tensor** out) noexcept {
  return guarded([&] { write(at::_foreach_sqrt(list(x, count)), out); });
}

// out <- the Euclidean norm of each x, a tensor without sides.
char* ddpo_foreach_norm(Pointers x, std::size_t count, Tensor** out) noexcept {
  return guarded([&] { write(at::_foreach_norm(list(x, count), 2), out); });
}
}
