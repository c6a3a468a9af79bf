// Tests of the worker's end of the control stream: commands in, frames out, its end, its limit.
#include "ipc/control.h"

#include <string>

#include <sys/socket.h>

#include "support/fixture.h"
#include "support/unit.h"

using namespace megacomet;

namespace {

struct Stream {
  Stream() : control(loop.get(), &handler) { EXPECT(control.start()); }
  LoopOwner loop = make_loop();
  unit::ControlPeer peer;
  unit::DeafHandler handler;
  Control control;
};

}  // namespace

TEST("every command arrives, also when many arrive at once") {
  Stream stream;
  for (uint32_t count = 0; count < 100; ++count) stream.peer.send(frame::Drain{count});
  EXPECT(unit::run_until(stream.loop.get(), [&] { return stream.handler.frames == 100; }));
  EXPECT_EQUAL(stream.handler.ends, 0);
}

TEST("a command after which reading stops keeps those after it, until it is resumed") {
  struct Stopping final : ControlHandler {
    void on_frame(const FrameView&) override {
      if (++frames == 3) control->set_reading(false);
    }
    void on_control_end() override {}
    Control* control = nullptr;
    int frames = 0;
  } handler;
  const LoopOwner loop = unit::make_loop();
  const unit::ControlPeer peer;
  Control control(loop.get(), &handler);
  handler.control = &control;
  EXPECT(control.start());
  for (uint32_t count = 0; count < 10; ++count) peer.send(frame::Drain{count});
  EXPECT(unit::run_until(loop.get(), [&] { return handler.frames == 3; }));
  ev_run(loop.get(), EVRUN_NOWAIT);
  EXPECT_EQUAL(handler.frames, 3);
  EXPECT(control.set_reading(true));
  EXPECT_EQUAL(handler.frames, 10);
  EXPECT(!control.set_reading(true));
  EXPECT(!control.set_reading(false));
}

TEST("the end of the stream and an invalid frame are reported") {
  Stream ended;
  ended.peer.hang_up();
  EXPECT(unit::run_until(ended.loop.get(), [&] { return ended.handler.ends > 0; }));
  Stream broken;
  broken.peer.write({0, 0, 0, 0});
  EXPECT(unit::run_until(broken.loop.get(), [&] { return broken.handler.ends > 0; }));
  EXPECT_EQUAL(broken.handler.frames, 0);
}

TEST("log lines are truncated to their limit, and dropped when the queue is full") {
  Stream stream;
  const std::string text(2000, 'x');
  uint64_t queued = 0;
  while (stream.control.log(LogLevel::kWarn, text.c_str(), 24, 3)) ++queued;
  EXPECT(queued > 0 && queued < 2 * bounds::kControlQueueBytesMax / bounds::kLogBytesMax);
  stream.control.flush();
  uint64_t received = 0;
  const auto check = [&](const FrameView& view) {
    frame::Log line;
    if (!EXPECT(decode(view, &line))) return;
    ++received;
    EXPECT_EQUAL(line.message.size(), bounds::kLogBytesMax);
    EXPECT_EQUAL(line.error, 24U);
    EXPECT_EQUAL(line.suppressed, 3U);
  };
  EXPECT(unit::run_until(stream.loop.get(), [&] {
    stream.peer.receive(check);
    return received == queued;
  }));
  EXPECT(stream.control.log(LogLevel::kInfo, "the queue has room again"));
}

TEST("frames to a manager that ended are dropped") {
  Stream stream;
  stream.peer.hang_up();
  stream.control.send(frame::Goodbye{1});
  stream.control.flush();
  EXPECT(stream.control.log(LogLevel::kInfo, "a line without a reader"));
  stream.control.flush();
}
