// Throwing away what peers still send that were turned away. See lingering_close.h.
#include "connection/lingering_close.h"

#include "os/sys.h"

namespace megacomet {

namespace {

/// Two, so that it is one whole second at least.
constexpr uint8_t kTicks = 2;

}  // namespace

LingeringClose::LingeringClose(struct ev_loop* loop) : loop_(loop) {}

LingeringClose::~LingeringClose() {
  for (Place& place : places_) {
    if (place.ticks_left > 0) release(&place);
  }
}

bool LingeringClose::take(int fd) {
  if (size_ == places_.size()) return false;
  Place* place = places_.data();
  while (place->ticks_left > 0) ++place;
  sys::end_output(fd);
  ev_io_init(&place->watcher, on_event, fd, EV_READ);
  place->watcher.data = this;
  place->ticks_left = kTicks;
  ++size_;
  ev_io_start(loop_, &place->watcher);
  return true;
}

void LingeringClose::tick() {
  if (size_ == 0) return;
  for (Place& place : places_) {
    if (place.ticks_left > 0 && --place.ticks_left == 0) release(&place);
  }
}

void LingeringClose::on_event(struct ev_loop*, ev_io* watcher, int revents) {
  uint8_t dropped[bounds::kLingeringCloseReadBytes];
  if ((revents & EV_ERROR) == 0) {
    const sys::IoStatus status = sys::receive(watcher->fd, dropped, sizeof dropped).status;
    if (status == sys::IoStatus::kDone || status == sys::IoStatus::kAgain) return;
  }
  // The watcher is the first of its place.
  static_cast<LingeringClose*>(watcher->data)->release(reinterpret_cast<Place*>(watcher));
}

void LingeringClose::release(Place* place) {
  const int fd = place->watcher.fd;
  // Stop, then close: see libev.h, rule 2.
  ev_io_stop(loop_, &place->watcher);
  place->ticks_left = 0;
  --size_;
  sys::close(fd);
}

}  // namespace megacomet
