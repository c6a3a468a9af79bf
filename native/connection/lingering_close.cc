// Discarding input before a close. See lingering_close.h.
#include "connection/lingering_close.h"

#include "os/sys.h"

namespace megacomet {

namespace {

/// Two, so that a peer has one whole second at least.
constexpr uint8_t kTicks = 2;

}  // namespace

LingeringClose::LingeringClose(struct ev_loop* loop) : loop_(loop) {}

LingeringClose::~LingeringClose() {
  for (Slot& slot : slots_) {
    if (slot.ticks_left > 0) release(&slot);
  }
}

bool LingeringClose::take(int fd) {
  if (size_ == slots_.size()) return false;
  Slot* slot = slots_.data();
  while (slot->ticks_left > 0) ++slot;
  sys::end_output(fd);
  ev_io_init(&slot->watcher, on_event, fd, EV_READ);
  slot->watcher.data = this;
  slot->ticks_left = kTicks;
  ++size_;
  ev_io_start(loop_, &slot->watcher);
  return true;
}

void LingeringClose::tick() {
  if (size_ == 0) return;
  for (Slot& slot : slots_) {
    if (slot.ticks_left > 0 && --slot.ticks_left == 0) release(&slot);
  }
}

void LingeringClose::on_event(struct ev_loop*, ev_io* watcher, int revents) {
  uint8_t dropped[bounds::kLingeringCloseReadBytes];
  if ((revents & EV_ERROR) == 0) {
    const sys::IoStatus status = sys::receive(watcher->fd, dropped, sizeof dropped).status;
    if (status == sys::IoStatus::kDone || status == sys::IoStatus::kAgain) return;
  }
  // The watcher is the first member of its slot.
  static_cast<LingeringClose*>(watcher->data)->release(reinterpret_cast<Slot*>(watcher));
}

void LingeringClose::release(Slot* slot) {
  const int fd = slot->watcher.fd;
  // Stop, then close: see libev.h, rule 2.
  ev_io_stop(loop_, &slot->watcher);
  slot->ticks_left = 0;
  --size_;
  sys::close(fd);
}

}  // namespace megacomet
