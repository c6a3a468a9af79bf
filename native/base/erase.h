// Overwriting secrets that are not needed any more, so that no later read of memory finds them.
#pragma once

#include <cstddef>
#include <cstring>
#include <memory>

namespace megacomet {

/// Overwrites bytes; unlike memset() it is not left out before memory is freed.
inline void erase_bytes(void* bytes, size_t size) {
  ::explicit_bzero(bytes, size);
}

/// Overwrites memory before it is freed, also when a container grows.
template <typename T>
struct ErasingAllocator : std::allocator<T> {
  // The names are those of the standard. NOLINTBEGIN(readability-identifier-naming)
  template <typename Other>
  struct rebind {
    using other = ErasingAllocator<Other>;
  };
  // NOLINTEND(readability-identifier-naming)

  void deallocate(T* memory, size_t count) {
    erase_bytes(memory, count * sizeof(T));
    std::allocator<T>::deallocate(memory, count);
  }
};

}  // namespace megacomet
