// Reads the counters of libtorch's allocator on a CUDA device, for the services' metrics.

#include <c10/core/CachingDeviceAllocator.h>

#include <cstdint>
#include <exception>

namespace {

constexpr auto ALL = static_cast<std::size_t>(c10::CachingAllocator::StatType::AGGREGATE);

// Returns the allocator of CUDA devices; null before the first allocation.
c10::DeviceAllocator* cuda_allocator() {
  auto* const allocator = dynamic_cast<c10::DeviceAllocator*>(c10::GetAllocator(c10::DeviceType::CUDA));
  return allocator != nullptr && allocator->initialized() ? allocator : nullptr;
}

}  // namespace

extern "C" {

// Writes the bytes allocated by tensors and the bytes reserved by the allocator, and returns true. Returns
// false before the first allocation, or if the device does not exist. Nothing is thrown.
bool ddpo_device_memory(std::int8_t index, std::uint64_t* allocated, std::uint64_t* reserved) noexcept {
  try {
    auto* const allocator = cuda_allocator();
    if (allocator == nullptr) return false;
    const auto stats = allocator->getDeviceStats(index);
    *allocated = static_cast<std::uint64_t>(stats.allocated_bytes[ALL].current);
    *reserved = static_cast<std::uint64_t>(stats.reserved_bytes[ALL].current);
    return true;
  } catch (...) {
    return false;
  }
}

// Writes the peak of allocated bytes since the last reset, and returns true; returns false as above.
bool ddpo_peak_memory(std::int8_t index, std::uint64_t* peak) noexcept {
  try {
    auto* const allocator = cuda_allocator();
    if (allocator == nullptr) return false;
    const auto stats = allocator->getDeviceStats(index);
    *peak = static_cast<std::uint64_t>(stats.allocated_bytes[ALL].peak);
    return true;
  } catch (...) {
    return false;
  }
}

// Resets the peak. Nothing is thrown.
void ddpo_reset_peak_memory(std::int8_t index) noexcept {
  try {
    if (auto* const allocator = cuda_allocator()) allocator->resetPeakStats(index);
  } catch (...) {
  }
}
}
