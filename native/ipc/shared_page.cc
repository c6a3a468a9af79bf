// Makes, maps and unmaps shared pages. See shared_page.h.
#include "ipc/shared_page.h"

#include <utility>

#include "os/sys.h"

namespace megacomet {

SharedMapping::SharedMapping(SharedMapping&& other) noexcept
    : memory_(std::exchange(other.memory_, nullptr)), fd_(std::exchange(other.fd_, -1)) {}

bool SharedMapping::create(const char* name) {
  MC_CHECK(!is_mapped() && fd_ < 0);
  fd_ = sys::create_shared(name, kSharedPageBytes);
  if (fd_ >= 0) memory_ = sys::map_shared(fd_, kSharedPageBytes);
  if (!is_mapped()) close_descriptor();
  return is_mapped();
}

bool SharedMapping::open(int fd) {
  MC_CHECK(!is_mapped() && fd_ < 0);
  if (sys::file_bytes(fd) != kSharedPageBytes) return false;
  memory_ = sys::map_shared(fd, kSharedPageBytes);
  if (is_mapped()) fd_ = fd;
  return is_mapped();
}

void SharedMapping::close_descriptor() {
  if (fd_ >= 0) sys::close(fd_);
  fd_ = -1;
}

void SharedMapping::reset() {
  if (is_mapped()) sys::release_memory(memory_, kSharedPageBytes);
  memory_ = nullptr;
  close_descriptor();
}

}  // namespace megacomet
