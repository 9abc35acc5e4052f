// The inner loops over channels-last rows, built once for each instruction set.
//
// A row is the channels of one position. All loops run over `rows` consecutive rows and take one
// coefficient per channel. Sums are accumulated in a fixed order. This header and loops.cpp use no library,
// so that code for one instruction set cannot be linked into code for another.
#pragma once

#include <cstdint>

namespace ddpo {

// The coefficients of each channel of an image: normalised = x * scale + offset, and
// y = silu(normalised * weight + bias).
struct Affine {
  const float* scale;
  const float* offset;
  const float* weight;
  const float* bias;
};

// The gradient of x is d(y)/d(weighted) * slope + normalised * by_normalised + constant.
struct Gradient {
  const float* slope;
  const float* by_normalised;
  const float* constant;
};

// T is float, or uint16_t for the bits of a bfloat16.
template <class T>
struct Loops {
  // sums += x - pivot, squares += (x - pivot)^2.
  void (*moments)(const T* x, int64_t rows, int64_t channels, const float* pivot, float* sums,
                  float* squares);
  // y = silu(x * scale + offset).
  void (*forward)(const T* x, T* y, int64_t rows, int64_t channels, const float* scale,
                  const float* offset);
  // With g the gradient before the SiLU: by_g += g, by_product += g * normalised,
  // by_normalised += normalised.
  void (*sums)(const T* x, const T* dy, int64_t rows, int64_t channels, const Affine& affine,
               float* by_g, float* by_product, float* by_normalised);
  // The gradient of x.
  void (*backward)(const T* x, const T* dy, T* dx, int64_t rows, int64_t channels,
                   const Affine& affine, const Gradient& gradient);
  // values = the row as floats.
  void (*widen)(const T* x, int64_t channels, float* values);
};

struct Table {
  Loops<float> f32;
  Loops<uint16_t> bf16;
};

}  // namespace ddpo

extern "C" {
extern const ddpo::Table loops_default;
#if defined(__x86_64__)
extern const ddpo::Table loops_avx2;
extern const ddpo::Table loops_avx512;
#endif
}
