// Makes, maps and unmaps shared memory. See shared_page.h.
#include "ipc/shared_page.h"

#include <utility>

#include "os/sys.h"

namespace megacomet {

SharedMapping::SharedMapping(SharedMapping&& other) noexcept
    : memory_(std::exchange(other.memory_, nullptr)),
      bytes_(std::exchange(other.bytes_, 0)),
      fd_(std::exchange(other.fd_, -1)) {}

bool SharedMapping::create(const char* name, size_t bytes) {
  MC_CHECK(!is_mapped() && fd_ < 0);
  bytes_ = bytes;
  fd_ = sys::create_shared(name, bytes);
  if (fd_ >= 0) memory_ = sys::map_shared(fd_, bytes);
  if (!is_mapped()) close_descriptor();
  return is_mapped();
}

bool SharedMapping::open(int fd, size_t bytes) {
  MC_CHECK(!is_mapped() && fd_ < 0);
  if (sys::file_bytes(fd) != bytes) return false;
  bytes_ = bytes;
  memory_ = sys::map_shared(fd, bytes);
  if (is_mapped()) fd_ = fd;
  return is_mapped();
}

void SharedMapping::close_descriptor() {
  if (fd_ >= 0) sys::close(fd_);
  fd_ = -1;
}

void SharedMapping::reset() {
  if (is_mapped()) sys::release_memory(memory_, bytes_);
  memory_ = nullptr;
  close_descriptor();
}

}  // namespace megacomet
