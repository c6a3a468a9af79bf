// Every bound and size of the native side, each with its unit and its reason.
// The file is not called limits.h, because that name can shadow the system's header.
#pragma once

#include <cstddef>
#include <cstdint>

namespace megacomet::bounds {

/// Worker processes of one server. Where a process may hold 20,000 descriptors, a million
/// connections take 56 workers. A server that needs more than 512 needs a higher file limit.
constexpr uint32_t kSlotsMax = 512;

/// Listening sockets that one worker can watch. Each costs a descriptor in every worker.
constexpr uint32_t kListenersMax = 64;

/// accept4() calls per readiness event. 128 calls take about 1 ms, the longest wait of a reader.
constexpr int kAcceptBatchMax = 128;

/// Nanoseconds of one loop iteration after which the worker accepts again (mid_iteration.h): the
/// longest wait that a busy loop adds to a new connection.
constexpr uint64_t kMidIterationNs = 10'000'000;

/// Events between two reads of the clock for it. 32 events take well below a millisecond.
constexpr uint32_t kMidIterationEvents = 32;

/// Peers that are rejected with the spare descriptor before a listener pauses at EMFILE. Few,
/// because a rejection is work too, and the pause exists to avoid work.
constexpr int kShedBatchMax = 16;

/// Milliseconds that a listener pauses when descriptors or memory run out. The first pause is
/// short, because a connection often closes soon. Each pause is twice as long as the one before,
/// so that a lasting shortage costs two wake-ups a second.
constexpr uint32_t kAcceptPauseMinMs = 50;
constexpr uint32_t kAcceptPauseMaxMs = 500;

/// Milliseconds that a peer may wait in the queue of a full worker while other workers have
/// headroom. Steering sends new peers to the others within one heartbeat (1 s). A peer that is
/// still queued then would wait until a connection of this worker closes.
constexpr uint32_t kRoomWaitMs = 3000;

/// Shortest wait for an accept token, in milliseconds. On a loaded machine a shorter timer only
/// spins.
constexpr uint32_t kAcceptTokenWaitMinMs = 10;

/// Bytes taken by one read. One buffer of this size serves a whole worker.
constexpr size_t kReadBytesMax = size_t{64} * 1024;

/// Bytes of one chunk of a slab, such as 4,096 connections: the kernel gets them back at once.
constexpr uint32_t kSlabChunkBytes = 256 * 1024;

/// Descriptors that a worker never uses for connections. Node needs some later (a report, a late
/// import), and the last accept must fail on our limit and not on the kernel's.
constexpr uint32_t kDescriptorReserve = 64;

/// Bytes of one frame on the control stream: a message of 1 MiB, its channel and its labels. A
/// greater length means that the stream is broken.
constexpr size_t kFrameBytesMax = size_t{1025} * 1024;

/// Bytes of one read from the control stream.
constexpr size_t kControlReadBytes = size_t{64} * 1024;

/// Bytes queued for a manager that does not read. Beyond it log frames are dropped and counted.
constexpr size_t kControlQueueBytesMax = size_t{4} * 1024 * 1024;

/// Subscribers in one Present frame: 160 kB, written in less than a millisecond.
constexpr uint32_t kPresencePageMax = 10'000;

/// Bytes of the users and infos in one Present frame. A page whose subscribers have more ends
/// early.
constexpr size_t kPresencePageBytesMax = size_t{512} * 1024;

/// Requests of clients (presence, history) that the manager has not answered: of one worker, and of
/// one connection. The manager answers a request in about a millisecond.
constexpr size_t kClientRequestsMax = 64;
constexpr size_t kClientRequestsPerConnection = 4;

/// Seconds after which a request of a client gets an error instead of the manager's answer: longer
/// than the manager waits for a worker.
constexpr uint16_t kClientRequestSeconds = 10;

/// Members or messages in the answer to one request of a client, and those of a request without a
/// limit.
constexpr uint32_t kClientRequestLimitMax = 1000;
constexpr uint32_t kClientRequestLimit = 100;

/// Bytes of such an answer: a thousand members with a short info each.
constexpr uint32_t kClientResponseBytesMax = 128 * 1024;

/// Longest extra delay of an EventSource after a drain, as a multiple of its usual retry delay. The
/// delay is random up to it, so that the clients of a drained worker reconnect at different times.
constexpr uint32_t kDrainRetryFactor = 4;

/// Milliseconds from the end of a drain until the next server listens, with room: a restart takes
/// about a second. Firefox gives an EventSource of another origin up when the kernel rejects it.
constexpr uint32_t kRestartMs = 3000;

/// Retry-After of a rejected client in seconds, random and evenly distributed between the two.
constexpr uint32_t kRetryAfterMinS = 5;
constexpr uint32_t kRetryAfterMaxS = 30;

/// Characters of one log message of a worker.
constexpr size_t kLogBytesMax = 512;

/// Shortest time between two log lines about the same condition, in milliseconds.
constexpr uint32_t kLogIntervalMs = 10'000;

/// Shortest time between two log lines about rejected peers of one kind, in milliseconds. A public
/// port is scanned all day, and every worker has lines of its own.
constexpr uint32_t kRejectionLogMs = 60'000;

/// Rejected requests within that time that are worth a line.
constexpr uint32_t kRejectionBurst = 20;

/// Bytes of a client's text in a log line.
constexpr size_t kLoggedTextMax = 128;

/// Seconds between two heartbeats of an idle worker. The manager calls a worker late after 3 s and
/// hung after 10 s. 56 workers use 0.27 % of a core with one heartbeat a second and 0.69 % with
/// four; idling may cost 1 %.
constexpr double kLoopHeartbeatSeconds = 1.0;

/// Longest deadline in seconds. A deadline is a 16-bit second, compared as a signed difference.
constexpr uint32_t kDeadlineSecondsMax = 32'400;

/// Seconds between two steps of a drain, each of which closes a share of the connections.
constexpr double kDrainTickSeconds = 0.01;

/// Percent of a worker's connections at which it tells the manager that it is near capacity. The
/// rest is the manager's time to steer new connections to other workers.
constexpr uint32_t kNearCapacityPercent = 95;

/// Unfinished connects of one dialer. More only fill the listener's queue.
constexpr uint32_t kDialInFlightMax = 256;

/// Connects started in one iteration of a dialer's loop.
constexpr uint32_t kDialBatchMax = 64;

/// Events of a dialer's loop between two starts of connects. One iteration can have a message for
/// each subscriber and take seconds on a busy machine. With starts between iterations only, the
/// last 60,000 of a million polls were started at a few hundred a second.
constexpr uint32_t kDialEvents = 256;

/// Unanswered requests of one dialer during verification: enough to keep the server busy, and few
/// enough that the measured time is the server's and not the queue's.
constexpr uint32_t kVerifyInFlightMax = 64;

/// Bytes of one message of the load generator: 16 MiB.
constexpr uint32_t kLoadMessageBytesMax = 16 * 1024 * 1024;

/// Latest messages whose delivery times a dialer keeps, 4 KiB each. A run that measures fan-out
/// sends few messages to many subscribers. In a stream of many messages only the count matters.
constexpr size_t kDeliveryTimesMax = 64;

/// Added to an HTTP status in a Failures frame, so that it cannot equal an errno.
constexpr int kHttpFailure = 10'000;

/// Added to the reason of an error of OpenSSL, and to an X509_V_ERR, in a Failures frame.
constexpr int kTlsFailure = 20'000;
constexpr int kTlsVerifyFailure = 40'000;

/// Seconds between two progress frames of a dialer.
constexpr double kProgressSeconds = 0.2;

/// Lingering closes of one worker: connections that got their final response and may still send.
/// Their descriptors are part of kDescriptorReserve.
constexpr size_t kLingeringCloseMax = 20;

/// Rejected peers of one worker that are being answered. Their descriptors are part of
/// kDescriptorReserve, and each may send a head of a request: 2 MiB in all. More peers wait in the
/// queue of the listener.
constexpr size_t kRejectedPeersMax = 32;

/// Milliseconds that a listener pauses while every slot for rejected peers is in use.
constexpr uint32_t kRejectedPeerWaitMs = 20;

/// Bytes that one read discards of such a connection: the cost of a peer that never stops sending.
constexpr size_t kLingeringCloseReadBytes = size_t{16} * 1024;

// Limits of addresses and users.

/// Bytes of a PROXY header. The addresses need 52 at most; the rest are extensions, such as the
/// certificate of the client. nginx has the same maximum.
constexpr size_t kProxyHeaderBytesMax = 4096;

/// Bytes of incomplete PROXY headers that a worker of an echo server keeps; one of comet has
/// --worker-input-bytes.
constexpr uint64_t kProxyInputBytesMax = uint64_t{16} * 1024 * 1024;

/// Rows of a table of addresses or users, 16 bytes each, of which the kernel gives memory only to
/// those in use; a power of two. A million connections of a million addresses fill it. An address
/// that finds no row is not limited, and counted in limit_table_full_total: a limit for each
/// address does not stop an attacker with that many.
constexpr uint32_t kLimitRows = 1U << 20;

/// Rows in which one address may stand: four cache lines. With half of the rows in use one address
/// in 30,000 finds none.
constexpr uint32_t kLimitProbes = 16;

/// Networks of trusted proxies. Each accepted connection is compared with all of them.
constexpr size_t kTrustedNetworksMax = 256;

/// Slots for rejected peers that peers over a limit of their address may use: the others are for
/// the clients of a full server. Beyond it the peers of that address are reset.
constexpr size_t kLimitedRejectedPeersMax = kRejectedPeersMax / 2;

/// Connections of one address from which on the server warns about its share of all connections.
constexpr uint32_t kCrowdMin = 100;

/// Percent of the connections, above which an address is a crowd: most likely a proxy.
constexpr uint32_t kCrowdPercent = 20;

/// Shortest time between two warnings about a crowd, in milliseconds: it lasts.
constexpr uint32_t kCrowdLogMs = 600'000;

// HTTP. Requests are small until the client is known, so that many incomplete heads fit in memory.

/// Bytes of one head, from its first byte to its empty line: the maximum of --http-header-bytes.
/// The parser counts them in 16 bits.
constexpr size_t kHttpHeadBytesMax = 65'535;

/// Fields of one head: the maximum of --http-header-count. The parser counts them in 8 bits.
constexpr size_t kHttpFieldsMax = 250;

/// Characters of a method. The longest one registered with IANA has 17.
constexpr size_t kHttpMethodBytesMax = 32;

/// Bytes of a request target. RFC 9112 section 3 recommends at least 8,000 for the whole line.
constexpr size_t kHttpTargetBytesMax = size_t{8} * 1024;

/// Characters of a host. A DNS name has at most 253, an address in brackets 47.
constexpr size_t kHttpHostBytesMax = 253;

// WebSocket, deflate, JSON. Limits of the memory and work that one client can cause.

/// Frames of one message. A frame uses no memory, but an empty one costs its sender 6 bytes and
/// this worker the work of a frame. Conformance suites send 65,536.
constexpr uint32_t kWebSocketFragmentsMax = 65'536;

/// Pings and pongs of one WebSocket between two visits of the sweep, two seconds apart. A client
/// that sends one a second may be delayed by the network for four minutes and is still served. A
/// flood costs at most 256 answers, and then a new handshake. The count is in the connection
/// record: a window that ends with the sweep needs no clock, no session and no timer.
constexpr uint16_t kWebSocketControlsMax = 256;

/// Messages that one worker inflates at the same time. Each takes 41 KiB; an idle client has none.
constexpr size_t kInflatersMax = 32;

/// Inflated bytes between two checks of the message's size limit.
constexpr size_t kInflateStepBytes = size_t{16} * 1024;

/// Members of a JSON object from a client. Our commands have up to eight. The search for duplicate
/// keys grows with the square.
constexpr size_t kJsonMembersMax = 16;

/// Bytes of a key before unescaping. Ours have up to a dozen.
constexpr size_t kJsonKeyBytesMax = 256;

/// Nested brackets in the value of a member. We skip them in a loop, but a later reader of the
/// value may recurse.
constexpr uint32_t kJsonDepthMax = 32;

// Tokens. Clients send them before they are identified.

/// Characters of a token. Identity providers issue up to some 2 kB, and with many groups 6.
constexpr size_t kTokenBytesMax = size_t{8} * 1024;

/// Claims of a token. Identity providers send up to thirty.
constexpr size_t kTokenClaimsMax = 64;

/// Bytes of a secret: as many as the hash has (RFC 7518 3.2).
constexpr size_t kSecretBytesMin = 32;

/// Bytes of a signature: RSA keys have up to 4,096 bits.
constexpr size_t kTokenSignatureBytesMax = 512;

/// Bytes of a user, of `jti`, `kid`, `iss` and of an audience: they are keys of tables.
constexpr size_t kTokenNameBytesMax = 200;

/// Bytes of `info`, which every presence answer repeats for each connection.
constexpr size_t kTokenInfoBytesMax = 1024;

/// Tokens that a worker remembers as verified, 32 bytes each; a power of two. More clients than
/// that verify again when they reconnect.
constexpr size_t kKnownTokensMax = 65'536;

/// Clients of one worker that wait for the application's decision. More than the manager asks at
/// the same time, because it knows most answers when clients reconnect.
constexpr size_t kHookWaitingMax = 1024;

/// Seconds after which a worker rejects a client that waits for a decision. The manager decides in
/// one second, unless it hangs.
constexpr uint16_t kHookWaitSeconds = 3;

/// Bytes of one header field or cookie about which the application is asked, and of a text in place
/// of a token.
constexpr size_t kHookValueBytesMax = size_t{4} * 1024;

/// Tokens for one channel in one request or command: each costs a hash, and with a public key ten
/// to a hundred times as much.
constexpr size_t kChannelTokensMax = 8;

/// Revoked users and tokens that a worker keeps; the manager has the same limit. Each takes about
/// 150 bytes.
constexpr size_t kRevocationsMax = 100'000;

/// Namespaces of one server. Their frame and the search for one stay small.
constexpr size_t kNamespacesMax = 1000;

/// Audiences of a token (RFC 7519 4.1.3).
constexpr size_t kTokenAudiencesMax = 16;

/// Names in one list of a token: its channels, and those of each action of a grant.
constexpr size_t kGrantNamesMax = 128;

// Comet. These are fixed; limits that are options arrive in the Comet frame.

/// Nanoseconds of one slice of a broadcast: the longest wait that it adds to any other event.
constexpr uint64_t kFanoutSliceNs = 1'000'000;

/// Pending messages of a subscriber in one sendmsg(), 16 bytes of stack each. The kernel's limit is
/// 1,024 (IOV_MAX). More pending messages cost another call.
constexpr size_t kPartsTogetherMax = 64;

/// Slots of the slice limiter, which is used where workers outnumber cores. A machine with more
/// cores than this has high file limits, and needs no more workers than cores.
constexpr uint32_t kSliceSlotsMax = 256;

/// Notices of a loss that all workers together send in a second: every client that receives one
/// reloads its state from the application. A million take ten seconds.
constexpr uint64_t kLossNoticesPerSecond = 100'000;

/// Deliveries between two reads of the clock, and of one channel before the next one continues.
constexpr uint32_t kFanoutBatch = 64;

/// Messages and bytes in the fan-out of one worker. Beyond either, the worker stops reading the
/// control stream until some are delivered. Fan-out needs nothing from the manager, so that ends.
constexpr size_t kFanoutMessagesMax = 65'536;
constexpr size_t kFanoutBytesMax = size_t{64} * 1024 * 1024;

/// Replay requests of one worker that the manager has not answered. Others wait in their sessions.
constexpr uint32_t kReplayRequestsMax = 256;

/// Bytes of one replay page: small, so that replays of many subscribers advance together.
constexpr uint32_t kReplayPageBytesMax = 32 * 1024;

/// Messages and bytes of a channel's recent-message cache, which answers polls that reconnect
/// within seconds.
constexpr size_t kChannelCacheMessagesMax = 16;
constexpr size_t kChannelCacheBytesMax = size_t{64} * 1024;

/// The same for all channels of a worker together. A message of 100 bytes takes 654 with its SSE
/// form, so the cache takes 5.4 MB, however many channels there are.
constexpr size_t kCacheMessagesMax = 8'192;
constexpr size_t kCacheBytesMax = size_t{4} * 1024 * 1024;

/// Channels without subscribers that a worker keeps. Beyond it a channel is dropped soon after its
/// last subscriber left. With the longest names they take 25 MB here, and 20 MB in the manager.
constexpr uint32_t kRetainedChannelsMax = 65'536;

/// Channels that a worker reports again in one step, ten steps a second, after the manager asked
/// for all of them. One step takes about 2 ms.
constexpr uint32_t kInterestStep = 16'384;

/// Patterns of one connection. The manager routes by 10,000 patterns of all clients together. One
/// client with more than that would have every message sent to its worker.
constexpr size_t kConnectionPatternsMax = 32;

/// Bytes of a channel name: it fits into a log line and into a text of a frame.
constexpr size_t kChannelBytesMax = 200;

/// Bytes of the id of a message, and of its event.
constexpr size_t kLabelBytesMax = 128;

/// Bytes of an incomplete request or message that a slow client may leave here for the whole
/// --handshake-timeout, and the seconds that a longer one may take. It has large cookies or much
/// data, and takes one round trip more than a short one.
constexpr size_t kSlowInputBytes = 8192;
constexpr uint32_t kLongInputSeconds = 2;

/// Commands of one WebSocket client that are queued while its replay request is unanswered, and
/// their bytes where twice --message-bytes are fewer.
constexpr size_t kWaitingMessagesMax = 64;
constexpr size_t kWaitingBytesMin = 65'536;

/// Seconds between two reports of changed subscriber counts to the manager.
constexpr double kInterestSeconds = 0.1;

/// Records that one key of TLS seals before it is renewed. AES-GCM is safe up to 2^24.5 (RFC 8446
/// 5.5); a renewal costs 5 µs.
constexpr uint64_t kTlsRecordsPerKey = uint64_t{1} << 23;

/// Records that one key of a peer may protect. No peer that renews its keys comes near.
constexpr uint64_t kTlsRecordsMax = uint64_t{1} << 48;

/// Data records without content in a row: each costs a decryption and gives nothing.
constexpr uint8_t kTlsEmptyRecordsMax = 32;

/// KeyUpdates of one peer in a minute: each costs two derivations.
constexpr uint8_t kTlsKeyUpdatesMax = 32;

/// Bytes of a session ticket that a client ignores.
constexpr size_t kTlsTicketBytesMax = size_t{16} * 1024;

/// Handshakes under way in one worker: 62 kB each, 32 MB in all. Other peers wait in their order.
constexpr size_t kTlsHandshakesMax = 512;

/// Objects of OpenSSL that are gone before their memory returns to the kernel, 2 MB at least.
constexpr size_t kTlsStormMin = 64;

/// Seconds from accept, or from a PROXY header, in which a peer completes its handshake. They
/// include its wait for others.
constexpr uint32_t kTlsHandshakeSeconds = 10;

/// Bytes of a peer's handshake messages. A chain of client certificates takes 4 to 8 KiB.
constexpr size_t kTlsHandshakeBytesMax = size_t{64} * 1024;

}  // namespace megacomet::bounds
