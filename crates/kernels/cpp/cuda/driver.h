// Loads compiled kernels with the CUDA driver and launches them. Needs no CUDA headers: libcuda is opened
// when the first module is loaded.

#pragma once

#include <cstddef>
#include <string>

#include "launches.h"

namespace ddpo {

// The element types for which modules are compiled; src/cuda_norm/element.rs has the same order.
enum class ImageType { FLOAT, BFLOAT16 };
constexpr int IMAGE_TYPES = 2;

// The compute capability of a device, such as {9, 0}. Opens the driver.
struct Capability {
  int major, minor;
};
Capability capability_of(int device);

// The kernels of group_norm_silu.cu for one device and image type. Never unloaded.
class NormModule {
 public:
  // Loads a cubin or PTX `image` into the device's primary context, which libtorch uses too.
  // A second load for the same device and type does nothing.
  static void load(int device, ImageType type, const void* image);

  // Returns the loaded module, or null before load().
  static const NormModule* find(int device, ImageType type);

 private:
  friend class Launcher;
  void* context_ = nullptr;
  void* functions_[KERNELS] = {};
};

// Makes the module's context current, and launches kernels on `stream`, a CUstream of its device.
class Launcher {
 public:
  Launcher(const NormModule& module, void* stream);
  ~Launcher();
  Launcher(const Launcher&) = delete;
  Launcher& operator=(const Launcher&) = delete;

  template <class Arguments>
  void launch(Kernel kernel, const Grid& grid, const Arguments& arguments) {
    launch(kernel, grid, static_cast<const void*>(&arguments));
  }

 private:
  void launch(Kernel kernel, const Grid& grid, const void* arguments);

  const NormModule& module_;
  void* stream_;
};

}  // namespace ddpo
