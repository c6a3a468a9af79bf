// The frames between the manager and its workers: their fields and the values of their
// enumerations, once. lib/ipc/frames.ts is generated from this file: run `npm run generate:frames`
// after a change.
#pragma once

#include "ipc/frame_codec.h"

namespace megacomet {

/// The values of `Log.level`.
enum class LogLevel : uint8_t { kInfo, kWarn, kError };

/// Which processes hold a listening socket; this decides how a drain treats it. The values of
/// `Configure.listeners`. kOwn: this worker alone; it empties the queue and shuts the socket down.
/// kShared: all workers (a unix socket); they empty the queue, and the manager closes the socket.
/// kInherited: the init system too; the queue is left for the next service.
enum class Ownership : uint8_t { kOwn, kShared, kInherited };

/// The policy for a subscriber whose send queue is full when a message arrives: it is disconnected,
/// loses its oldest pending message, or keeps only the newest one.
enum class SlowPolicy : uint8_t { kDisconnect, kDropOldest, kLatestOnly };

/// How a token is signed (RFC 7518 3.1, RFC 8037 3.1). The values of `Access.algorithms`: the
/// configuration decides, never the token.
enum class TokenAlgorithm : uint8_t { kHs256, kRs256, kEs256, kEdDsa };

/// Which WebSocket clients may publish to a channel. kServer: the server's options decide.
/// kSubscribers: those that subscribe to it, or have a grant.
enum class ClientPublish : uint8_t { kServer, kNobody, kSubscribers, kGrant };

/// Bits of `Namespaces.flags`. kPublic, kPrivate: whether everybody may subscribe; with neither the
/// server's options decide. kPresence: subscribers can be listed. kJoinLeave: the worker sends
/// Presence frames. kClientHistory: clients may list the history, if a grant allows it.
namespace namespace_flag {
constexpr uint8_t kPublic = 1;
constexpr uint8_t kPrivate = 2;
constexpr uint8_t kPresence = 4;
constexpr uint8_t kJoinLeave = 8;
constexpr uint8_t kClientHistory = 16;
}  // namespace namespace_flag

/// The requests of a client to the manager. The values of `ClientRequest.kind`.
enum class ClientRequestKind : uint8_t { kPresence, kHistory };

/// The actions of a client without a token, about which the application is asked. The values of
/// `HookRequest.action`.
enum class HookAction : uint8_t { kConnect, kSubscribe, kPublish, kRefresh };

/// The values of `HookAnswer.verdict`. kUnavailable: the application did not decide; the client may
/// retry.
enum class HookVerdict : uint8_t { kAllow, kDeny, kUnavailable };

/// Bits of the `flags` of a Publish or Message frame. kBinary: the data are bytes, not text.
/// kPolicyMask, shifted by kPolicyShift: a SlowPolicy. kEphemeral: the history may drop the message
/// before others of its channel, so no recent-message cache keeps it.
namespace message_flag {
constexpr uint8_t kBinary = 1;
constexpr uint8_t kPolicyShift = 1;
constexpr uint8_t kPolicyMask = 3;
constexpr uint8_t kEphemeral = 8;
}  // namespace message_flag

/// Bits of the `flags` of a ReplayPage frame. kLast: the page reaches the head, so the subscription
/// is live after it. kLost: messages between the cursor and the page are gone.
namespace replay_page_flag {
constexpr uint8_t kLast = 1;
constexpr uint8_t kLost = 2;
}  // namespace replay_page_flag

/// Bits of the `flags` of a Comet frame. kWebSocketEcho: a plain WebSocket echo has its own path.
/// kClientsPublish: clients may publish. kMailboxes: a path that ends in ".js" is a mailbox.
/// kWebSocketCompression: permessage-deflate is accepted.
namespace comet_flag {
constexpr uint8_t kWebSocketEcho = 1;
constexpr uint8_t kClientsPublish = 2;
constexpr uint8_t kMailboxes = 4;
constexpr uint8_t kWebSocketCompression = 8;
}  // namespace comet_flag

/// Bits of the `flags` of an Access frame. kRemoteKeys: some keys are those of --token-jwks-url, so
/// an unknown key may become known. kSignedMailboxes: a mailbox is polled with a signed URL only.
/// kKeysPending: the manager has not fetched them yet, or long ago. kNoExpiry: tokens without `exp`
/// count. kCertificates: clients have certificates, whose subjects are users.
namespace access_flag {
constexpr uint8_t kRemoteKeys = 1;
constexpr uint8_t kKeysPending = 2;
constexpr uint8_t kSignedMailboxes = 4;
constexpr uint8_t kNoExpiry = 8;
constexpr uint8_t kCertificates = 16;
}  // namespace access_flag

/// Bits of the `flags` of a Limits frame. kAddresses: connections are counted by address.
/// kPublicConnections, kPublicHandshakes: the limit does not hold for private addresses; with both,
/// loopback is not even counted.
namespace limit_flag {
constexpr uint8_t kAddresses = 1;
constexpr uint8_t kPublicConnections = 2;
constexpr uint8_t kPublicHandshakes = 4;
}  // namespace limit_flag

/// Bits of the `listener_flags` of a Configure frame. kProxyHeader: every connection of the
/// listener begins with a PROXY header. kTls: with a TLS handshake, after that header.
namespace listener_flag {
constexpr uint8_t kProxyHeader = 1;
constexpr uint8_t kTls = 2;
}  // namespace listener_flag

// From the manager to a worker.

/// The first command of a worker. `parent` is the manager's pid; the server has `slots` workers.
/// `listeners` has an Ownership for each listener that the worker inherits, and `listener_flags` a
/// set of listener_flag for each. Limits and rates are this worker's share.
#define MC_CONFIGURE(F)     \
  F(u32, parent)            \
  F(u32, slots)             \
  F(u32, connections_max)   \
  F(u32, idle_timeout_s)    \
  F(u32, accept_rate_milli) \
  F(text, protocol)         \
  F(numbers, listeners)     \
  F(numbers, listener_flags)

/// Settings that change while a worker runs.
#define MC_ADJUST(F)      \
  F(u32, connections_max) \
  F(u32, idle_timeout_s)  \
  F(u32, accept_rate_milli)

/// The manager has shared the room of the server again, and the worker's allowance may have
/// changed. `is_server_full`: no worker has room.
#define MC_ROOM(F) F(u8, is_server_full)

/// Starts (`on` 1) or stops (0) accepting on one listener.
#define MC_WATCH(F) \
  F(u32, listener)  \
  F(u8, on)

/// Accept no new connection, close the open ones evenly over `drain_ms`, then exit.
#define MC_DRAIN(F) F(u32, drain_ms)

/// The server lost the engine of its cluster (`is_on` 1) or has it again (0). Meanwhile the worker
/// rejects new connections, and closes the open ones evenly over `close_ms`.
#define MC_CUT_OFF(F) \
  F(u8, is_on)        \
  F(u32, close_ms)

/// Settings of the comet protocol, sent before Configure. `flags` is a set of comet_flag. At most
/// `slices_max` workers send a slice of a broadcast at the same time; 0 means no limit. `origins`
/// may open a WebSocket and read responses; "*" is any origin. `subprotocols` of WebSocket are
/// accepted.
#define MC_COMET(F)                   \
  F(u64, epoch)                       \
  F(u32, heartbeat_s)                 \
  F(u32, poll_timeout_s)              \
  F(u32, handshake_timeout_s)         \
  F(u32, keep_alive_timeout_s)        \
  F(u32, http_head_bytes_max)         \
  F(u32, http_fields_max)             \
  F(u32, write_timeout_s)             \
  F(u32, channel_retention_s)         \
  F(u32, retry_ms)                    \
  F(u32, message_bytes_max)           \
  F(u32, send_queue_bytes_max)        \
  F(u32, channels_per_connection_max) \
  F(u32, client_publish_rate)         \
  F(u32, all_clients_publish_rate)    \
  F(u64, worker_send_queue_bytes_max) \
  F(u64, worker_input_bytes_max)      \
  F(u32, slices_max)                  \
  F(u8, flags)                        \
  F(texts, origins)                   \
  F(texts, subprotocols)

/// The access rules of the comet protocols: sent before Configure, and again when keys change.
/// Without it everybody may do everything. `algorithms` has a TokenAlgorithm for each key,
/// `key_ids` its `kid` or an empty text, and `keys` its secret or public key (DER) in base64url.
/// `issuer`, `audience` and `cookie` are empty for none. Everybody may subscribe to the names and
/// patterns of `publics`. `url_keys` are the secrets of signed URLs in base64url. `flags` is a set
/// of access_flag.
#define MC_ACCESS(F)     \
  F(u8, flags)           \
  F(texts, url_keys)     \
  F(numbers, algorithms) \
  F(texts, key_ids)      \
  F(texts, keys)         \
  F(text, issuer)        \
  F(text, audience)      \
  F(text, cookie)        \
  F(u32, leeway_s)       \
  F(texts, publics)

/// The options of channels by prefix, sent before Configure if there are any, and again when they
/// change. A channel has those of its longest prefix, which ends in "/" or is empty. `flags` has a
/// set of namespace_flag for each prefix, and `client_publish` a ClientPublish.
#define MC_NAMESPACES(F) \
  F(texts, prefixes)     \
  F(numbers, flags)      \
  F(numbers, client_publish)

/// The manager has fetched the keys of --token-jwks-url because of an UnknownKey frame. For
/// `seconds` from now a key that is still unknown is not one of the issuer.
#define MC_KEYS_CHECKED(F) F(u32, seconds)

/// How much an address, a user or a connection may take, sent before Configure. 0 means no limit,
/// and rates are per second. `key` is the same for all workers, which count in the set `tables` of
/// the shared memory. `trusted` has the networks of proxies, and "unix" for unix sockets. A PROXY
/// header must be complete after `proxy_timeout_s`.
#define MC_LIMITS(F)             \
  F(u8, flags)                   \
  F(u8, tables)                  \
  F(u64, key_first)              \
  F(u64, key_second)             \
  F(u32, proxy_timeout_s)        \
  F(u32, address_connections)    \
  F(u32, address_handshake_rate) \
  F(u32, user_connections)       \
  F(u32, user_publish_rate)      \
  F(u32, command_rate)           \
  F(texts, trusted)

/// TLS of the listeners with listener_flag::kTls: sent before Configure if there is one, and again
/// when certificates change. `chains` and `keys` are PEM, one of each for a certificate, the first
/// for clients that name no known host. `names` are host names in lower case, which may begin with
/// "*.", and `owners` the index of the certificate of each. `groups`, `ciphers` (of TLS 1.2) and
/// `suites` (of TLS 1.3) are lists as OpenSSL reads them, empty for its defaults. `client_ca` is
/// PEM, empty if clients need no certificate. At most `tls12_connections_max` connections use TLS
/// 1.2; 0 allows none.
#define MC_TLS(F)               \
  F(u32, tls12_connections_max) \
  F(text, groups)               \
  F(text, ciphers)              \
  F(text, suites)               \
  F(text, client_ca)            \
  F(texts, chains)              \
  F(texts, keys)                \
  F(texts, names)               \
  F(numbers, owners)

/// The keys of TLS session tickets, the same for all workers: sent before Tls, and again when they
/// change. Each has 16 bytes of name, 32 for AES-256 and 32 for HMAC-SHA-256. The first one makes
/// tickets, and all accept them: the present one, the one before, and the next.
#define MC_TLS_TICKETS(F) F(blob, keys)

/// A worker died, and the connections that it counted are gone: count all again, in the set
/// `tables`, which is empty.
#define MC_RECOUNT(F) F(u8, tables)

/// The actions that the application decides, sent before Configure; without it, none. `actions` are
/// values of HookAction. A request about a client has the values of these header fields and
/// cookies.
#define MC_HOOKS(F)   \
  F(numbers, actions) \
  F(texts, headers)   \
  F(texts, cookies)

/// The application's decision about a HookRequest, whose number it repeats. `status` of a denial is
/// 401 or 403, and `reason` a sentence for the client. The other fields are the client's identity,
/// if it may connect or refresh: `expires_at_s` is a second of the epoch, 0 for never; the names of
/// its grants; the `channels` that it is subscribed to; `info` is JSON, or empty.
#define MC_HOOK_ANSWER(F) \
  F(u32, request)         \
  F(u8, verdict)          \
  F(u32, status)          \
  F(text, reason)         \
  F(text, user)           \
  F(u32, expires_at_s)    \
  F(texts, subscribe)     \
  F(texts, publish)       \
  F(texts, presence)      \
  F(texts, history)       \
  F(texts, channels)      \
  F(text, info)

/// Tokens that count no longer, and whose connections end: those of `user`, or the one with the
/// `jti` `id`, that were issued at or before `before_s`. Kept until `ends_at_s`. Times are seconds
/// of the epoch.
#define MC_REVOKE(F) \
  F(text, user)      \
  F(text, id)        \
  F(u32, before_s)   \
  F(u32, ends_at_s)

/// Disconnect every connection of a user. `reason` as for Kick.
#define MC_DISCONNECT_USER(F) \
  F(text, user)               \
  F(text, reason)

/// One message with its number, for every subscriber of `channel`. `flags` is a set of
/// message_flag. A ReplayPage contains the same frames.
#define MC_PUBLISH(F) \
  F(u64, number)      \
  F(u8, flags)        \
  F(u32, spread_ms)   \
  F(text, channel)    \
  F(text, id)         \
  F(text, event)      \
  F(blob, data)

/// Messages up to the number `to` were lost before this server received them: every subscriber that
/// has not received everything up to there is notified. `epoch` is that of all later cursors. `to`
/// is 0 where an epoch begins and nothing was lost.
#define MC_LOST(F) \
  F(u64, to)       \
  F(u64, epoch)

/// The answer to a ReplayRequest, for the connection `fd` if it still has that `generation`.
/// `messages` are whole Publish frames in the order of their numbers, all above the requested
/// one. `head` is the last number that the page covers. `flags` is a set of replay_page_flag;
/// with kLast, all later messages arrive as Publish frames.
#define MC_REPLAY_PAGE(F) \
  F(u32, fd)              \
  F(u32, generation)      \
  F(u8, flags)            \
  F(u64, head)            \
  F(blob, messages)

/// Disconnect every subscriber of a channel, or all connections if `channel` is empty.
#define MC_KICK(F) \
  F(text, channel) \
  F(text, reason)

/// Subscribe (`on` 1) every connection of a user that may change its channels to `channels`, or
/// unsubscribe it (0). A connection with fixed channels that has one of them is disconnected by 0.
#define MC_USER_CHANNELS(F) \
  F(text, user)             \
  F(texts, channels)        \
  F(u8, on)

/// The answer to a ClientRequest: the members of a JSON object, or an error.
#define MC_CLIENT_RESPONSE(F) \
  F(u32, request)             \
  F(text, error)              \
  F(blob, members)

/// A Message with an id was published under this number. Ignored as Rejected is.
#define MC_PUBLISHED(F) \
  F(u32, fd)            \
  F(u32, generation)    \
  F(text, channel)      \
  F(text, id)           \
  F(u64, number)

/// Whether to send a Presence frame for every subscriber that joins or leaves.
#define MC_PRESENCE_EVENTS(F) F(u8, on)

/// Asks for the subscribers of a channel whose descriptor is less than `below`. The answers
/// repeat `request`.
#define MC_QUERY(F) \
  F(u32, request)   \
  F(text, channel)  \
  F(u32, below)

/// Disconnect one connection if it still has that generation. `reason` as for Kick. The answer is a
/// Disconnected frame with the same `request`.
#define MC_DISCONNECT(F) \
  F(u32, request)        \
  F(u32, fd)             \
  F(u32, generation)     \
  F(text, reason)

/// A Message of the connection `fd` was not published. Ignored if the connection no longer has
/// that `generation`. `error` is a sentence for the client. `channel` and `id` are those of the
/// message.
#define MC_REJECTED(F) \
  F(u32, fd)           \
  F(u32, generation)   \
  F(text, channel)     \
  F(text, id)          \
  F(text, error)

/// Report the interest in every channel again, and then InterestEnd with the same `request`.
#define MC_INTEREST_REQUEST(F) F(u32, request)

/// A message of a mailbox, leased to the poll that sent MailboxPoll. The worker answers
/// MailboxAck or MailboxNack, exactly once, however the poll ends.
#define MC_MAILBOX_LEASE(F) \
  F(u32, fd)                \
  F(u32, generation)        \
  F(blob, data)

// From a worker to the manager.

/// Clients presented `tokens` tokens whose keys are unknown since the last such frame, of which a
/// worker sends at most one a second.
#define MC_UNKNOWN_KEY(F) F(u32, tokens)

/// The worker is configured and waits for Watch.
#define MC_READY(F)   \
  F(text, version)    \
  F(u64, layout)      \
  F(u32, descriptors) \
  F(u32, connections_max)

/// A line for the manager's log. `error` is an errno value, 0 if there is none.
#define MC_LOG(F)  \
  F(u8, level)     \
  F(text, message) \
  F(u32, error)    \
  F(u32, suppressed)

/// The worker has come near its limit, a listener waits for room, or a connection of a full server
/// has closed: the manager steers and shares the room again, and answers with Room.
#define MC_CAPACITY_CHANGE(F) F(u32, connections)

/// The last frame of a drained worker.
#define MC_GOODBYE(F) F(u32, closed)

/// The number of subscribers that this worker has for a channel, or for the prefix pattern
/// "name*". Sent before the ReplayRequest of the first subscriber. `wanted` is 0 after --channel-
/// retention: the worker needs no more messages.
#define MC_INTEREST(F) \
  F(text, channel)     \
  F(u32, count)        \
  F(u8, wanted)

/// Every channel was reported after the InterestRequest with this number.
#define MC_INTEREST_END(F) F(u32, request)

/// A subscriber joined (`present` 1) or left (0). Sent while presence events are on. `user` and
/// `info` are claims of its token, empty without one; `info` is JSON.
#define MC_PRESENCE(F) \
  F(u8, present)       \
  F(u32, fd)           \
  F(u32, generation)   \
  F(text, channel)     \
  F(text, user)        \
  F(text, info)

/// Some subscribers of the channel of a Query, as triples of descriptor, generation and owner: 1
/// for the first of `users` and `infos`, 0 for a connection without a token. More have descriptors
/// less than `below`; 0 ends the list.
#define MC_PRESENT(F) \
  F(u32, request)     \
  F(u32, below)       \
  F(numbers, members) \
  F(texts, users)     \
  F(texts, infos)

/// The answer to a Disconnect: 1 connection was disconnected, or 0 because it had ended.
#define MC_DISCONNECTED(F) \
  F(u32, request)          \
  F(u32, connections)

/// A client requests what only the manager knows. `kind` is a ClientRequestKind, `channel` a name
/// or pattern. A history begins after `number` of `epoch` (`has_since` 1) or with the oldest
/// message. The answer is one ClientResponse with the same `request`, of at most `limit` rows and
/// about `bytes_max` bytes.
#define MC_CLIENT_REQUEST(F) \
  F(u32, request)            \
  F(u8, kind)                \
  F(text, channel)           \
  F(u8, has_since)           \
  F(u64, epoch)              \
  F(u64, number)             \
  F(u32, limit)              \
  F(u32, bytes_max)

/// A subscriber requests the messages on `channels` after `number` of `epoch` (`has_since` 1), or
/// only later messages (0). The answer is a ReplayPage of about `bytes_max`.
#define MC_REPLAY_REQUEST(F) \
  F(u32, fd)                 \
  F(u32, generation)         \
  F(u8, has_since)           \
  F(u64, epoch)              \
  F(u64, number)             \
  F(u32, bytes_max)          \
  F(texts, channels)

/// A poll waits for a message of the mailbox `name`.
#define MC_MAILBOX_POLL(F) \
  F(u32, fd)               \
  F(u32, generation)       \
  F(text, name)

/// The kernel accepted the last byte of the leased message. The poll is over.
#define MC_MAILBOX_ACK(F) \
  F(u32, fd)              \
  F(u32, generation)

/// The poll ended before that. A message that is leased to it, or that was sent to it meanwhile,
/// stays in the mailbox.
#define MC_MAILBOX_NACK(F) \
  F(u32, fd)               \
  F(u32, generation)

/// A client without a token waits for the application's decision. `action` is a HookAction.
/// `transport` is sse, stream, poll or websocket; `address` the client's, empty for a unix socket.
/// `token` is the credential that the client presents in place of a token, or empty. A name and the
/// value at the same index belong together; values that the client did not send are left out.
#define MC_HOOK_REQUEST(F) \
  F(u32, request)          \
  F(u8, action)            \
  F(text, transport)       \
  F(text, address)         \
  F(text, user)            \
  F(text, token)           \
  F(texts, channels)       \
  F(texts, header_names)   \
  F(texts, header_values)  \
  F(texts, cookie_names)   \
  F(texts, cookie_values)

/// A client published a message; the server allows that. A Rejected frame reports a message that
/// was not published; a Published frame one that was, if it has an `id`.
#define MC_MESSAGE(F) \
  F(u32, fd)          \
  F(u32, generation)  \
  F(u32, token)       \
  F(u8, flags)        \
  F(text, channel)    \
  F(text, id)         \
  F(text, event)      \
  F(blob, data)

#define MC_FRAMES(X)                                            \
  X(kConfigure, 1, Configure, MC_CONFIGURE)                     \
  X(kAdjust, 2, Adjust, MC_ADJUST)                              \
  X(kWatch, 3, Watch, MC_WATCH)                                 \
  X(kDrain, 4, Drain, MC_DRAIN)                                 \
  X(kComet, 5, Comet, MC_COMET)                                 \
  X(kPublish, 6, Publish, MC_PUBLISH)                           \
  X(kLost, 48, Lost, MC_LOST)                                   \
  X(kCutOff, 49, CutOff, MC_CUT_OFF)                            \
  X(kReplayPage, 7, ReplayPage, MC_REPLAY_PAGE)                 \
  X(kKick, 8, Kick, MC_KICK)                                    \
  X(kMailboxLease, 12, MailboxLease, MC_MAILBOX_LEASE)          \
  X(kPresenceEvents, 9, PresenceEvents, MC_PRESENCE_EVENTS)     \
  X(kQuery, 10, Query, MC_QUERY)                                \
  X(kDisconnect, 11, Disconnect, MC_DISCONNECT)                 \
  X(kRejected, 13, Rejected, MC_REJECTED)                       \
  X(kRoom, 14, Room, MC_ROOM)                                   \
  X(kAccess, 29, Access, MC_ACCESS)                             \
  X(kRevoke, 30, Revoke, MC_REVOKE)                             \
  X(kDisconnectUser, 31, DisconnectUser, MC_DISCONNECT_USER)    \
  X(kNamespaces, 42, Namespaces, MC_NAMESPACES)                 \
  X(kUserChannels, 38, UserChannels, MC_USER_CHANNELS)          \
  X(kClientResponse, 39, ClientResponse, MC_CLIENT_RESPONSE)    \
  X(kPublished, 40, Published, MC_PUBLISHED)                    \
  X(kKeysChecked, 36, KeysChecked, MC_KEYS_CHECKED)             \
  X(kLimits, 60, Limits, MC_LIMITS)                             \
  X(kTls, 62, Tls, MC_TLS)                                      \
  X(kTlsTickets, 63, TlsTickets, MC_TLS_TICKETS)                \
  X(kRecount, 61, Recount, MC_RECOUNT)                          \
  X(kInterestRequest, 15, InterestRequest, MC_INTEREST_REQUEST) \
  X(kReady, 16, Ready, MC_READY)                                \
  X(kLog, 17, Log, MC_LOG)                                      \
  X(kCapacityChange, 18, CapacityChange, MC_CAPACITY_CHANGE)    \
  X(kGoodbye, 19, Goodbye, MC_GOODBYE)                          \
  X(kInterest, 20, Interest, MC_INTEREST)                       \
  X(kReplayRequest, 21, ReplayRequest, MC_REPLAY_REQUEST)       \
  X(kMessage, 22, Message, MC_MESSAGE)                          \
  X(kPresence, 23, Presence, MC_PRESENCE)                       \
  X(kPresent, 24, Present, MC_PRESENT)                          \
  X(kDisconnected, 32, Disconnected, MC_DISCONNECTED)           \
  X(kClientRequest, 41, ClientRequest, MC_CLIENT_REQUEST)       \
  X(kInterestEnd, 25, InterestEnd, MC_INTEREST_END)             \
  X(kMailboxPoll, 26, MailboxPoll, MC_MAILBOX_POLL)             \
  X(kMailboxAck, 27, MailboxAck, MC_MAILBOX_ACK)                \
  X(kMailboxNack, 28, MailboxNack, MC_MAILBOX_NACK)             \
  X(kUnknownKey, 37, UnknownKey, MC_UNKNOWN_KEY)                \
  X(kHooks, 45, Hooks, MC_HOOKS)                                \
  X(kHookRequest, 46, HookRequest, MC_HOOK_REQUEST)             \
  X(kHookAnswer, 47, HookAnswer, MC_HOOK_ANSWER)

enum class FrameType : uint8_t { MC_FRAMES(MC_FRAME_TYPE) };

namespace frame {
MC_FRAMES(MC_FRAME_STRUCT)
}  // namespace frame

constexpr char kFramesText[] = MC_FRAMES(MC_FRAME_TEXT);

}  // namespace megacomet
