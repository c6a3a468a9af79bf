// The table that a protocol fills in. Protocols never name each other.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "connection/services.h"
#include "pubsub/message.h"

namespace megacomet {

/// The protocols, each declared here and nowhere else: X(Echo, "echo") is ProtocolId::kEcho, the
/// object kEchoProtocol, and the choice `--protocol echo`. A protocol without a choice only takes
/// over connections from HTTP, or comes before another one (ProxyHeader, TlsHandshake).
// clang-format off
#define MC_PROTOCOLS(X)      \
  X(Echo, "echo")            \
  X(Http, "comet")           \
  X(Sse, "")                 \
  X(Stream, "")              \
  X(Poll, "")                \
  X(WebSocket, "")           \
  X(WebSocketEcho, "")       \
  X(Mailbox, "")             \
  X(ProxyHeader, "")         \
  X(PendingRequest, "")      \
  X(TlsHandshake, "")
// clang-format on

/// The protocols by their index in the table of a worker.
#define MC_PROTOCOL_ID(id, choice) k##id,
enum class ProtocolId : uint8_t { MC_PROTOCOLS(MC_PROTOCOL_ID) };
#undef MC_PROTOCOL_ID

#define MC_PROTOCOL_COUNT(id, choice) +1
constexpr int kProtocolCount = MC_PROTOCOLS(MC_PROTOCOL_COUNT);
#undef MC_PROTOCOL_COUNT
static_assert(kProtocolCount <= 16, "Connection::protocol has four bits");

/// Messages that a subscriber missed, in the order of their numbers.
struct Replay {
  const std::vector<Ref<Message>>& messages;
  /// Indices of the channels that the request named, each once; see channel_name().
  const std::vector<uint32_t>& channels;
  /// The cursor of a subscriber that has these messages.
  Cursor head;
  /// Whether everything after `head` will be delivered; else another part follows.
  bool is_last;
  /// Whether messages between the cursor of the request and this part are gone.
  bool is_lost;

  /// The cursor before the first message: that of a subscriber that hears of a gap, until it has
  /// the messages.
  [[nodiscard]] Cursor start() const {
    return messages.empty() ? head : Cursor{head.epoch, messages.front()->number - 1};
  }
};

/// The manager's answer to a client's request, or an error.
struct Response {
  ClientRequestKind kind;
  /// That of the request.
  std::string_view id;
  /// Empty, or a sentence for the client.
  std::string_view error;
  /// Members of a JSON object, without its braces.
  std::string_view members;
};

/// Channels that the application gives to a client, or takes away.
struct ChannelChange {
  const std::vector<std::string>& channels;
  /// Whether the client is subscribed to them; else unsubscribed.
  bool is_on;
};

/// Functions over a worker's services and one connection. Any of them may close the connection;
/// then the caller must not touch it any more. Each protocol sets the members that it needs by
/// name.
///
/// Without comet a server has no hub, and an input budget for PROXY headers alone: such a protocol
/// sends at most one response for each read, and does not use keep_input().
struct Protocol {
  /// A connection of this protocol was accepted; null where it just waits.
  void (*on_accept)(Services& services, Connection* connection) = nullptr;

  /// Bytes arrived. They are valid during the call only, and may be written to.
  void (*on_bytes)(Services& services,
                   Connection* connection,
                   uint8_t* bytes,
                   size_t size) = nullptr;

  /// The deadline passed; null closes as idle.
  void (*on_deadline)(Services& services, Connection* connection) = nullptr;

  /// The server shuts down, an operator disconnects the client, or a message timed out: ends the
  /// connection with a final response. Null closes at once.
  void (*on_disconnect)(Services& services,
                        Connection* connection,
                        CloseCause cause,
                        std::string_view reason) = nullptr;

  /// The input budget cannot hold an incomplete request: ends the connection with a final response.
  /// Null closes.
  void (*on_input_full)(Services& services, Connection* connection) = nullptr;

  /// The bytes of a message for a subscriber, shared where possible; null where none subscribes.
  Ref<Payload> (*encode)(Services& services,
                         const Connection& connection,
                         Message& message) = nullptr;

  /// The message was sent; for protocols that answer a request with it.
  void (*on_message_sent)(Services& services, Connection* connection) = nullptr;

  /// The missed messages of a subscription, or a part of them.
  void (*on_replay)(Services& services, Connection* connection, const Replay& replay) = nullptr;

  /// The manager rejected a message that the connection published; null where clients cannot
  /// publish.
  void (*on_rejected)(Services& services,
                      Connection* connection,
                      const frame::Rejected& rejected) = nullptr;

  /// The manager published a message that the connection sent with an id; null where clients cannot
  /// publish.
  void (*on_published)(Services& services,
                       Connection* connection,
                       const frame::Published& published) = nullptr;

  /// The answer to a request; null where a protocol makes none.
  void (*on_response)(Services& services,
                      Connection* connection,
                      const Response& response) = nullptr;

  /// The application changes the channels of the client; null where those of its request are fixed.
  void (*on_channels)(Services& services,
                      Connection* connection,
                      const ChannelChange& change) = nullptr;

  /// The application has decided about the connection; see HookService. Null without hook requests.
  void (*on_decision)(Services& services,
                      Connection* connection,
                      const HookDecision& decision) = nullptr;

  /// The response to a rejected peer, in the form that makes its client return. `request` has the
  /// bytes that the peer has sent. Empty if the request is incomplete and not `is_last`. Null
  /// resets the peer.
  std::string (*reject)(Services& services,
                        Rejection reason,
                        std::string_view request,
                        bool is_last) = nullptr;

  /// Any byte restarts the server's idle timeout, and no other deadline is used.
  bool uses_idle_timeout = false;

  /// The client sends first: after a long loop iteration its request is read with accept.
  bool is_read_at_accept = false;

  /// A blocked connection is not read: the protocol responds to all that it reads, so this bounds
  /// the send queue.
  bool pauses_reading = false;

  /// A message sent is as good as a heartbeat: the client does not answer heartbeats.
  bool message_is_heartbeat = false;

  /// One message is the response to a request. Slow-consumer policies do not apply to it.
  bool ends_with_message = false;
};

/// From now on another protocol reads the connection's bytes and encodes its messages.
inline void hand_over(Connection* connection, ProtocolId protocol) {
  connection->protocol = static_cast<uint8_t>(protocol) & 0xfU;
}

}  // namespace megacomet
