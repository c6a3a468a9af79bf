// Pages of memory that processes share through a sealed memfd.
#pragma once

#include <cstddef>

#include "base/check.h"

namespace megacomet {

/// Not the page of the kernel, which may be larger: the size of the file.
constexpr size_t kSharedPageBytes = 4096;

/// The mapping and its descriptor. Unmaps and closes itself.
class SharedMapping {
 public:
  SharedMapping() = default;
  SharedMapping(SharedMapping&& other) noexcept;
  SharedMapping(const SharedMapping&) = delete;
  SharedMapping& operator=(const SharedMapping&) = delete;
  ~SharedMapping() { reset(); }

  /// Makes zeroed memory of a fixed size. False with errno on failure.
  [[nodiscard]] bool create(const char* name, size_t bytes);

  /// Maps inherited memory and takes ownership of its descriptor. False if the descriptor is not a
  /// file of that size: to touch a page past the end of a file is SIGBUS.
  [[nodiscard]] bool open(int fd, size_t bytes);

  /// Closes the descriptor; the mapping stays.
  void close_descriptor();
  void reset();

  [[nodiscard]] int fd() const { return fd_; }
  [[nodiscard]] bool is_mapped() const { return memory_ != nullptr; }

 protected:
  void* memory_ = nullptr;

 private:
  size_t bytes_ = 0;
  int fd_ = -1;
};

/// Mapped memory with fields, in whole pages.
template <typename Page>
class SharedPage : public SharedMapping {
 public:
  static constexpr size_t kBytes =
      (sizeof(Page) + kSharedPageBytes - 1) / kSharedPageBytes * kSharedPageBytes;

  [[nodiscard]] bool create(const char* name) { return SharedMapping::create(name, kBytes); }
  [[nodiscard]] bool open(int fd) { return SharedMapping::open(fd, kBytes); }
  [[nodiscard]] Page* get() const {
    MC_CHECK(is_mapped());
    return static_cast<Page*>(memory_);
  }
  Page* operator->() const { return get(); }
};

}  // namespace megacomet
