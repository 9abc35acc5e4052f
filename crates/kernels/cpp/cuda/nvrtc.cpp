// Compiles CUDA C++ with NVRTC, which is opened at run time. Prototypes are from NVRTC's documentation:
// nvrtcResult is an enum whose zero is success, nvrtcProgram a pointer.

#include <cstdlib>
#include <cstring>
#include <exception>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "libraries.h"

namespace {

using ddpo::find_function;

struct Nvrtc {
  using Program = void*;

  const char* (*get_error_string)(int error);
  int (*version)(int* major, int* minor);
  int (*get_num_supported_archs)(int* count);
  int (*get_supported_archs)(int* archs);
  int (*create_program)(Program* program, const char* source, const char* name, int header_count,
                        const char* const* headers, const char* const* header_names);
  int (*compile_program)(Program program, int option_count, const char* const* options);
  int (*destroy_program)(Program* program);
  int (*get_program_log_size)(Program program, std::size_t* bytes);
  int (*get_program_log)(Program program, char* log);
  int (*get_ptx_size)(Program program, std::size_t* bytes);
  int (*get_ptx)(Program program, char* ptx);
  int (*get_cubin_size)(Program program, std::size_t* bytes);
  int (*get_cubin)(Program program, char* cubin);

  explicit Nvrtc(const char* path) {
    void* library = ddpo::open_library(path);
    find_function(library, "nvrtcGetErrorString", get_error_string);
    find_function(library, "nvrtcVersion", version);
    find_function(library, "nvrtcGetNumSupportedArchs", get_num_supported_archs);
    find_function(library, "nvrtcGetSupportedArchs", get_supported_archs);
    find_function(library, "nvrtcCreateProgram", create_program);
    find_function(library, "nvrtcCompileProgram", compile_program);
    find_function(library, "nvrtcDestroyProgram", destroy_program);
    find_function(library, "nvrtcGetProgramLogSize", get_program_log_size);
    find_function(library, "nvrtcGetProgramLog", get_program_log);
    find_function(library, "nvrtcGetPTXSize", get_ptx_size);
    find_function(library, "nvrtcGetPTX", get_ptx);
    find_function(library, "nvrtcGetCUBINSize", get_cubin_size);
    find_function(library, "nvrtcGetCUBIN", get_cubin);
    open_builtins();
  }

  void check(int error, const char* call) const {
    if (error != 0) throw std::runtime_error(std::string(call) + ": " + get_error_string(error));
  }

 private:
  // NVRTC opens its library of built-ins by name when it compiles. In NVIDIA's wheels it has no search path
  // for it, so open it here from NVRTC's folder. A failure surfaces in the first compilation.
  void open_builtins() const {
    Dl_info info{};
    if (dladdr(reinterpret_cast<const void*>(version), &info) == 0 || info.dli_fname == nullptr) return;
    std::error_code error;
    const auto folder = std::filesystem::canonical(info.dli_fname, error).parent_path();
    for (auto it = std::filesystem::directory_iterator(folder, error); !error && it != std::filesystem::directory_iterator();
         it.increment(error)) {
      const std::string name = it->path().filename().string();
      if (name.rfind("libnvrtc-builtins", 0) == 0 && name.find(".alt.") == std::string::npos) {
        dlopen(it->path().c_str(), RTLD_NOW | RTLD_LOCAL);
      }
    }
  }
};

// An NVRTC program, destroyed by the destructor.
struct Program {
  const Nvrtc& nvrtc;
  Nvrtc::Program handle = nullptr;

  explicit Program(const Nvrtc& nvrtc_) : nvrtc(nvrtc_) {}
  ~Program() {
    if (handle != nullptr) nvrtc.destroy_program(&handle);
  }
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  std::string log() const {
    std::size_t bytes = 0;
    if (nvrtc.get_program_log_size(handle, &bytes) != 0 || bytes == 0) return {};
    std::string text(bytes, '\0');
    if (nvrtc.get_program_log(handle, text.data()) != 0) return {};
    return text.c_str();
  }
};

}  // namespace

extern "C" {

struct DdpoNvrtc {
  Nvrtc nvrtc;
};

// The input of a compilation: `source` with one header, and options.
struct DdpoSource {
  const char *name, *source, *header_name, *header;
  const char* const* options;
  int option_count;
};

// Opens the library. Writes a handle that is never freed and returns null, or returns a message that
// ddpo_free_message frees. Nothing is thrown.
char* ddpo_nvrtc_open(const char* path, const DdpoNvrtc** out, int* major, int* minor) noexcept {
  try {
    auto opened = std::make_unique<DdpoNvrtc>(DdpoNvrtc{Nvrtc(path)});
    opened->nvrtc.check(opened->nvrtc.version(major, minor), "nvrtcVersion");
    *out = opened.release();
    return nullptr;
  } catch (const std::exception& error) {
    return strdup(error.what());
  }
}

// Writes at most `most` architectures, such as 90, and returns their total number; negative on failure.
int ddpo_nvrtc_architectures(const DdpoNvrtc* handle, int* out, int most) noexcept {
  try {
    const Nvrtc& nvrtc = handle->nvrtc;
    int count = 0;
    if (nvrtc.get_num_supported_archs(&count) != 0 || count < 0) return -1;
    std::vector<int> all(static_cast<std::size_t>(count));
    if (nvrtc.get_supported_archs(all.data()) != 0) return -1;
    for (int i = 0; i < count && i < most; ++i) out[i] = all[static_cast<std::size_t>(i)];
    return count;
  } catch (...) {
    return -1;
  }
}

// Compiles to a cubin, or to zero-terminated PTX if `is_ptx`. Writes the image, its size and the compiler's
// log and returns null, or returns a message. ddpo_free_message frees image, log and message. Nothing is
// thrown.
char* ddpo_nvrtc_compile(const DdpoNvrtc* handle, const DdpoSource* source, bool is_ptx, char** image,
                         std::size_t* size, char** log) noexcept {
  try {
    const Nvrtc& nvrtc = handle->nvrtc;
    Program program(nvrtc);
    nvrtc.check(nvrtc.create_program(&program.handle, source->source, source->name, 1, &source->header,
                                     &source->header_name),
                "nvrtcCreateProgram");
    const int error = nvrtc.compile_program(program.handle, source->option_count, source->options);
    const std::string text = program.log();
    if (error != 0) {
      throw std::runtime_error(text.empty() ? std::string("nvrtcCompileProgram: ") + nvrtc.get_error_string(error)
                                            : text);
    }
    std::size_t bytes = 0;
    nvrtc.check(is_ptx ? nvrtc.get_ptx_size(program.handle, &bytes) : nvrtc.get_cubin_size(program.handle, &bytes),
                "the size of the image");
    std::unique_ptr<char, decltype(&std::free)> memory(static_cast<char*>(std::calloc(bytes + 1, 1)), &std::free);
    if (memory == nullptr) throw std::bad_alloc();
    nvrtc.check(is_ptx ? nvrtc.get_ptx(program.handle, memory.get()) : nvrtc.get_cubin(program.handle, memory.get()),
                "the image");
    *log = strdup(text.c_str());
    *size = bytes;
    *image = memory.release();
    return nullptr;
  } catch (const std::exception& error) {
    return strdup(error.what());
  }
}
}
