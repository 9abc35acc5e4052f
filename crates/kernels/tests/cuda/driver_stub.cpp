// A stub libcuda.so.1 with two devices of compute capability 9.0. It passes launches to the program that
// opened it, which runs them on the CPU, and rejects the same errors as a real driver.

#include <dlfcn.h>

#include <cstdlib>
#include <cstring>
#include <set>
#include <string>

namespace {

constexpr int SUCCESS = 0, INVALID_VALUE = 1, INVALID_DEVICE = 101, INVALID_IMAGE = 200, INVALID_CONTEXT = 201,
              NOT_FOUND = 500;

int context_depth = 0;
char context_memory, module_memory;

template <class Function>
Function* of_program(const char* name) {
  auto* found = reinterpret_cast<Function*>(dlsym(RTLD_DEFAULT, name));
  if (found == nullptr) std::abort();
  return found;
}

}  // namespace

extern "C" {

int cuInit(unsigned) { return SUCCESS; }

int cuGetErrorString(int error, const char** text) {
  *text = error == INVALID_DEVICE ? "invalid device ordinal" : "refused";
  return SUCCESS;
}

int cuDeviceGet(int* device, int ordinal) {
  *device = ordinal;
  return ordinal == 0 || ordinal == 1 ? SUCCESS : INVALID_DEVICE;
}

int cuDeviceGetAttribute(int* value, int attribute, int) {
  if (attribute != 75 && attribute != 76) return INVALID_VALUE;
  *value = attribute == 75 ? 9 : 0;
  return SUCCESS;
}

int cuDevicePrimaryCtxRetain(void** context, int) {
  *context = &context_memory;
  return SUCCESS;
}

int cuCtxPushCurrent_v2(void* context) {
  if (context != &context_memory) return INVALID_CONTEXT;
  ++context_depth;
  return SUCCESS;
}

int cuCtxPopCurrent_v2(void** context) {
  *context = &context_memory;
  return context_depth-- > 0 ? SUCCESS : INVALID_CONTEXT;
}

int cuModuleLoadData(void** module, const void* image) {
  if (context_depth == 0) return INVALID_CONTEXT;
  *module = &module_memory;
  return std::strcmp(static_cast<const char*>(image), "image") == 0 ? SUCCESS : INVALID_IMAGE;
}

int cuModuleGetFunction(void** function, void* module, const char* name) {
  static std::set<std::string> names;
  if (module != &module_memory || !of_program<bool(const char*)>("emulated_has")(name)) return NOT_FOUND;
  *function = const_cast<char*>(names.insert(name).first->c_str());
  return SUCCESS;
}

int cuLaunchKernel(void* function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x,
                   unsigned block_y, unsigned block_z, unsigned shared_bytes, void* stream, void** arguments,
                   void** extra) {
  if (context_depth == 0) return INVALID_CONTEXT;
  // The default limit of shared memory per block is 48 KiB.
  const bool fits = grid_x > 0 && grid_y > 0 && grid_y < 65536 && grid_z > 0 && grid_z < 65536 && block_x > 0 &&
                    block_x <= 1024 && block_y == 1 && block_z == 1 && shared_bytes <= 48 * 1024;
  if (!fits || stream != of_program<void*()>("emulated_stream")() || extra != nullptr) return INVALID_VALUE;
  const unsigned grid[] = {grid_x, grid_y, grid_z};
  using Launch = void(const char*, const unsigned*, unsigned, unsigned, const void*);
  of_program<Launch>("emulated_launch")(static_cast<const char*>(function), grid, block_x, shared_bytes,
                                        arguments[0]);
  return SUCCESS;
}
}
