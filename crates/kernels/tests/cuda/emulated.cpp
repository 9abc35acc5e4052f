// Runs cpp/cuda/group_norm_silu.cu on a CPU with emulator.h and compares with a reference in double
// precision. Launches go through cpp/cuda/driver.cpp to driver_stub.cpp, which replaces libcuda.so.1.
//
// DDPO_ELEMENT is float or bfloat16. Prints the errors of each case and the largest error. Exits with 1 if
// an error exceeds its tolerance, or if bits depend on the order of the threads or on the rest of the batch.
// Every tensor lies between two inaccessible pages.

#include "module.h"

#include "driver.h"
#include "launches.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <exception>
#include <memory>
#include <string>

namespace {

constexpr bool IS_BFLOAT16 = sizeof(Element) == 2;
constexpr double EPS = 1e-6;

// Relative to the largest value of a tensor, or to 1 if that is larger.
constexpr double F32_TOLERANCE = 1e-5;
// Half a unit in the last of bfloat16's 8 binary digits, relative to each value.
constexpr double BF16_ROUNDING = 1.0 / 256.0;
constexpr double DIFFERENCE_TOLERANCE = 1e-5;

// Maximum of elements of a case that also runs with other orders of threads; larger cases take too long.
constexpr std::int64_t MOST_ORDERED = 200'000;

bool has_failed = false;

void fail(const std::string& what) {
  std::printf("FAILED %s\n", what.c_str());
  has_failed = true;
}

// Memory between two inaccessible pages; it ends at the second page.
class Guarded {
 public:
  explicit Guarded(std::size_t bytes) {
    const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    const std::size_t inside = (bytes + page - 1) / page * page;
    size_ = inside + 2 * page;
    base_ = static_cast<char*>(mmap(nullptr, size_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    if (base_ == MAP_FAILED || mprotect(base_ + page, inside, PROT_READ | PROT_WRITE) != 0) std::abort();
    std::memset(base_ + page, 0xff, inside);  // NaN in every type
    data = base_ + page + inside - bytes;
  }
  ~Guarded() { munmap(base_, size_); }
  Guarded(const Guarded&) = delete;
  Guarded& operator=(const Guarded&) = delete;

  char* data;

 private:
  char* base_;
  std::size_t size_;
};

template <class T>
class Buffer {
 public:
  explicit Buffer(std::size_t count) : count(count), memory_(new Guarded(count * sizeof(T))) {}

  explicit Buffer(const std::vector<double>& values) : Buffer(values.size()) {
    for (std::size_t i = 0; i < count; ++i) narrow(static_cast<float>(values[i]), data()[i]);
  }

  T* data() const { return reinterpret_cast<T*>(memory_->data); }

  std::vector<double> values() const {
    std::vector<double> result(count);
    for (std::size_t i = 0; i < count; ++i) result[i] = widen(data()[i]);
    return result;
  }

  std::size_t count;

 private:
  std::unique_ptr<Guarded> memory_;
};

constexpr ImageType IMAGE_TYPE = IS_BFLOAT16 ? ImageType::BFLOAT16 : ImageType::FLOAT;

// Variations of a case's tensors.
// UNALIGNED takes the kernels that load single channels; FLOATS has parameters in float32.
enum class Variant { SHIFT, NO_SHIFT, UNALIGNED, FLOATS };

struct Case {
  std::int64_t batch, channels, height, width, groups;
  Variant variant;

  std::int64_t positions() const { return height * width; }
  std::int64_t elements() const { return batch * positions() * channels; }
  std::int64_t group_of(std::int64_t channel) const { return channel / (channels / groups); }
  bool has_shift() const { return variant != Variant::NO_SHIFT; }

  std::string name() const {
    const char* variants[] = {"", " no shift", " unaligned", " floats"};
    std::string text;
    for (const std::int64_t size : {batch, channels, height, width}) text += std::to_string(size) + " ";
    return text + "groups " + std::to_string(groups) + variants[static_cast<int>(variant)];
  }
};

// x, dy `[B, H, W, C]`, shift `[B, C]`, weight and bias `[C]`, with values that the element type represents.
struct Inputs {
  std::vector<double> x, shift, weight, bias, dy;
};

// Output and gradients; `y` is empty if only gradients were computed.
struct Outputs {
  std::vector<double> y, dx, d_shift, d_weight, d_bias;

  std::vector<const std::vector<double>*> all() const { return {&y, &dx, &d_shift, &d_weight, &d_bias}; }
};

constexpr const char* OUTPUT_NAMES[] = {"y", "dx", "dshift", "dweight", "dbias"};

std::vector<double> wave(std::int64_t count, double frequency, double mean) {
  std::vector<double> result(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < result.size(); ++i) {
    const double angle = static_cast<double>(i) * frequency;
    const double value = std::sin(angle) + 1.5 * std::cos(0.37 * angle) + mean;
    Element rounded;
    narrow(static_cast<float>(value), rounded);
    result[i] = widen(rounded);
  }
  return result;
}

Inputs inputs_of(const Case& c) {
  const std::int64_t images = c.batch * c.channels;
  return {wave(c.elements(), 0.7713, 0.8),
          c.has_shift() ? wave(images, 1.31, 0.1) : std::vector<double>(static_cast<std::size_t>(images), 0.0),
          wave(c.channels, 2.17, 1.0), wave(c.channels, 0.91, -0.2), wave(c.elements(), 1.113, 0.05)};
}

// silu(group_norm(x + shift)) by its definition, in double precision.
std::vector<double> reference_forward(const Case& c, const Inputs& in, std::vector<double>* normalised,
                                      std::vector<double>* inverses) {
  std::vector<double> mean(static_cast<std::size_t>(c.batch * c.groups), 0.0), square(mean), y(in.x.size());
  const double count = static_cast<double>(c.positions() * (c.channels / c.groups));
  const auto each = [&](auto&& body) {
    for (std::int64_t e = 0; e < c.elements(); ++e) {
      const std::int64_t channel = e % c.channels, image = e / (c.channels * c.positions());
      body(e, channel, image * c.channels + channel, image * c.groups + c.group_of(channel));
    }
  };
  each([&](auto e, auto, auto ic, auto g) { mean[g] += (in.x[e] + in.shift[ic]) / count; });
  each([&](auto e, auto, auto ic, auto g) {
    const double distance = in.x[e] + in.shift[ic] - mean[g];
    square[g] += distance * distance / count;
  });
  if (normalised) normalised->resize(in.x.size());
  each([&](auto e, auto channel, auto ic, auto g) {
    const double value = (in.x[e] + in.shift[ic] - mean[g]) / std::sqrt(square[g] + EPS);
    const double z = value * in.weight[channel] + in.bias[channel];
    y[e] = z / (1.0 + std::exp(-z));
    if (normalised) (*normalised)[e] = value;
  });
  if (inverses) {
    for (const double value : square) inverses->push_back(1.0 / std::sqrt(value + EPS));
  }
  return y;
}

Outputs reference(const Case& c, const Inputs& in) {
  std::vector<double> normalised, inverse;
  Outputs out;
  out.y = reference_forward(c, in, &normalised, &inverse);
  std::vector<double> g(in.x.size()), mean_g(inverse.size(), 0.0), mean_product(mean_g);
  out.dx.resize(in.x.size());
  out.d_shift.assign(in.shift.size(), 0.0);
  out.d_weight.assign(in.weight.size(), 0.0);
  out.d_bias = out.d_weight;
  const double count = static_cast<double>(c.positions() * (c.channels / c.groups));
  for (int pass = 0; pass < 2; ++pass) {
    for (std::int64_t e = 0; e < c.elements(); ++e) {
      const std::int64_t channel = e % c.channels, image = e / (c.channels * c.positions());
      const std::int64_t group = image * c.groups + c.group_of(channel);
      if (pass == 0) {
        const double z = normalised[e] * in.weight[channel] + in.bias[channel];
        const double sigmoid = 1.0 / (1.0 + std::exp(-z));
        g[e] = in.dy[e] * sigmoid * (1.0 + z * (1.0 - sigmoid));
        out.d_bias[channel] += g[e];
        out.d_weight[channel] += g[e] * normalised[e];
        mean_g[group] += g[e] * in.weight[channel] / count;
        mean_product[group] += g[e] * in.weight[channel] * normalised[e] / count;
      } else {
        out.dx[e] = inverse[group] *
                    (g[e] * in.weight[channel] - mean_g[group] - mean_product[group] * normalised[e]);
        out.d_shift[image * c.channels + channel] += out.dx[e];
      }
    }
  }
  return out;
}

// A parameter in the case's type, or the memory of its gradient.
struct Values {
  Values(const Case& c, const std::vector<double>& values_)
      : is_float(c.variant == Variant::FLOATS), elements(values_), floats(values_) {}

  bool is_bfloat16() const { return IS_BFLOAT16 && !is_float; }
  Parameter parameter() const { return {is_float ? (void*)floats.data() : elements.data(), is_bfloat16()}; }
  ParameterGradient gradient() const {
    return {is_float ? (void*)floats.data() : elements.data(), is_bfloat16()};
  }
  std::vector<double> values() const { return is_float ? floats.values() : elements.values(); }

  bool is_float;
  Buffer<Element> elements;
  Buffer<float> floats;
};

// Runs the kernels.
Outputs emulated(const Case& c, const Inputs& in) {
  const NormPlan plan(c.batch, c.channels, c.positions(), c.groups, c.variant != Variant::UNALIGNED);
  const Buffer<Element> x(in.x), dy(in.dy), y(in.x.size()), dx(in.x.size());
  const Values shift(c, in.shift), weight(c, in.weight), bias(c, in.bias);
  const Values d_shift(c, in.shift), d_weight(c, in.weight), d_bias(c, in.bias);
  const auto floats = [](std::int64_t count) { return Buffer<float>(static_cast<std::size_t>(count)); };
  const auto moments = floats(plan.moments()), normalisation = floats(plan.normalisation()),
             sums = floats(plan.sums()), slopes = floats(plan.slopes());
  const Buffer<double> totals(static_cast<std::size_t>(plan.totals()));
  const Parameter no_shift{nullptr, 0};
  const ParameterGradient no_d_shift{nullptr, 0};
  Launcher launcher(*NormModule::find(0, IMAGE_TYPE), emulated_stream());
  launch_forward(launcher, plan,
                 NormForward{x.data(), c.has_shift() ? shift.parameter() : no_shift,
                             weight.parameter(), bias.parameter(), static_cast<float>(EPS), moments.data(), normalisation.data(),
                             y.data()});
  launch_backward(launcher, plan,
                  NormBackward{x.data(), dy.data(), normalisation.data(), weight.parameter(), bias.parameter(),
                               sums.data(), slopes.data(), totals.data(), dx.data(),
                               c.has_shift() ? d_shift.gradient() : no_d_shift, d_weight.gradient(),
                               d_bias.gradient()});
  Outputs out{y.values(), dx.values(), d_shift.values(), d_weight.values(), d_bias.values()};
  if (!c.has_shift()) out.d_shift.clear();
  return out;
}

bool have_same_bits(const std::vector<double>& a, const std::vector<double>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(double)) == 0;
}

bool have_same_bits(const Outputs& a, const Outputs& b) {
  const auto of_a = a.all(), of_b = b.all();
  return std::equal(of_a.begin(), of_a.end(), of_b.begin(),
                    [](auto* left, auto* right) { return have_same_bits(*left, *right); });
}

double largest(const std::vector<double>& values) {
  double result = 0.0;
  for (const double value : values) result = std::max(result, std::fabs(value));
  return result;
}

// Returns the largest error, relative to the largest value if that exceeds 1. In bfloat16 also checks that
// each value is the reference rounded once.
double error_of(const std::string& name, const std::vector<double>& found, const std::vector<double>& expected) {
  const double scale = std::max(1.0, largest(expected));
  double error = 0.0, beyond = 0.0;
  for (std::size_t i = 0; i < found.size(); ++i) {
    const double distance = std::fabs(found[i] - expected[i]);
    // Not max(): it would drop a NaN.
    if (!(distance <= error)) error = distance;
    const double excess = distance - (IS_BFLOAT16 ? BF16_ROUNDING * std::fabs(expected[i]) : 0.0);
    if (!(excess <= beyond)) beyond = excess;
  }
  if (!(beyond / scale <= F32_TOLERANCE)) fail(name + ": beyond rounding by " + std::to_string(beyond / scale));
  return error / scale;
}

double worst[5] = {};

void compare(const Case& c) {
  const Inputs in = inputs_of(c);
  const Outputs expected = reference(c, in);
  emulator::order = emulator::Order::ASCENDING;
  const Outputs found = emulated(c, in);
  for (const auto order : {emulator::Order::DESCENDING, emulator::Order::INTERLEAVED}) {
    if (c.elements() > MOST_ORDERED) break;
    emulator::order = order;
    if (!have_same_bits(found, emulated(c, in))) fail(c.name() + ": the order of threads changes bits");
  }
  std::printf("%-34s", c.name().c_str());
  for (std::size_t i = 0; i < 5; ++i) {
    const double error = error_of(c.name() + " " + OUTPUT_NAMES[i], *found.all()[i], *expected.all()[i]);
    worst[i] = std::max(worst[i], error);
    std::printf("  %s %.1e", OUTPUT_NAMES[i], error);
  }
  std::printf("\n");
}

// Compares the kernels' gradients with central differences of the definition in double precision, at some
// elements of every input.
void compare_with_differences(const Case& c) {
  const Inputs in = inputs_of(c);
  const Outputs found = emulated(c, in);
  const auto loss = [&](const Inputs& at) {
    const auto y = reference_forward(c, at, nullptr, nullptr);
    double sum = 0.0;
    for (std::size_t i = 0; i < y.size(); ++i) sum += y[i] * at.dy[i];
    return sum;
  };
  const std::vector<double> Inputs::*inputs[] = {&Inputs::x, &Inputs::shift, &Inputs::weight, &Inputs::bias};
  const std::vector<double>* gradients[] = {&found.dx, &found.d_shift, &found.d_weight, &found.d_bias};
  double error = 0.0;
  for (int i = 0; i < 4; ++i) {
    const std::vector<double>& gradient = *gradients[i];
    const double scale = std::max(1.0, largest(gradient));
    for (std::size_t k = 0; k < 12; ++k) {
      const std::size_t place = k * 7919 % gradient.size();
      const double step = 1e-4;
      Inputs up = in, down = in;
      const_cast<std::vector<double>&>(up.*inputs[i])[place] += step;
      const_cast<std::vector<double>&>(down.*inputs[i])[place] -= step;
      const double expected = (loss(up) - loss(down)) / (2.0 * step);
      const double rounding = IS_BFLOAT16 ? BF16_ROUNDING * std::fabs(expected) : 0.0;
      const double beyond = (std::fabs(gradient[place] - expected) - rounding) / scale;
      if (!(beyond <= error)) error = beyond;
    }
  }
  std::printf("%-34s  differences %.1e\n", c.name().c_str(), error);
  if (!(error <= DIFFERENCE_TOLERANCE)) fail(c.name() + ": differences");
}

void check_rest_of_batch() {
  const Case batch{3, 128, 33, 31, 32, Variant::SHIFT}, single{1, 128, 33, 31, 32, Variant::SHIFT};
  const Inputs in = inputs_of(batch);
  const auto second = [](const std::vector<double>& values) {
    const auto third = static_cast<std::ptrdiff_t>(values.size() / 3);
    return std::vector<double>(values.begin() + third, values.begin() + 2 * third);
  };
  const Inputs alone{second(in.x), second(in.shift), in.weight, in.bias, second(in.dy)};
  const Outputs together = emulated(batch, in), found = emulated(single, alone);
  if (!have_same_bits(second(together.y), found.y) || !have_same_bits(second(together.dx), found.dx) ||
      !have_same_bits(second(together.d_shift), found.d_shift)) {
    fail("the rest of the batch changes bits");
  }
}

// With a mean of more than 256 deviations, the remaining precision of x is preserved.
void check_far_mean() {
  const Case c{2, 64, 17, 16, 8, Variant::SHIFT};
  Inputs near = inputs_of(c), far = near;
  for (std::size_t i = 0; i < near.x.size(); ++i) {
    near.x[i] = std::round(near.x[i] * 8.0) / 8.0;
    far.x[i] = near.x[i] + 4096.0;
  }
  const Outputs of_near = emulated(c, near), of_far = emulated(c, far);
  double error = 0.0;
  for (std::size_t i = 0; i < of_near.y.size(); ++i) {
    error = std::max(error, std::fabs(of_near.y[i] - of_far.y[i]));
  }
  error /= std::max(1.0, largest(of_near.y));
  std::printf("mean 4096: y %.1e\n", error);
  if (!(error <= 2e-3)) fail("a mean far from zero");
}

void check_nan() {
  const Case c{1, 8, 5, 5, 2, Variant::SHIFT};
  Inputs in = inputs_of(c);
  in.x[3] = std::nan("");
  const Outputs out = emulated(c, in);
  for (std::size_t i = 0; i < out.y.size(); ++i) {
    if (std::isnan(out.y[i]) != (c.group_of(static_cast<std::int64_t>(i) % 8) == 0)) {
      return fail("NaN in one group: it has to stay there, and to fill it");
    }
  }
}

// Covers NaN, infinities, ties of both parities, and numbers that round up to the next power of 2.
void check_narrow() {
  const auto bits_of = [](float value) {
    bfloat16 result;
    narrow(value, result);
    return result.bits;
  };
  const auto number = [](unsigned bits) {
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
  };
  const std::pair<unsigned, unsigned> pairs[] = {
      {0x3f808000u, 0x3f80u}, {0x3f818000u, 0x3f82u}, {0x3f808001u, 0x3f81u}, {0x3fffffffu, 0x4000u},
      {0x7f800000u, 0x7f80u}, {0xff800000u, 0xff80u}, {0x7fffffffu, 0x7fffu}, {0xff800001u, 0x7fffu},
      {0x7f7fffffu, 0x7f80u}, {0x80000000u, 0x8000u}, {0x00018000u, 0x0002u},
  };
  for (const auto& [from, to] : pairs) {
    if (bits_of(number(from)) != to) fail("rounding to bfloat16");
  }
}

template <class Call>
std::string error_text(Call call) {
  try {
    call();
  } catch (const std::exception& error) {
    return error.what();
  }
  return "";
}

// Also loads the module that the other tests use.
void check_driver() {
  const Capability capability = capability_of(0);
  if (capability.major != 9 || capability.minor != 0) fail("the compute capability");
  const std::string absent = error_text([] { capability_of(7); });
  if (absent != "cuDeviceGet: invalid device ordinal (101)") fail("an absent device: " + absent);
  const std::string damaged = error_text([] { NormModule::load(0, IMAGE_TYPE, "damaged"); });
  if (damaged != "cuModuleLoadData: refused (200)") fail("a damaged image: " + damaged);
  if (NormModule::find(0, IMAGE_TYPE) != nullptr) fail("a damaged image was loaded");
  NormModule::load(0, IMAGE_TYPE, "image");
  const NormModule* loaded = NormModule::find(0, IMAGE_TYPE);
  NormModule::load(0, IMAGE_TYPE, "a second load does nothing");
  if (loaded == nullptr || NormModule::find(0, IMAGE_TYPE) != loaded) fail("the module");
  if (NormModule::find(-1, IMAGE_TYPE) != nullptr || NormModule::find(64, IMAGE_TYPE) != nullptr) fail("a device");
  const std::string other_stream = error_text([&] {
    Launcher(*loaded, nullptr).launch(Kernel::PARAMETERS, {1, 1, 1, 256, 0}, ParametersArguments{});
  });
  if (other_stream != "norm_parameters: refused (1)") fail("another stream: " + other_stream);
}

}  // namespace

int main() {
  check_driver();
  const Case cases[] = {
      {1, 32, 8, 8, 32, Variant::SHIFT},        {2, 128, 33, 31, 32, Variant::SHIFT},
      {3, 96, 5, 7, 8, Variant::SHIFT},         {1, 7, 3, 5, 7, Variant::SHIFT},
      {2, 30, 9, 11, 3, Variant::NO_SHIFT},     {3, 64, 1, 1, 4, Variant::SHIFT},
      {1, 5, 130, 127, 1, Variant::SHIFT},      {2, 384, 16, 16, 32, Variant::SHIFT},
      {1, 32, 13, 11, 1, Variant::NO_SHIFT},    {2, 256, 19, 17, 8, Variant::NO_SHIFT},
      {1, 1280, 3, 5, 32, Variant::SHIFT},      {1, 2056, 3, 3, 8, Variant::SHIFT},
      {2, 600, 7, 3, 1, Variant::SHIFT},        {1, 301, 11, 3, 1, Variant::SHIFT},
      {1, 32, 257, 129, 8, Variant::SHIFT},     {3, 32, 7, 9, 8, Variant::UNALIGNED},
      {2, 64, 15, 13, 1, Variant::UNALIGNED},   {2, 64, 9, 7, 8, Variant::FLOATS},
      {1, 1, 3, 3, 1, Variant::SHIFT},
  };
  for (const Case& c : cases) compare(c);
  emulator::order = emulator::Order::ASCENDING;
  for (const Case& c : {Case{2, 32, 5, 7, 8, Variant::SHIFT}, Case{1, 12, 9, 5, 1, Variant::SHIFT},
                        Case{3, 32, 3, 3, 32, Variant::SHIFT}}) {
    compare_with_differences(c);
  }
  check_rest_of_batch();
  if (!IS_BFLOAT16) check_far_mean();
  check_nan();
  check_narrow();
  std::printf("largest errors:");
  for (std::size_t i = 0; i < 5; ++i) std::printf(" %s %.2e", OUTPUT_NAMES[i], worst[i]);
  std::printf("\n");
  return has_failed ? 1 : 0;
}
