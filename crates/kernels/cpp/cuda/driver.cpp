#include "driver.h"

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <memory>
#include <mutex>

#include "libraries.h"

namespace ddpo {
namespace {

// From the driver's documentation: CUresult is an enum whose zero is success; CUdevice is an int; handles
// are pointers. cuda.h maps some plain names to names with _v2.
constexpr int COMPUTE_CAPABILITY_MAJOR = 75, COMPUTE_CAPABILITY_MINOR = 76;

struct Driver {
  int (*init)(unsigned flags);
  int (*get_error_string)(int error, const char** text);
  int (*device_get)(int* device, int ordinal);
  int (*device_get_attribute)(int* value, int attribute, int device);
  int (*primary_context_retain)(void** context, int device);
  int (*context_push)(void* context);
  int (*context_pop)(void** context);
  int (*module_load_data)(void** module, const void* image);
  int (*module_get_function)(void** function, void* module, const char* name);
  int (*launch_kernel)(void* function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x,
                       unsigned block_y, unsigned block_z, unsigned shared_bytes, void* stream,
                       void** arguments, void** extra);

  Driver() {
    void* library = open_library("libcuda.so.1");
    find_function(library, "cuInit", init);
    find_function(library, "cuGetErrorString", get_error_string);
    find_function(library, "cuDeviceGet", device_get);
    find_function(library, "cuDeviceGetAttribute", device_get_attribute);
    find_function(library, "cuDevicePrimaryCtxRetain", primary_context_retain);
    find_function(library, "cuCtxPushCurrent_v2", context_push);
    find_function(library, "cuCtxPopCurrent_v2", context_pop);
    find_function(library, "cuModuleLoadData", module_load_data);
    find_function(library, "cuModuleGetFunction", module_get_function);
    find_function(library, "cuLaunchKernel", launch_kernel);
    check(init(0), "cuInit");
  }

  void check(int error, const char* call) const {
    if (error == 0) return;
    const char* text = nullptr;
    if (get_error_string(error, &text) != 0 || text == nullptr) text = "unknown error";
    throw std::runtime_error(std::string(call) + ": " + text + " (" + std::to_string(error) + ")");
  }
};

const Driver& driver() {
  static const Driver opened;
  return opened;
}

// Makes a context current in this thread for the lifetime of the object.
class Current {
 public:
  explicit Current(void* context) { driver().check(driver().context_push(context), "cuCtxPushCurrent"); }
  ~Current() {
    void* context = nullptr;
    driver().context_pop(&context);
  }
  Current(const Current&) = delete;
  Current& operator=(const Current&) = delete;
};

constexpr int MOST_DEVICES = 64;
std::atomic<const NormModule*> modules[MOST_DEVICES][IMAGE_TYPES];

std::atomic<const NormModule*>* slot(int device, ImageType type) {
  const bool is_known = device >= 0 && device < MOST_DEVICES;
  return is_known ? &modules[device][static_cast<int>(type)] : nullptr;
}

int device_of(int ordinal) {
  int device = 0;
  driver().check(driver().device_get(&device, ordinal), "cuDeviceGet");
  return device;
}

}  // namespace

Capability capability_of(int ordinal) {
  const Driver& cuda = driver();
  const int device = device_of(ordinal);
  Capability result{};
  cuda.check(cuda.device_get_attribute(&result.major, COMPUTE_CAPABILITY_MAJOR, device), "cuDeviceGetAttribute");
  cuda.check(cuda.device_get_attribute(&result.minor, COMPUTE_CAPABILITY_MINOR, device), "cuDeviceGetAttribute");
  return result;
}

void NormModule::load(int ordinal, ImageType type, const void* image) {
  static std::mutex loading;
  const std::lock_guard<std::mutex> lock(loading);
  const Driver& cuda = driver();
  auto* place = slot(ordinal, type);
  if (place == nullptr) throw std::runtime_error("a device beyond the first " + std::to_string(MOST_DEVICES));
  if (place->load() != nullptr) return;
  auto loaded = std::make_unique<NormModule>();
  cuda.check(cuda.primary_context_retain(&loaded->context_, device_of(ordinal)), "cuDevicePrimaryCtxRetain");
  const Current current(loaded->context_);
  void* module = nullptr;
  cuda.check(cuda.module_load_data(&module, image), "cuModuleLoadData");
  for (std::size_t i = 0; i < KERNELS; ++i) {
    cuda.check(cuda.module_get_function(&loaded->functions_[i], module, KERNEL_NAMES[i]), "cuModuleGetFunction");
  }
  place->store(loaded.release());
}

const NormModule* NormModule::find(int device, ImageType type) {
  auto* place = slot(device, type);
  return place != nullptr ? place->load() : nullptr;
}

Launcher::Launcher(const NormModule& module, void* stream) : module_(module), stream_(stream) {
  driver().check(driver().context_push(module.context_), "cuCtxPushCurrent");
}

Launcher::~Launcher() {
  void* context = nullptr;
  driver().context_pop(&context);
}

void Launcher::launch(Kernel kernel, const Grid& grid, const void* arguments) {
  void* list[] = {const_cast<void*>(arguments)};
  driver().check(driver().launch_kernel(module_.functions_[static_cast<std::size_t>(kernel)], grid.x, grid.y, grid.z,
                                        grid.threads, 1, 1, grid.shared_bytes, stream_, list, nullptr),
                 KERNEL_NAMES[static_cast<std::size_t>(kernel)]);
}

}  // namespace ddpo

extern "C" {

// Writes the compute capability of a device and returns null, or returns a message that ddpo_free_message
// frees. Nothing is thrown.
char* ddpo_cuda_capability(int device, int* major, int* minor) noexcept {
  try {
    const auto capability = ddpo::capability_of(device);
    *major = capability.major;
    *minor = capability.minor;
    return nullptr;
  } catch (const std::exception& error) {
    return strdup(error.what());
  }
}

// Loads a cubin, or PTX that ends in a zero byte, for images of `type` (0 is float, 1 bfloat16) on `device`.
// Returns null, or a message that ddpo_free_message frees. Nothing is thrown.
char* ddpo_cuda_norm_load(int device, int type, const void* image) noexcept {
  try {
    ddpo::NormModule::load(device, type == 0 ? ddpo::ImageType::FLOAT : ddpo::ImageType::BFLOAT16, image);
    return nullptr;
  } catch (const std::exception& error) {
    return strdup(error.what());
  }
}
}
