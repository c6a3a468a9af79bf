// What a protocol may use of the worker that runs it, one narrow part for each need. No code.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/random.h"
#include "codec/cursor.h"
#include "codec/deflate_codec.h"
#include "connection/connection.h"
#include "connection/connection_owner.h"
#include "ipc/frames.h"
#include "ipc/segment.h"

namespace megacomet {

class InputBudget;
class RejectionLog;
class Sender;
class Sessions;

/// Subscribing to channels, which are named exactly or by a pattern "prefix/*".
class SubscriptionService {
 public:
  /// Subscribes to channels, after the cursor `since` or from now on.
  ///
  /// The protocol's on_replay() is called at once or later, one or several times, with the missed
  /// messages. After the last call every later message is delivered.
  virtual void subscribe(Connection* connection,
                         const std::vector<std::string>& channels,
                         const Cursor* since) = 0;

  /// Leaves all channels.
  virtual void unsubscribe(Connection* connection) = 0;
  /// Leaves one channel. False if the connection had not subscribed to it.
  virtual bool unsubscribe(Connection* connection, std::string_view channel) = 0;

  /// The name of a channel by its index, valid until the subscriber leaves it.
  [[nodiscard]] virtual std::string_view channel_name(uint32_t channel) const = 0;

  /// The latest cursor up to which this subscriber has received everything.
  [[nodiscard]] virtual Cursor position(const Connection& connection) const = 0;

 protected:
  ~SubscriptionService() = default;
};

/// What became of a client's message. kTooFast: the client exceeds its rate. kBusy: all clients
/// exceed theirs, or the queue to the manager is full.
enum class PublishResult : uint8_t { kSent, kTooFast, kBusy };

/// Publishing by clients.
class PublishService {
 public:
  /// Sends a client's message to the manager; on_rejected() follows if the manager rejects it.
  virtual PublishResult publish(const Connection& connection, frame::Message message) = 0;

 protected:
  ~PublishService() = default;
};

/// Polls of the legacy protocol, each for one message of a mailbox.
class MailService {
 public:
  /// Requests the next message of a mailbox and hands the connection over to the mailbox protocol.
  /// False if the queue to the manager is full: nothing was done.
  [[nodiscard]] virtual bool wait_for_mail(Connection* connection, std::string_view name) = 0;

  /// The message went to the kernel or into the send queue. The manager hears of it when the
  /// connection closes.
  virtual void mail_sent(Connection* connection) = 0;

  /// The poll waits no longer: a message that is leased to it stays in the mailbox.
  virtual void stop_waiting(Connection* connection) = 0;

 protected:
  ~MailService() = default;
};

/// Filled in once, when the worker is built. Where the server speaks echo, nothing below
/// `rejections` is used.
struct Services {
  ConnectionOwner* connections = nullptr;
  Sender* sender = nullptr;
  Sessions* sessions = nullptr;
  Counters* counters = nullptr;
  RejectionLog* rejections = nullptr;

  /// Settings of the comet protocols.
  const frame::Comet* rules = nullptr;
  SubscriptionService* subscriptions = nullptr;
  PublishService* publishing = nullptr;
  MailService* mail = nullptr;
  InputBudget* input_budget = nullptr;
  /// This worker's compression, shared by all its WebSockets.
  DeflateCodec* deflate = nullptr;
  /// Jitter for retries.
  Random* random = nullptr;

  /// When the server's drain ends, on the monotonic clock; 0 before a drain.
  uint64_t drain_ends_ns = 0;
};

}  // namespace megacomet
