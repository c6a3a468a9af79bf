// Helpers of several tests: a loop that runs until a condition holds, loopback sockets, the parts
// of a worker, and the manager's end of a control stream.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "addon/listening.h"
#include "connection/admission.h"
#include "connection/protocol.h"
#include "connection/transport.h"
#include "ipc/control.h"
#include "ipc/frames.h"
#include "ipc/segment.h"
#include "os/libev.h"

namespace unit {

using namespace megacomet;

/// Runs the loop until `holds`, for at most five seconds. Returns whether it held.
bool run_until(struct ev_loop* loop, const std::function<bool()>& holds);

/// Runs the loop for a time.
void run_for(struct ev_loop* loop, uint32_t ms);

/// A bound and listening socket on loopback. The destructor closes it.
class ListeningSocket {
 public:
  explicit ListeningSocket(uint16_t port = 0, bool joins = false, uint32_t backlog = 4096);
  ListeningSocket(const ListeningSocket&) = delete;
  ListeningSocket& operator=(const ListeningSocket&) = delete;
  ~ListeningSocket();

  [[nodiscard]] int fd() const { return fd_; }
  [[nodiscard]] uint16_t port() const { return listening::port(fd_); }

 private:
  int fd_;
};

/// A blocking client socket on loopback. The destructor closes it.
class Client {
 public:
  explicit Client(uint16_t port);
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;
  ~Client() { close(); }

  [[nodiscard]] int fd() const { return fd_; }
  [[nodiscard]] bool is_connected() const { return is_connected_; }
  void close();
  void reset();
  void half_close() const;
  void write(const std::string& bytes) const;
  /// The bytes that have arrived. Does not wait.
  [[nodiscard]] std::string read_now() const;
  /// Whether the server has closed its side and all its bytes are read.
  [[nodiscard]] bool has_end() const;
  /// Whether the server has reset the connection.
  [[nodiscard]] bool is_reset() const;

 private:
  int fd_;
  bool is_connected_;
};

/// The observer of connections that have no subscriptions.
struct NoSubscriptions final : ConnectionObserver {
  void on_disconnecting(Connection*) override {}
  void on_closing(Connection*) override {}
  void on_close(Connection*) override {}
  void on_output_sent(Connection*) override {}
};

/// The parts of a worker that hold connections.
struct World {
  World();

  LoopOwner loop = make_loop();
  std::unique_ptr<Block> block = std::make_unique<Block>();
  Counters counters;
  Admission admission;
  NoSubscriptions observer;
  std::unique_ptr<Transport> transport;

  [[nodiscard]] uint64_t count(Counter counter) const { return counters.get(counter); }
  /// Runs the loop until the counter has the value.
  bool reaches(Counter counter, uint64_t value);
  /// A client whose server side is registered.
  std::unique_ptr<Client> register_one(const ListeningSocket& listener, bool has_tls = false);
  /// The one connection that is open.
  Connection* only();
};

/// The manager's end of a control stream. The worker's end is descriptor 3.
class ControlPeer {
 public:
  ControlPeer();
  ControlPeer(const ControlPeer&) = delete;
  ControlPeer& operator=(const ControlPeer&) = delete;
  ~ControlPeer();

  void write(const std::vector<uint8_t>& bytes) const;
  template <typename Frame>
  void send(const Frame& frame) const {
    std::vector<uint8_t> bytes;
    encode(frame, &bytes);
    write(bytes);
  }
  /// Reads the bytes that have arrived, and calls `each` for every complete frame.
  void receive(const std::function<void(const FrameView&)>& each);
  void hang_up();
  [[nodiscard]] int fd() const { return fd_; }

 private:
  int fd_ = -1;
  FrameReader reader_;
};

/// A handler that counts frames and does nothing else.
struct DeafHandler final : ControlHandler {
  void on_frame(const FrameView&) override { ++frames; }
  void on_control_end() override { ++ends; }
  int frames = 0;
  int ends = 0;
};

}  // namespace unit
