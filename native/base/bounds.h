// Every bound and size of the native side, each with its unit and its reason.
// Named so, and not limits.h, because that name can shadow the system's header.
#pragma once

#include <cstddef>
#include <cstdint>

namespace megacomet::bounds {

/// Worker processes of one server. One process may hold 20,000 descriptors on a small box, and a
/// million then takes 56; more than this means that a file limit should be raised instead.
constexpr uint32_t kSlotsMax = 512;

/// Listening sockets that one worker can watch. Each costs a descriptor in every worker.
constexpr uint32_t kListenersMax = 64;

/// accept4() calls per readiness event. 128 take about 1 ms, so readers wait no longer than that.
constexpr int kAcceptBatchMax = 128;

/// A turn that lasts longer accepts again, each time, and looks at the clock between so many
/// events. 18,000 polls that come back are one turn of 150 ms: those who connected meanwhile waited
/// for up to 170 ms, at p99 106, and with this and their requests read at once 30.
constexpr uint64_t kMidIterationNs = 10'000'000;
constexpr uint32_t kMidIterationEvents = 32;

/// Peers that are turned away with the spare descriptor before a listener pauses at EMFILE.
/// Small, because refusing is work too, and the point of the pause is to do none.
constexpr int kShedBatchMax = 16;

/// Pause of a listener that ran out of descriptors or memory: it starts short, since a close is
/// often near, and doubles so that a lasting shortage costs two wake-ups a second.
constexpr uint32_t kAcceptPauseMinMs = 50;
constexpr uint32_t kAcceptPauseMaxMs = 500;

/// How long peers wait in the queue of a full worker where others have room. New ones are steered
/// away within a beat (1 s); what is left in the queue then would wait until somebody leaves.
constexpr uint32_t kRoomWaitMs = 3000;

/// Shortest wait for an accept token: below the clock tick of a loaded box a timer only spins.
constexpr uint32_t kAcceptTokenWaitMinMs = 10;

/// Bytes taken by one read. One buffer of this size serves a whole worker.
constexpr size_t kReadBytesMax = size_t{64} * 1024;

/// Bytes that may wait for a slow peer. Echo stops reading while any wait, so one read is the most.
constexpr size_t kOutboxBytesMax = kReadBytesMax;

/// Records in one chunk of the slab: 4,096 × 64 bytes = 256 KiB are given back at once.
constexpr uint32_t kSlabChunkRecords = 4096;

/// Descriptors that a worker keeps free beside its connections: for Node's own needs (a report, a
/// late import), and so that the last accept fails on our limit and not on the kernel's.
constexpr uint32_t kDescriptorReserve = 64;

/// One frame on the control stream. The largest real one (a list of listeners or of sources) has a
/// few KiB; a longer length means that the stream is broken.
constexpr size_t kFrameBytesMax = size_t{1024} * 1024;

/// Bytes read from the control stream in one turn.
constexpr size_t kControlReadBytes = size_t{64} * 1024;

/// Bytes that wait for a manager that does not read. Log frames are dropped beyond it, and counted.
constexpr size_t kControlQueueBytesMax = size_t{4} * 1024 * 1024;

/// Subscribers in one page of a list: 160 kB, written in less than a millisecond.
constexpr uint32_t kPresencePageMax = 10'000;

/// How many times the usual wait an EventSource may wait besides, after a drain.
constexpr uint32_t kDrainRetryFactor = 4;

/// Seconds after which a client that found no room should come back, drawn evenly.
constexpr uint32_t kRetryAfterMinS = 5;
constexpr uint32_t kRetryAfterMaxS = 30;

/// Characters of one log message that a worker sends.
constexpr size_t kLogBytesMax = 512;

/// Shortest time between two log lines about the same condition.
constexpr uint32_t kLogIntervalMs = 10'000;

/// The beat: the manager counts a worker late at 3 s and stuck at 10 s. 56 workers that beat once a
/// second use 0.27 % of a core; four times a second 0.69 %, of the 1 % that idling may cost.
constexpr double kLoopHeartbeatSeconds = 1.0;

/// Deadlines are 16-bit ticks of one second, compared as a signed difference.
constexpr uint32_t kDeadlineSecondsMax = 32'400;

/// Tick of a drain: connections are closed in slices this far apart.
constexpr double kDrainTickSeconds = 0.01;

/// Share of a worker's connections at which it tells the manager that it is crowded, in percent.
constexpr uint32_t kNearCapacityPercent = 95;

/// Connects that one dialer has under way. More only fill the listener's queue.
constexpr uint32_t kDialInFlightMax = 256;

/// Connects started in one turn of a dialer's loop.
constexpr uint32_t kDialBatchMax = 64;

/// A turn of a dialer's loop may have a message for each of its subscribers, which take it seconds
/// on a busy machine: it starts connects between so many events, too. Of a million polls that came
/// back the last 60,000 were started 64 to a turn, a few hundred a second, and none was the
/// server's fault.
constexpr uint32_t kDialEvents = 256;

/// Questions that one dialer has unanswered while it verifies: enough to keep the server busy,
/// few enough that the time to an answer is the server's and not the queue's.
constexpr uint32_t kVerifyInFlightMax = 64;

/// Bytes of one message of the load generator.
constexpr uint32_t kMessageBytesMax = 16 * 1024 * 1024;

/// Latest messages of which a dialer keeps when they arrived, 4 KiB each. A run that looks at
/// fan-out sends few, each to many; of a stream of messages to few each, only the count matters.
constexpr size_t kDeliveryTimesMax = 64;

/// Added to an HTTP status to tell it from an errno.
constexpr int kHttpFailure = 10'000;

/// Interval of a dialer's progress frames.
constexpr double kProgressSeconds = 0.2;

/// Connections that were turned away or said farewell, and may still send; of the descriptors
/// above.
constexpr size_t kLingeringCloseMax = 32;

/// Bytes of them that are thrown away at a time: who sends on for spite costs no more than that.
constexpr size_t kLingeringCloseReadBytes = size_t{16} * 1024;

// HTTP. What arrives before a client is known is small, so that many half-read heads fit in memory.

/// Bytes of one head, from its first byte to its empty line. Node takes as many by default.
constexpr size_t kHttpHeadBytesMax = size_t{16} * 1024;

/// Fields of one head. Browsers send about 20, and each proxy on the way adds a few.
constexpr size_t kHttpFieldsMax = 64;

/// Characters of a method. Of those registered with IANA the longest has 17.
constexpr size_t kHttpMethodBytesMax = 32;

/// Bytes of a request target. RFC 9112 3 asks for 8,000 at least, as bytes of the whole line.
constexpr size_t kHttpTargetBytesMax = size_t{8} * 1024;

/// Characters of a host. A name of the DNS has at most 253, an address in brackets 47.
constexpr size_t kHttpHostBytesMax = 253;

/// Hexadecimal digits of the size of a chunk: 2^60 is out of reach, and the sum cannot overflow.
constexpr size_t kHttpChunkDigitsMax = 15;

/// Bytes of the extensions of one chunk. Nobody reads them; the longest in use, a signature, is 85.
constexpr size_t kHttpChunkExtensionBytesMax = 128;

/// Bytes of all trailers of a body, without line ends. They are checked and thrown away.
constexpr size_t kHttpTrailerBytesMax = size_t{4} * 1024;

// WebSocket, deflate, JSON. What one client can make a worker keep or do, whatever it sends.

/// Frames of one message. Nothing is kept per frame, but an empty one costs its sender 6 bytes and
/// us a turn of the loop; the conformance suites in use send 65,536.
constexpr uint32_t kWebSocketFragmentsMax = 65'536;

/// Pings and pongs of one WebSocket between two looks of the sweep, which are two seconds apart.
/// Who sends one a second and was held up on the way for four minutes is still served; a flood
/// costs this many answers at most, and then a new handshake. Counted in the record: a window that
/// ends with the sweep needs no clock, no session and no timer.
constexpr uint16_t kWebSocketControlsMax = 256;

/// Messages that one worker inflates at a time: 41 KiB each, which an idle client never has.
constexpr size_t kInflatersMax = 32;

/// Bytes that inflating yields before the limit of the message is looked at again.
constexpr size_t kInflateStepBytes = size_t{16} * 1024;

/// Members of a JSON object from a client. Our messages have up to eight; the search for equal keys
/// grows with the square.
constexpr size_t kJsonMembersMax = 16;

/// Bytes of a key, as it came. Ours have up to a dozen.
constexpr size_t kJsonKeyBytesMax = 64;

/// Brackets open at once in the value of a member. We read them in a loop, but who takes the value
/// over may recurse.
constexpr uint32_t kJsonDepthMax = 32;

// Comet. Defaults that are options come with the Comet frame; these are fixed.

/// A slice of a broadcast: what else waits, waits no longer than that.
constexpr uint64_t kFanoutSliceNs = 1'000'000;

/// Parts of one sendmsg(): what is on its way to a subscriber goes together. The kernel takes 1,024
/// (IOV_MAX), 16 bytes of the stack each; who is further behind costs another call.
constexpr size_t kPartsTogetherMax = 64;

/// Workers inside a slice at once, where they outnumber cores: a machine with more cores has the
/// file limits of one, and needs no more workers than cores.
constexpr uint32_t kSliceSlotsMax = 256;

/// Sends between two looks at the clock, and before the next channel has its turn.
constexpr uint32_t kFanoutBatch = 64;

/// Messages and bytes on their way in one worker. Beyond it the worker stops reading the control
/// stream until some are through: fan-out needs nothing from the manager, so that ends.
constexpr size_t kFanoutMessagesMax = 65'536;
constexpr size_t kFanoutBytesMax = size_t{64} * 1024 * 1024;

/// Questions of one worker that the manager has not answered. Further ones wait in their sessions.
constexpr uint32_t kQuestionsMax = 256;

/// Bytes that one page of missed messages may have.
constexpr uint32_t kPageBytesMax = 32 * 1024;

/// What a worker remembers of a channel, for polls that come back within seconds.
constexpr size_t kTailMessagesMax = 16;
constexpr size_t kTailBytesMax = size_t{64} * 1024;

/// The same for all channels of a worker together: with its form for SSE a message of 100 bytes
/// takes 654, so that this is 5.4 MB, however many channels there are.
constexpr size_t kTailsMessagesMax = 8'192;
constexpr size_t kTailsBytesMax = size_t{4} * 1024 * 1024;

/// Channels of a worker beyond which those that nobody subscribes to are not remembered: one client
/// that comes and goes on 200,000 new ones a second would take the memory of all. 40 MB.
constexpr uint32_t kRetainedChannelsMax = 262'144;

/// Bytes of a channel's name: it fits into a line of a log and into a frame's text.
constexpr size_t kChannelBytesMax = 200;

/// Bytes of a message's id, and of its event; lib/ipc/comet.ts has the same.
constexpr size_t kLabelBytesMax = 128;

/// Messages of one WebSocket client that wait while a question of it is unanswered.
constexpr size_t kWaitingMessagesMax = 64;

/// How often the manager hears of changed numbers of subscribers.
constexpr double kInterestSeconds = 0.1;

}  // namespace megacomet::bounds
