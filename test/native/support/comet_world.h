// A comet worker's connections, hub and protocols over real sockets. The test is the manager.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "connection/admission.h"
#include "connection/transport.h"
#include "hub/hub.h"
#include "ipc/control.h"
#include "ipc/segment.h"
#include "support/fixture.h"
#include "support/unit.h"

namespace unit {

struct CometWorld {
  CometWorld();

  [[nodiscard]] uint64_t count(Counter counter) const { return counters.get(counter); }

  /// Registers a client that has written `request`, which may be empty.
  void register_fd(const Client& client, const std::string& request);

  /// Answers each replay request of the worker with an empty last page.
  void answer_replays();

  /// Publishes a message to the subscribers of `channel`. Runs its fan-out if `pumps`.
  void publish(const std::string& channel, const std::string& data, bool pumps = true);

  /// The manager numbers `count` messages for other workers.
  void skip_numbers(uint64_t count) { number_ += count; }

  /// `count` messages are lost, and `epoch` begins.
  void lose(uint64_t count, uint64_t epoch) {
    number_ += count;
    hub->on_lost({number_, epoch});
  }

  /// The frames of one type that the worker has sent since the last call; drops all others.
  template <typename Frame>
  std::vector<Frame> sent() {
    std::vector<Frame> frames;
    control.flush();
    peer.receive([&](const FrameView& view) {
      Frame frame;
      const bool is_wanted = view.type == static_cast<uint8_t>(Frame::kType);
      if (is_wanted && EXPECT(decode(view, &frame))) frames.push_back(std::move(frame));
    });
    return frames;
  }

  LoopOwner loop = make_loop();
  ControlPeer peer;
  std::unique_ptr<Block> block = std::make_unique<Block>();
  Counters counters;
  Admission admission;
  DeafHandler handler;
  Control control{loop.get(), &handler};
  ClientLimits limits{&control, &counters};
  std::unique_ptr<Transport> transport;
  std::unique_ptr<Hub> hub;
  ListeningSocket socket;

 private:
  bool accept();

  uint64_t number_ = 0;
};

}  // namespace unit
