// What a protocol may ask of the worker that runs it. Interfaces, no code.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "codec/cursor.h"
#include "codec/deflate_codec.h"
#include "connection/connection.h"
#include "ipc/frames.h"
#include "ipc/segment.h"

namespace megacomet {

enum class CloseCause : uint8_t {
  kPeer,
  /// The peer said that it leaves, and was answered; its side is still open.
  kFinalResponse,
  kReset,
  kIdle,
  kDrain,
  kWatchFailed,
  /// Our answer was the last one of this connection.
  kDone,
  /// It broke a rule of its protocol.
  kRejected,
  /// It did not take what was sent.
  kSlow,
  /// It did not answer a heartbeat.
  kDead,
  /// An operator asked for it.
  kKicked,
  /// A message of it was not whole in time.
  kMessageTimeout,
};

/// The protocols of a worker, by their index in its table.
enum class ProtocolId : uint8_t {
  kEcho,
  kHttp,
  kSse,
  kStream,
  kPoll,
  kWebSocket,
  kWebSocketEcho,
  kMailbox
};

class CometServices;
class InputBudget;
class Mailboxes;

class Services {
 public:
  /// Sends bytes in order, after whatever the connection still owes.
  ///
  /// One attempt is made at once and the rest is copied. May close the connection (the peer reset
  /// it): the caller must not touch it afterwards.
  virtual void send(Connection* connection, const uint8_t* bytes, size_t size) = 0;

  /// Closes at once; bytes still owed are dropped. The record is free afterwards.
  virtual void close(Connection* connection, CloseCause cause) = 0;

  /// Ends a connection as its protocol does when the server leaves, an operator asks or a message
  /// does not end: with a word of farewell where there is one. It may close at once, or when its
  /// send queue is empty.
  virtual void disconnect(Connection* connection, CloseCause cause) = 0;

  /// The deadline of a connection has passed: its protocol decides.
  virtual void expire(Connection* connection) = 0;

  virtual Counters& counters() = 0;

  /// Null where the server speaks no comet.
  virtual CometServices* comet() = 0;

 protected:
  ~Services() = default;
};

/// What the comet protocols may ask besides.
class CometServices {
 public:
  [[nodiscard]] virtual const frame::Comet& rules() const = 0;

  /// The number of the last message that came to this worker.
  [[nodiscard]] virtual Cursor head() const = 0;

  /// The connection's session, made if it has none.
  virtual Session* session(Connection* connection) = 0;

  /// Lets the session go if nothing needs it any more. Call it last; the session may be gone.
  virtual void settle(Connection* connection) = 0;

  /// As Services::send(), for connections of comet, and for bytes that many share.
  ///
  /// `is_message` bytes may be dropped by `policy` when the send queue is full; others close the
  /// connection then. False if it was closed.
  virtual bool send(Connection* connection,
                    const Ref<Payload>& payload,
                    bool is_message,
                    SlowPolicy policy) = 0;

  /// Keeps what is sent to a connection until release(), which sends it as one: each send() is a
  /// call and a packet of its own. Nobody else's turn comes between.
  virtual void gather(Connection* connection) = 0;
  virtual void release() = 0;

  /// Closes when all that is owed was sent, and reads nothing more. May close at once.
  virtual void finish(Connection* connection, CloseCause cause) = 0;

  /// From now on another protocol reads the connection's bytes and gets its messages.
  virtual void hand_over(Connection* connection, ProtocolId protocol) = 0;

  /// Seconds from now, up to two later; on_deadline() comes then.
  virtual void set_deadline(Connection* connection, uint32_t seconds) = 0;

  /// A message of the connection has begun, and has so many seconds until it is whole; else
  /// on_disconnect() comes. Nothing prolongs that but end_message().
  virtual void begin_message(Connection* connection, uint32_t seconds) = 0;

  /// After a message, either way: a path that carried bytes needs no heartbeat for now, and of a
  /// million that come every 25 s each costs as much as a message. Nothing while something is owed,
  /// or after a close.
  virtual void put_off_heartbeat(Connection* connection) = 0;

  /// Subscribes to channels, given as exact names or patterns, after `since` or from now on.
  ///
  /// The protocol's on_page() is called at once or later, one or several times, with what was
  /// missed; the last call says that everything after its head comes by itself.
  virtual void subscribe(Connection* connection,
                         const std::vector<std::string>& channels,
                         const Cursor* since) = 0;

  /// Leaves all channels, or one. False if it was not subscribed to that one.
  virtual void unsubscribe(Connection* connection) = 0;
  virtual bool unsubscribe(Connection* connection, std::string_view channel) = 0;

  /// The name of a channel by its row, valid until the subscriber leaves it.
  [[nodiscard]] virtual std::string_view name_of(uint32_t row) const = 0;

  /// A place up to which this subscriber has had everything, as far on as can be said.
  [[nodiscard]] virtual Cursor position(const Connection& connection) const = 0;

  /// Seconds after which to try again, by chance: who was turned away together comes back apart.
  virtual uint32_t retry_after_s() = 0;

  /// What an operator says to those who are kicked just now; empty for nothing.
  [[nodiscard]] virtual std::string_view kick_reason() const = 0;

  /// A number from 0 to `bound` - 1, evenly, for waits that differ from client to client.
  virtual uint32_t random(uint32_t bound) = 0;

  /// Gives the connection's protocol bytes that came before it, as if they came now.
  virtual void resume(Connection* connection, std::string bytes) = 0;

  /// Where clients' bytes wait for their rest, within this worker's budget.
  virtual InputBudget& input_budget() = 0;

  /// This worker's compression, shared by all its WebSockets.
  virtual DeflateCodec& deflate() = 0;

  /// The polls of this worker that wait for a message of a mailbox.
  virtual Mailboxes& mailboxes() = 0;

  /// Hands a client's message to the manager; on_rejected() comes later if that does not take it.
  /// False when its queue is full.
  virtual bool publish(const Connection& connection, frame::Message message) = 0;

 protected:
  ~CometServices() = default;
};

}  // namespace megacomet
