// Reading and writing the control stream. See control.h.
#include "ipc/control.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "base/bounds.h"
#include "base/erase.h"
#include "os/sys.h"

namespace megacomet {

Control::Control(struct ev_loop* loop, ControlHandler* handler) : loop_(loop), handler_(handler) {
  ev_io_init(&reader_, on_readable, kDescriptor, EV_READ);
  ev_io_init(&writer_, on_writable, kDescriptor, EV_WRITE);
  ev_set_priority(&reader_, kPriorityControl);
  ev_set_priority(&writer_, kPriorityControl);
  reader_.data = this;
  writer_.data = this;
}

Control::~Control() {
  ev_io_stop(loop_, &reader_);
  ev_io_stop(loop_, &writer_);
}

bool Control::start() {
  // Node leaves inherited descriptors blocking; a read that lost a race would freeze the loop.
  if (!sys::set_nonblocking(kDescriptor)) return false;
  ev_io_start(loop_, &reader_);
  return true;
}

bool Control::set_reading(bool on) {
  const bool was_on = std::exchange(is_reading_, on);
  const bool has_handled = on && !was_on && handle_frames();
  if (is_reading_) {
    ev_io_start(loop_, &reader_);
  } else {
    ev_io_stop(loop_, &reader_);
  }
  return has_handled;
}

bool Control::log(LogLevel level, const char* message, int error, uint32_t suppressed) {
  if (outgoing_.size() > bounds::kControlQueueBytesMax) return false;
  frame::Log line;
  line.level = static_cast<uint8_t>(level);
  line.message.assign(message, std::min(std::strlen(message), bounds::kLogBytesMax));
  line.error = static_cast<uint32_t>(error);
  line.suppressed = suppressed;
  send(line);
  return true;
}

void Control::flush() {
  while (!outgoing_.empty()) {
    const sys::IoResult result = sys::write_stream(kDescriptor, outgoing_.data(), outgoing_.size());
    if (result.status == sys::IoStatus::kAgain) {
      ev_io_start(loop_, &writer_);
      return;
    }
    if (result.status != sys::IoStatus::kDone) {
      // The manager is gone; the reader sees the end of the stream and ends this process.
      outgoing_.clear();
      break;
    }
    outgoing_.erase(outgoing_.begin(), outgoing_.begin() + static_cast<ptrdiff_t>(result.bytes));
  }
  ev_io_stop(loop_, &writer_);
}

void Control::on_readable(struct ev_loop*, ev_io* watcher, int revents) {
  auto* self = static_cast<Control*>(watcher->data);
  if ((revents & EV_ERROR) != 0) {
    self->handler_->on_control_end();
    return;
  }
  self->read();
}

void Control::on_writable(struct ev_loop*, ev_io* watcher, int) {
  static_cast<Control*>(watcher->data)->flush();
}

void Control::read() {
  std::array<uint8_t, bounds::kControlReadBytes> buffer;
  const sys::IoResult result = sys::read_stream(kDescriptor, buffer.data(), buffer.size());
  if (result.status == sys::IoStatus::kAgain) return;
  if (result.status != sys::IoStatus::kDone) {
    handler_->on_control_end();
    return;
  }
  frames_.feed(buffer.data(), result.bytes);
  erase_bytes(buffer.data(), result.bytes);
  handle_frames();
}

/// Whether there was one. The handler may stop reading.
bool Control::handle_frames() {
  bool has_handled = false;
  FrameView view{};
  while (is_reading_ && frames_.next(&view)) {
    has_handled = true;
    handler_->on_frame(view);
  }
  frames_.erase_consumed();
  if (frames_.is_broken()) handler_->on_control_end();
  return has_handled;
}

}  // namespace megacomet
