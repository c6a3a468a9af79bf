// The one path by which bytes leave a connection, for every protocol.
//
// One attempt is made at once. The bytes that the kernel does not take are queued in the
// connection's session, and sent when the socket can be written to. A connection with queued output
// is blocked.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <sys/uio.h>

#include "connection/connection_owner.h"
#include "connection/protocol.h"
#include "connection/send_limits.h"
#include "connection/session.h"
#include "connection/sessions.h"
#include "connection/tls_connections.h"
#include "os/sys.h"

namespace megacomet {

class Sender {
 public:
  struct Parts {
    ConnectionOwner* owner;
    Slab<Connection>* connections;
    Sessions* sessions;
    Counters* counters;
    const Protocol* const* protocols;
    TlsConnections* tls;
  };

  /// The system calls, so that a test needs no socket.
  struct Calls {
    sys::IoResult (*send)(int fd, const void* bytes, size_t size) = sys::send;
    sys::IoResult (*send_parts)(int fd, iovec* parts, size_t count) = sys::send_parts;
  };

  /// Seconds until the next deadline of a connection.
  struct Timeouts {
    /// After each write while it is blocked.
    uint32_t write_s = 0;
    /// While it is not.
    uint32_t heartbeat_s = 0;
  };

  explicit Sender(const Parts& parts) : Sender(parts, Calls()) {}
  Sender(const Parts& parts, const Calls& calls);
  Sender(const Sender&) = delete;
  Sender& operator=(const Sender&) = delete;

  void set_observer(ConnectionObserver* observer) { observer_ = observer; }
  void set_timeouts(const Timeouts& timeouts) { timeouts_ = timeouts; }
  [[nodiscard]] SendLimits& limits() { return limits_; }

  // Each of these may close the connection, and then returns false: the caller must not touch the
  // connection any more.

  /// Sends bytes, and copies those that the kernel does not take.
  bool send_copy(Connection* connection, const uint8_t* bytes, size_t size);
  /// Sends bytes that are sealed already, or that come before TLS: those of a handshake.
  bool send_sealed(Connection* connection, std::string bytes);
  /// Sends bytes that may be shared. They are never dropped: a connection without room closes.
  bool send(Connection* connection, const Ref<Payload>& payload) {
    return send(connection, {payload, SlowPolicy::kDisconnect, false});
  }
  /// Sends a message, which `policy` may drop when the send queue is full.
  bool send_message(Connection* connection, const Ref<Payload>& payload, SlowPolicy policy) {
    return send(connection, {payload, policy, true});
  }

  /// Collects the bytes for one connection until flush_gathered(), which sends it with one call and
  /// in one packet. Only one connection at a time is gathered.
  void gather(Connection* connection);
  void flush_gathered();
  /// Ends the gathering without sending: the bytes are the caller's.
  [[nodiscard]] std::string take_gathered();

  /// Closes when the send queue is empty; may close at once. From now on nothing more is read, and
  /// the observer's on_closing() or on_close() takes the connection out of its channels.
  void finish(Connection* connection, CloseCause cause);

  /// A message was sent, which proves the path as well as a heartbeat does: a million heartbeats
  /// every 25 s cost as much as messages. Does nothing while the connection is blocked.
  void postpone_heartbeat(Connection* connection);

  /// The socket can be written to.
  void on_writable(Connection* connection);

  /// The connection closes: drops its queued output.
  void forget(Connection* connection);

 private:
  struct Part {
    Ref<Payload> payload;
    SlowPolicy policy;
    bool is_message;
  };

  bool send(Connection* connection, const Part& part);
  sys::IoResult transmit(Connection* connection, iovec* parts, size_t count);
  [[nodiscard]] bool close_failed(Connection* connection, const sys::IoResult& result);
  [[nodiscard]] bool transmit_one(Connection* connection,
                                  const uint8_t* bytes,
                                  size_t size,
                                  size_t* sent);
  void keep_sealed(Connection* connection, std::string_view rest);
  [[nodiscard]] static bool has_sealed_output(const Connection& connection) {
    return connection.is_sealed && connection.is_busy() &&
           !connection.session->sealed_output.empty();
  }
  [[nodiscard]] bool flush_sealed(Connection* connection);
  void send_parts(Connection* connection, const std::vector<Part>& parts);
  [[nodiscard]] bool queue(Connection* connection, const Part& part, size_t offset, bool is_begun);
  void block(Connection* connection);
  [[nodiscard]] const Protocol& protocol_of(const Connection& connection) const {
    return *parts_.protocols[connection.protocol];
  }

  Parts parts_;
  Calls calls_;
  SendLimits limits_;
  Timeouts timeouts_;
  ConnectionObserver* observer_ = nullptr;
  Connection* gathering_ = nullptr;
  std::vector<Part> gathered_;
};

}  // namespace megacomet
