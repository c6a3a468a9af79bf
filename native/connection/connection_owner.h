// What other parts ask of the owner of the connections, which is the transport. No code.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "connection/close_cause.h"
#include "connection/connection.h"

namespace megacomet {

class ConnectionOwner {
 public:
  /// Closes at once and drops queued output. The record is free afterwards.
  virtual void close(Connection* connection, CloseCause cause) = 0;

  /// Ends a connection over a limit of its address with the response of `protocol`, which may wait
  /// for more than the `request` that has arrived. The record is free afterwards.
  virtual void reject(Connection* connection,
                      uint8_t protocol,
                      Rejection reason,
                      std::string_view request) = 0;

  /// Ends a connection as its protocol does: with a final response where there is one. It closes at
  /// once, or when its send queue is empty. `reason` is an operator's text for the client, or
  /// empty.
  virtual void disconnect(Connection* connection, CloseCause cause, std::string_view reason) = 0;

  /// The deadline of a connection has passed: its protocol decides.
  virtual void expire(Connection* connection) = 0;

  /// Whether disconnect() would drop queued output, because the protocol has no final response.
  [[nodiscard]] virtual bool would_lose_output(const Connection& connection) const = 0;

  /// The events to watch from now on: EV_READ, EV_WRITE or both.
  virtual void watch(Connection* connection, int events) = 0;

  /// The deadline is `seconds` from now, at most a second early for an action of the server, and at
  /// most a second late for an action of the peer. Where the protocol uses the idle timeout, that
  /// counts instead of `seconds`.
  virtual void set_deadline(Connection* connection, uint32_t seconds) = 0;

  /// Like set_deadline(), but never later than the deadline that the connection has.
  virtual void shorten_deadline(Connection* connection, uint32_t seconds) = 0;

  /// Counts a ping or pong; false if it exceeds the limit.
  [[nodiscard]] virtual bool count_control(Connection* connection) = 0;

  /// A message of the peer has begun and must be complete in `seconds`; else the connection ends
  /// with kMessageTimeout. For a message that has begun, `seconds` can only shorten its time. Only
  /// Connection::end_message() ends that time.
  virtual void begin_message(Connection* connection, uint32_t seconds) = 0;

  /// Keeps bytes of an incomplete request or message in `kept`, a member of the session. False if
  /// that exceeds the input budget: the protocol ended the connection with a final response.
  [[nodiscard]] virtual bool keep_input(Connection* connection,
                                        std::string_view bytes,
                                        std::string* kept) = 0;

  /// From now on the connection speaks this protocol, as if it had just been accepted.
  virtual void begin(Connection* connection, uint8_t protocol) = 0;

  /// Gives bytes of a peer to its TLS handshake. When that is done, the connection begins the
  /// protocol of its `mode`, and everything that it sends and receives is sealed.
  virtual void shake(Connection* connection, const uint8_t* bytes, size_t size) = 0;
  /// Whether the peer has sent bytes of its handshake before.
  [[nodiscard]] virtual bool is_shaking(const Connection& connection) const = 0;

  /// Hands kept bytes to the connection's protocol, as if they had arrived now.
  virtual void feed(Connection* connection, std::string bytes) = 0;

 protected:
  ~ConnectionOwner() = default;
};

/// Events in a connection's life, for the part that keeps subscriptions.
class ConnectionObserver {
 public:
  /// The server is about to disconnect it: sends the messages that were published for it before.
  /// May close it.
  virtual void on_disconnecting(Connection* connection) = 0;
  /// Nothing more will be delivered to it; it only waits until its send queue is empty.
  virtual void on_closing(Connection* connection) = 0;
  /// Its record is about to be freed.
  virtual void on_close(Connection* connection) = 0;
  /// Its send queue is empty again.
  virtual void on_output_sent(Connection* connection) = 0;

 protected:
  ~ConnectionObserver() = default;
};

}  // namespace megacomet
