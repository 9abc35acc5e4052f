// Opens libraries at run time and finds their functions.

#pragma once

#include <dlfcn.h>

#include <stdexcept>
#include <string>

namespace ddpo {

// Opens the library, or throws the loader's reason. Libraries stay open, because CUDA's do not support
// closing.
inline void* open_library(const char* path) {
  void* library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (library != nullptr) return library;
  const char* reason = dlerror();
  throw std::runtime_error(reason != nullptr ? reason : std::string(path) + ": cannot be opened");
}

template <class Function>
void find_function(void* library, const char* name, Function*& function) {
  function = reinterpret_cast<Function*>(dlsym(library, name));
  if (function == nullptr) throw std::runtime_error(std::string(name) + ": not found in the library");
}

}  // namespace ddpo
