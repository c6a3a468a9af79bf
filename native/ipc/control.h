// The worker's end of the control stream, descriptor 3.
// Reads commands, and writes all frames of one loop iteration at once. With 56 workers that write
// each frame alone the manager reads 4,000 frames a second; with one write per iteration, 100,000.
#pragma once

#include <cstdint>
#include <vector>

#include "base/bounds.h"
#include "ipc/frames.h"
#include "os/libev.h"

namespace megacomet {

class ControlHandler {
 public:
  virtual void on_frame(const FrameView& frame) = 0;
  /// The manager closed the stream, or sent bytes that are not a frame.
  virtual void on_control_end() = 0;

 protected:
  ~ControlHandler() = default;
};

class Control {
 public:
  static constexpr int kDescriptor = 3;

  Control(struct ev_loop* loop, ControlHandler* handler);
  Control(const Control&) = delete;
  Control& operator=(const Control&) = delete;
  ~Control();

  /// Begins to read. False if descriptor 3 is not open.
  [[nodiscard]] bool start();

  template <typename Frame>
  void send(const Frame& frame) {
    encode(frame, &outgoing_);
  }

  /// Queues a line for the manager's log. Dropped if more than kControlQueueBytesMax
  /// are queued; returns whether the line was queued.
  bool log(LogLevel level, const char* message, int error = 0, uint32_t suppressed = 0);

  /// Whether to drop optional frames because the manager does not read.
  [[nodiscard]] bool is_full() const { return outgoing_.size() > bounds::kControlQueueBytesMax; }

  /// Stops or resumes reading. Unread commands stay in the stream, and those of the last read here.
  /// Returns whether it handled such commands.
  bool set_reading(bool on);

  /// Writes the queued frames. Called once per loop iteration, before the loop blocks.
  void flush();

 private:
  static void on_readable(struct ev_loop* loop, ev_io* watcher, int revents);
  static void on_writable(struct ev_loop* loop, ev_io* watcher, int revents);
  void read();
  bool handle_frames();

  struct ev_loop* loop_;
  ControlHandler* handler_;
  ev_io reader_;
  ev_io writer_;
  FrameReader frames_;
  bool is_reading_ = true;
  std::vector<uint8_t> outgoing_;
};

}  // namespace megacomet
