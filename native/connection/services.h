// The services of a worker for the protocols that it runs, one narrow part for each need. No code.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "auth/signed_url.h"
#include "auth/token.h"
#include "base/client_certificate.h"
#include "base/random.h"
#include "codec/cursor.h"
#include "codec/deflate_codec.h"
#include "connection/connection.h"
#include "connection/connection_owner.h"
#include "ipc/frames.h"
#include "ipc/segment.h"

namespace megacomet {

class ClientLimits;
class ClientRates;
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

/// Whether a client may publish one message more now. kTooFast: the client exceeds its rate.
/// kUserTooFast: its user does, with all connections.
enum class PublishPace : uint8_t { kAllowed, kTooFast, kUserTooFast };

/// Publishing by clients.
class PublishService {
 public:
  /// Counts a message of a client, before anything is done for it.
  [[nodiscard]] virtual PublishPace count(const Connection& connection) = 0;

  /// Sends a counted message to the manager; on_rejected() follows if the manager rejects it. False
  /// if all clients together exceed their rate, or the queue to the manager is full.
  [[nodiscard]] virtual bool publish(const Connection& connection, frame::Message message) = 0;

 protected:
  ~PublishService() = default;
};

/// What became of a client's request. kTooMany: the client has too many without an answer. kBusy:
/// all clients of this worker have, or the queue to the manager is full.
enum class RequestResult : uint8_t { kSent, kTooMany, kBusy };

/// Requests of clients that the manager answers.
class RequestService {
 public:
  /// Sends a request to the manager; on_response() follows with this `id`, unless the connection
  /// closes before.
  [[nodiscard]] virtual RequestResult request(const Connection& connection,
                                              std::string id,
                                              frame::ClientRequest request) = 0;

 protected:
  ~RequestService() = default;
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

/// The identity of clients, by their tokens, and their rights.
class AccessService {
 public:
  /// Whether the server has rules of access; else it reads no tokens.
  [[nodiscard]] virtual bool is_on() const = 0;

  /// Verifies a token and gives the connection its identity, in place of one that it had; without
  /// a fault, `channels` gets the names that the token subscribes to. After a fault nothing has
  /// changed.
  [[nodiscard]] virtual TokenFault identify(Connection* connection,
                                            std::string_view token,
                                            std::vector<std::string>* channels) = 0;

  /// Verifies a signed URL and gives the connection the identity of a client without a user, which
  /// may subscribe to exactly these channels until the URL expires. After a fault nothing has
  /// changed.
  [[nodiscard]] virtual UrlFault identify_by_url(Connection* connection,
                                                 const SignedUrl& url,
                                                 const std::vector<std::string>& channels) = 0;

  /// As identify(), for a connection that goes on with a new token of its user. `lost` gets the
  /// subscribed channels that the old grants allowed and the new ones do not.
  [[nodiscard]] virtual TokenFault refresh(Connection* connection,
                                           std::string_view token,
                                           std::vector<std::string>* lost) = 0;

  /// Verifies a token for one channel, whose name `channels` gets.
  [[nodiscard]] virtual TokenFault admit(Connection* connection,
                                         std::string_view token,
                                         std::vector<std::string>* channels) = 0;

  /// Gives the connection the identity of an application's decision, and `channels` the names that
  /// it subscribes to. kUserFull if the user has too many connections.
  [[nodiscard]] virtual TokenFault identify_as(Connection* connection,
                                               const frame::HookAnswer& answer,
                                               std::vector<std::string>* channels) = 0;

  /// As refresh(), with an application's decision.
  [[nodiscard]] virtual TokenFault refresh_as(Connection* connection,
                                              const frame::HookAnswer& answer,
                                              std::vector<std::string>* lost) = 0;

  /// Whether the connection's identity is a decision of the application, and not a token.
  [[nodiscard]] virtual bool is_by_decision(Connection* connection) = 0;

  /// Adds the channels that the connection's identity subscribes to.
  virtual void append_channels(Connection* connection, std::vector<std::string>* channels) = 0;

  /// Gives a connection without an identity that of its client certificate, which it has beneath
  /// those of its requests. kUserFull if the user has too many connections, kRevoked if it is
  /// revoked.
  [[nodiscard]] virtual TokenFault certify(Connection* connection,
                                           const ClientCertificate& certificate) = 0;

  /// The connection has no other identity any more than that of its certificate.
  virtual void forget(Connection* connection) = 0;

  /// Whether the connection may do this to a channel or pattern, by its grants, by the namespace,
  /// or because the channel is public.
  [[nodiscard]] virtual bool allows(Connection* connection,
                                    Action action,
                                    std::string_view name) = 0;

  /// Which clients may publish to a channel; kServer for all of them.
  [[nodiscard]] virtual ClientPublish client_publish(std::string_view channel) = 0;

  [[nodiscard]] virtual bool has_identity(Connection* connection) = 0;
  /// Empty without one.
  [[nodiscard]] virtual std::string_view user(Connection* connection) = 0;
  /// Seconds until the connection ends because of its token, at least 1; 0 for never.
  [[nodiscard]] virtual uint32_t ends_in_s(Connection* connection) = 0;

  /// Whether there are keys of tokens; else channels are public, or closed.
  [[nodiscard]] virtual bool takes_tokens() const = 0;
  /// Whether there are keys of signed URLs.
  [[nodiscard]] virtual bool takes_signed_urls() const = 0;
  /// Whether a mailbox is polled with a signed URL only.
  [[nodiscard]] virtual bool has_signed_mailboxes() const = 0;
  /// The name of the cookie with a token; empty for none.
  [[nodiscard]] virtual std::string_view cookie_name() const = 0;

 protected:
  ~AccessService() = default;
};

/// The application's decision about a client, with the action that the client requested.
struct HookDecision {
  HookAction action;
  /// The channels about which it was asked.
  std::vector<std::string> channels;
  frame::HookAnswer answer;

  [[nodiscard]] HookVerdict verdict() const { return static_cast<HookVerdict>(answer.verdict); }
  [[nodiscard]] bool allows(HookAction what) const {
    return action == what && verdict() == HookVerdict::kAllow;
  }
};

/// Asking the application about clients without a token.
class HookService {
 public:
  [[nodiscard]] virtual bool asks_about(HookAction action) const = 0;
  /// The header fields and cookies that a hook request has.
  [[nodiscard]] virtual const frame::Hooks& rules() const = 0;

  /// Asks about a connection. The protocol's on_decision() is called later, unless the connection
  /// closes before. False if too many clients wait: nothing was asked.
  [[nodiscard]] virtual bool ask(Connection* connection, frame::HookRequest hook_request) = 0;

 protected:
  ~HookService() = default;
};

/// Filled in once, when the worker is built. Where the server speaks echo, nothing below
/// `rejections` is used.
struct Services {
  ConnectionOwner* connections = nullptr;
  Sender* sender = nullptr;
  Sessions* sessions = nullptr;
  Counters* counters = nullptr;
  RejectionLog* rejections = nullptr;
  /// How much an address and a user may take.
  ClientLimits* limits = nullptr;

  /// Settings of the comet protocols.
  const frame::Comet* rules = nullptr;
  SubscriptionService* subscriptions = nullptr;
  PublishService* publishing = nullptr;
  RequestService* requests = nullptr;
  MailService* mail = nullptr;
  /// Null where everybody may do everything.
  AccessService* access = nullptr;
  /// Null without a hook.
  HookService* hooks = nullptr;
  InputBudget* input_budget = nullptr;
  /// This worker's compression, shared by all its WebSockets.
  DeflateCodec* deflate = nullptr;
  /// How fast a WebSocket may send messages.
  ClientRates* commands = nullptr;
  /// Jitter for retries.
  Random* random = nullptr;

  /// When the server's drain ends, on the monotonic clock; 0 before a drain.
  uint64_t drain_ends_ns = 0;
  /// Whether the server lost the engine of its cluster, and serves no clients meanwhile.
  bool is_cut_off = false;
};

}  // namespace megacomet
