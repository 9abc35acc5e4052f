// Loads libtorch's CUDA libraries by name, and sets and reads the switches that affect the bits of results.

#include <ATen/Context.h>
#include <ATen/detail/CUDAHooksInterface.h>

#include <dlfcn.h>
#include <limits.h>
#include <torch/version.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <string>

namespace {

constexpr const char* WORKSPACE = "CUBLAS_WORKSPACE_CONFIG";

// cuBLAS is deterministic only with a workspace of fixed size. It reads this variable when it creates its
// first handle. Before main() there is only one thread, so setting the environment is safe. A value set by
// the user is kept.
__attribute__((constructor)) void fix_workspace() { setenv(WORKSPACE, ":4096:8", 0); }

template <std::size_t N>
void copy(char (&target)[N], const char* text) {
  std::snprintf(target, N, "%s", text == nullptr ? "" : text);
}

// Returns a function of a library; null if the library is not loaded.
template <typename Function>
Function symbol(void* library, const char* name) {
  return library == nullptr ? nullptr : reinterpret_cast<Function>(dlsym(library, name));
}

// Returns a function of any loaded library, or null.
template <typename Function>
Function global(const char* name) {
  return reinterpret_cast<Function>(dlsym(RTLD_DEFAULT, name));
}

// Returns the path of the file `name` in the folder of the libtorch in use.
std::string beside_libtorch(const char* name) {
  Dl_info info{};
  if (dladdr(reinterpret_cast<const void*>(&at::globalContext), &info) == 0 || info.dli_fname == nullptr) {
    return name;
  }
  char resolved[PATH_MAX];
  const bool is_resolved = realpath(info.dli_fname, resolved) != nullptr;
  const std::string path = is_resolved ? resolved : info.dli_fname;
  const auto slash = path.rfind('/');
  return slash == std::string::npos ? name : path.substr(0, slash + 1) + name;
}

void* driver() {
  static void* const library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_GLOBAL);
  return library;
}

using at::Float32Backend;
using at::Float32Op;
using at::Float32Precision;

}  // namespace

extern "C" {

struct DdpoCuda {
  std::int32_t library;  // 0 loaded, 1 file missing, 2 loader error
  std::int32_t driver;   // 0 loaded, 1 libcuda.so.1 missing
  std::int32_t initialised;  // what cuInit returned
  std::int32_t driver_version;   // CUDA version of the driver, 1000 * major + 10 * minor
  std::int32_t runtime_version;  // CUDA version of libtorch, likewise
  std::int64_t cudnn_version;    // 0 without a device
  char path[1024];
  char message[1024];
};

struct DdpoCudaDevice {
  char name[256];
  std::uint64_t memory;
  std::int32_t major;
  std::int32_t minor;
  std::int32_t processors;
};

struct DdpoNumerics {
  bool deterministic_algorithms;
  bool warn_only;
  bool deterministic_cudnn;
  bool benchmark_cudnn;
  bool fill_uninitialised;
  bool attention_flash;
  bool attention_memory_efficient;
  bool attention_math;
  bool attention_cudnn;
  char matmul_precision[16];
  char cuda_matmul[16];
  char cuda_convolution[16];
  char cpu_matmul[16];
  char cpu_convolution[16];
  char cublas_workspace[32];
};

// Loads libtorch's CUDA libraries, which register themselves, and queries the driver. Nothing is thrown.
void ddpo_load_cuda(DdpoCuda* out) noexcept {
  try {
    const std::string path = beside_libtorch("libtorch_cuda.so");
    copy(out->path, path.c_str());
    if (std::FILE* file = std::fopen(path.c_str(), "rb")) {
      std::fclose(file);
      if (dlopen(path.c_str(), RTLD_NOW | RTLD_GLOBAL) == nullptr) {
        out->library = 2;
        copy(out->message, dlerror());
      }
    } else {
      out->library = 1;
    }
    const auto runtime = global<int (*)(int*)>("cudaRuntimeGetVersion");
    if (runtime != nullptr) runtime(&out->runtime_version);
    out->driver = driver() == nullptr ? 1 : 0;
    const auto version = symbol<int (*)(int*)>(driver(), "cuDriverGetVersion");
    if (version != nullptr) version(&out->driver_version);
    const auto initialise = symbol<int (*)(unsigned)>(driver(), "cuInit");
    if (initialise != nullptr) out->initialised = initialise(0);
    const auto name = symbol<int (*)(int, const char**)>(driver(), "cuGetErrorName");
    if (out->initialised != 0 && out->library == 0 && name != nullptr) {
      const char* text = nullptr;
      name(out->initialised, &text);
      copy(out->message, text);
    }
    const auto& hooks = at::detail::getCUDAHooks();
    if (out->library == 0 && hooks.hasCUDA()) out->cudnn_version = hooks.versionRuntimeCuDNN();
  } catch (const std::exception& error) {
    copy(out->message, error.what());
  } catch (...) {
    copy(out->message, "an error without a text");
  }
}

// Writes the driver's description of device `index`; false if it does not exist. Nothing is thrown.
bool ddpo_cuda_device(std::int32_t index, DdpoCudaDevice* out) noexcept {
  const auto get = symbol<int (*)(int*, int)>(driver(), "cuDeviceGet");
  const auto name = symbol<int (*)(char*, int, int)>(driver(), "cuDeviceGetName");
  const auto memory = symbol<int (*)(std::size_t*, int)>(driver(), "cuDeviceTotalMem_v2");
  const auto attribute = symbol<int (*)(int*, int, int)>(driver(), "cuDeviceGetAttribute");
  if (get == nullptr || name == nullptr || memory == nullptr || attribute == nullptr) return false;
  int device = 0;
  std::size_t bytes = 0;
  if (get(&device, index) != 0 || name(out->name, sizeof(out->name), device) != 0 || memory(&bytes, device) != 0) {
    return false;
  }
  out->memory = bytes;
  // CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, _MINOR and _MULTIPROCESSOR_COUNT.
  attribute(&out->major, 75, device);
  attribute(&out->minor, 76, device);
  attribute(&out->processors, 16, device);
  return true;
}

// Returns libtorch's version, from its headers.
const char* ddpo_libtorch_version() noexcept { return TORCH_VERSION; }

// Writes the path of the libtorch in use.
void ddpo_libtorch_file(char* out, std::size_t size) noexcept {
  Dl_info info{};
  const bool known = dladdr(reinterpret_cast<const void*>(&at::globalContext), &info) != 0;
  char resolved[PATH_MAX];
  const char* const path = known && info.dli_fname != nullptr ? info.dli_fname : "";
  std::snprintf(out, size, "%s", realpath(path, resolved) != nullptr ? resolved : path);
}

// Writes the free bytes of CUDA device `index` and returns true; false if they are not available.
bool ddpo_free_memory(std::int32_t index, std::uint64_t* free) noexcept {
  const auto set = global<int (*)(int)>("cudaSetDevice");
  const auto get = global<int (*)(int*)>("cudaGetDevice");
  const auto ask = global<int (*)(std::size_t*, std::size_t*)>("cudaMemGetInfo");
  int before = 0;
  std::size_t bytes = 0, total = 0;
  if (set == nullptr || get == nullptr || ask == nullptr || get(&before) != 0 || set(index) != 0) return false;
  const bool known = ask(&bytes, &total) == 0;
  set(before);
  *free = bytes;
  return known;
}

// Returns NCCL's version number; 0 if the library is not loaded.
std::int32_t ddpo_nccl_version() noexcept {
  const auto version = global<int (*)(int*)>("ncclGetVersion");
  int number = 0;
  if (version != nullptr) version(&number);
  return number;
}

// Returns whether the first device can read and write the memory of the second.
bool ddpo_can_access_peer(std::int32_t from, std::int32_t to) noexcept {
  const auto get = symbol<int (*)(int*, int)>(driver(), "cuDeviceGet");
  const auto ask = symbol<int (*)(int*, int, int)>(driver(), "cuDeviceCanAccessPeer");
  int first = 0, second = 0, can = 0;
  return get != nullptr && ask != nullptr && get(&first, from) == 0 && get(&second, to) == 0 &&
         ask(&can, first, second) == 0 && can != 0;
}

// Sets every libtorch switch that affects the bits of results. `precision` is one of PyTorch's names:
// 0 highest, 1 high, 2 medium. Returns null, or an error message from strdup.
char* ddpo_set_numerics(bool deterministic, std::int32_t precision) noexcept {
  if (precision < 0 || precision > 2) return strdup("precision: expected 0, 1 or 2");
  try {
    auto& context = at::globalContext();
    context.setDeterministicAlgorithms(deterministic, /*warn_only=*/false);
    context.setDeterministicFillUninitializedMemory(false);
    context.setDeterministicCuDNN(deterministic);
    context.setBenchmarkCuDNN(!deterministic);
    context.setSDPUseFlash(true);
    context.setSDPUseMath(true);
    // The backward passes of these two kernels add with atomics, in no fixed order.
    context.setSDPUseMemEfficient(!deterministic);
    context.setSDPUseCuDNN(!deterministic);
    const char* const names[] = {"highest", "high", "medium"};
    context.setFloat32MatmulPrecision(names[precision]);
    // That call affects only matrix products; convolutions would keep TF32.
    context.setAllowTF32CuDNN(precision > 0);
    if (precision == 0) {
      // Set explicitly, because an unset switch could inherit the value of another one.
      context.setFloat32Precision(Float32Backend::CUDA, Float32Op::CONV, Float32Precision::IEEE);
      context.setFloat32Precision(Float32Backend::CUDA, Float32Op::RNN, Float32Precision::IEEE);
    }
    const Float32Precision on_cpu[] = {Float32Precision::IEEE, Float32Precision::TF32, Float32Precision::BF16};
    context.setFloat32Precision(Float32Backend::MKLDNN, Float32Op::CONV, on_cpu[precision]);
    return nullptr;
  } catch (const std::exception& error) {
    return strdup(error.what());
  } catch (...) {
    return strdup("an error without a text");
  }
}

// Reads the same switches. Returns null, or an error message from strdup.
char* ddpo_numerics(DdpoNumerics* out) noexcept {
  try {
    const auto& context = at::globalContext();
    out->deterministic_algorithms = context.deterministicAlgorithms();
    out->warn_only = context.deterministicAlgorithmsWarnOnly();
    out->fill_uninitialised = context.deterministicFillUninitializedMemory();
    out->deterministic_cudnn = context.deterministicCuDNN();
    out->benchmark_cudnn = context.benchmarkCuDNN();
    out->attention_flash = context.userEnabledFlashSDP();
    out->attention_memory_efficient = context.userEnabledMemEfficientSDP();
    out->attention_math = context.userEnabledMathSDP();
    out->attention_cudnn = context.userEnabledCuDNNSDP();
    const char* const names[] = {"highest", "high", "medium"};
    copy(out->matmul_precision, names[static_cast<int>(context.float32MatmulPrecision())]);
    const auto name = [&](Float32Backend backend, Float32Op operation) {
      return at::precision2str(context.float32Precision(backend, operation));
    };
    copy(out->cuda_matmul, name(Float32Backend::CUDA, Float32Op::MATMUL).c_str());
    copy(out->cuda_convolution, name(Float32Backend::CUDA, Float32Op::CONV).c_str());
    copy(out->cpu_matmul, name(Float32Backend::MKLDNN, Float32Op::MATMUL).c_str());
    copy(out->cpu_convolution, name(Float32Backend::MKLDNN, Float32Op::CONV).c_str());
    copy(out->cublas_workspace, std::getenv(WORKSPACE));
    return nullptr;
  } catch (const std::exception& error) {
    return strdup(error.what());
  } catch (...) {
    return strdup("an error without a text");
  }
}
}
