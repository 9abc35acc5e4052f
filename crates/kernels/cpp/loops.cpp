#include "loops.h"

namespace {

inline float read(float x) { return x; }

inline float read(uint16_t bits) {
  const uint32_t wide = static_cast<uint32_t>(bits) << 16;
  float value;
  __builtin_memcpy(&value, &wide, sizeof value);
  return value;
}

inline void write(float* target, float value) { *target = value; }

// Rounds to the nearest, halves to even; NaN stays NaN.
inline void write(uint16_t* target, float value) {
  uint32_t bits;
  __builtin_memcpy(&bits, &value, sizeof bits);
  const uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  *target = static_cast<uint16_t>((bits & 0x7fffffffu) > 0x7f800000u ? 0x7fc0u : rounded);
}

// 1 / (1 + exp(-x)), within 2e-7 of it relatively for |x| < 87 and there clamped.
//
// exp(t) = 2^n exp(r) with n = round(t / ln 2): adding 1.5 * 2^23 leaves n in the low bits of the
// sum. The polynomial is that of Cephes' expf.
inline float sigmoid(float x) {
  float t = -x;
  t = t < -87.0f ? -87.0f : t;
  t = t > 87.0f ? 87.0f : t;
  const float shifted = t * 1.44269504088896341f + 12582912.0f;
  const float n = shifted - 12582912.0f;
  const float r = t - n * 0.693359375f + n * 2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  uint32_t power;
  __builtin_memcpy(&power, &shifted, sizeof power);
  power = (power << 23) + 0x3f800000u;
  float scale;
  __builtin_memcpy(&scale, &power, sizeof scale);
  return 1.0f / (1.0f + p * scale);
}

// Processes four rows at a time, so that sums are read and written a quarter as often.
template <class T>
void moments(const T* x, int64_t rows, int64_t channels, const float* __restrict pivot,
             float* __restrict sums, float* __restrict squares) {
  int64_t row = 0;
  for (; row + 4 <= rows; row += 4, x += 4 * channels) {
    const T* __restrict a = x;
    const T* __restrict b = x + channels;
    const T* __restrict c = x + 2 * channels;
    const T* __restrict d = x + 3 * channels;
    for (int64_t i = 0; i < channels; ++i) {
      const float p = read(a[i]) - pivot[i], q = read(b[i]) - pivot[i];
      const float r = read(c[i]) - pivot[i], s = read(d[i]) - pivot[i];
      sums[i] += (p + q) + (r + s);
      squares[i] += (p * p + q * q) + (r * r + s * s);
    }
  }
  for (; row < rows; ++row, x += channels) {
    for (int64_t i = 0; i < channels; ++i) {
      const float p = read(x[i]) - pivot[i];
      sums[i] += p;
      squares[i] += p * p;
    }
  }
}

template <class T>
void forward(const T* x_rows, T* y_rows, int64_t rows, int64_t channels,
             const float* __restrict scale, const float* __restrict offset) {
  for (int64_t row = 0; row < rows; ++row) {
    const T* __restrict x = x_rows + row * channels;
    T* __restrict y = y_rows + row * channels;
    for (int64_t i = 0; i < channels; ++i) {
      const float v = read(x[i]) * scale[i] + offset[i];
      write(y + i, v * sigmoid(v));
    }
  }
}

// The gradient before the SiLU: y = v s(v) has the slope s (1 + v (1 - s)).
inline float before_silu(float v, float dy) {
  const float s = sigmoid(v);
  return dy * (s * (1.0f + v * (1.0f - s)));
}

template <class T>
void sums(const T* x_rows, const T* dy_rows, int64_t rows, int64_t channels, const ddpo::Affine& affine,
          float* __restrict by_g, float* __restrict by_product, float* __restrict by_normalised) {
  const float* __restrict scale = affine.scale;
  const float* __restrict offset = affine.offset;
  const float* __restrict weight = affine.weight;
  const float* __restrict bias = affine.bias;
  for (int64_t row = 0; row < rows; ++row) {
    const T* __restrict x = x_rows + row * channels;
    const T* __restrict dy = dy_rows + row * channels;
    for (int64_t i = 0; i < channels; ++i) {
      const float normalised = read(x[i]) * scale[i] + offset[i];
      const float g = before_silu(normalised * weight[i] + bias[i], read(dy[i]));
      by_g[i] += g;
      by_product[i] += g * normalised;
      by_normalised[i] += normalised;
    }
  }
}

template <class T>
void backward(const T* x_rows, const T* dy_rows, T* dx_rows, int64_t rows, int64_t channels,
              const ddpo::Affine& affine, const ddpo::Gradient& gradient) {
  const float* __restrict scale = affine.scale;
  const float* __restrict offset = affine.offset;
  const float* __restrict weight = affine.weight;
  const float* __restrict bias = affine.bias;
  const float* __restrict slope = gradient.slope;
  const float* __restrict by_normalised = gradient.by_normalised;
  const float* __restrict constant = gradient.constant;
  for (int64_t row = 0; row < rows; ++row) {
    const T* __restrict x = x_rows + row * channels;
    const T* __restrict dy = dy_rows + row * channels;
    T* __restrict dx = dx_rows + row * channels;
    for (int64_t i = 0; i < channels; ++i) {
      const float normalised = read(x[i]) * scale[i] + offset[i];
      const float g = before_silu(normalised * weight[i] + bias[i], read(dy[i]));
      write(dx + i, g * slope[i] + (normalised * by_normalised[i] + constant[i]));
    }
  }
}

template <class T>
void widen(const T* __restrict x, int64_t channels, float* __restrict values) {
  for (int64_t i = 0; i < channels; ++i) values[i] = read(x[i]);
}

template <class T>
constexpr ddpo::Loops<T> loops() {
  return {moments<T>, forward<T>, sums<T>, backward<T>, widen<T>};
}

}  // namespace

// DDPO_LOOPS is the name of this build: loops_default, loops_avx2 or loops_avx512.
extern "C" {
const ddpo::Table DDPO_LOOPS = {loops<float>(), loops<uint16_t>()};
}
