// The state of a connection besides its record, while it is not idle. An idle subscriber of one
// channel has none: a million of them are a million records.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "codec/cursor.h"
#include "codec/http_codec.h"
#include "codec/websocket_codec.h"
#include "pubsub/send_queue.h"

namespace megacomet {

/// One of several channels of a connection, or one of a connection that needs a session anyway.
struct Subscription {
  uint32_t channel;
  /// In the channel's list of subscribers.
  uint32_t position;
  /// The low 32 bits of the lowest message number still wanted; see cursor.h.
  uint32_t next_wanted;
};

/// The state of the replay that a new subscription may need from the manager.
enum class ReplayState : uint8_t {
  kNone,
  /// Waits because a worker has a limited number of unanswered requests.
  kQueued,
  kRequested,
  /// The page received was not the last; the next is requested once the send queue is empty.
  kPaused,
};

/// A replay that has not ended.
struct PendingReplay {
  /// The channels to replay; subscribed to with the last page.
  std::vector<uint32_t> channels;
  /// All channels of the client's request, those that it had already included.
  std::vector<uint32_t> named;
  /// The messages up to here were delivered or requested.
  Cursor since{};
  bool has_since = false;
  ReplayState state = ReplayState::kNone;
};

/// Channels that the application gives to a client, or takes away.
struct ChannelOrder {
  std::vector<std::string> channels;
  bool is_on;
};

/// Made and deleted by Sessions only. The members that grow as its client sends (`input`,
/// `message`, `sealed_input`, `waiting`) are changed by the InputBudget only.
struct Session {
  SendQueue send_queue;
  /// A request or frame that is not complete.
  std::string input;
  std::vector<Subscription> subscriptions;
  PendingReplay replay;
  /// The beginning of a WebSocket message in several parts.
  std::string message;
  /// The beginning of a record of TLS.
  std::string sealed_input;
  /// Bytes of records that are sealed and that the kernel did not take. They go out first.
  std::string sealed_output;
  /// Complete WebSocket messages that wait until a replay ends, or for a decision.
  std::vector<std::string> waiting;
  /// Orders of the application during a replay. Handled at its end, before `waiting`.
  std::vector<ChannelOrder> orders;
  /// The callback of a JSONP poll.
  std::string callback;
  /// The Access-Control-Allow-Origin of a poll's response; empty for none.
  std::string origin;
  /// The head of an endless response, sent with the first part of its replay.
  std::string head;
  uint64_t delivered_number = 0;
  HeadProgress progress;
  WebSocketMessages frames;
  /// The connection ends with the response to the current request.
  bool closes_after = false;
  /// The request is a HEAD: the response has no content.
  bool is_head_only = false;
  /// A poll that does not wait for a message.
  bool answers_at_once = false;
  /// The first of the waiting WebSocket messages needs the application's decision.
  bool awaits_decision = false;

  /// The bytes that the InputBudget counts for it.
  [[nodiscard]] size_t input_budget_bytes() const {
    size_t bytes = input.size() + message.size() + sealed_input.size();
    for (const std::string& one : waiting) bytes += one.size();
    return bytes;
  }

  /// Whether the connection needs more than its record.
  [[nodiscard]] bool is_needed() const {
    return !send_queue.is_empty() || !sealed_output.empty() || !sealed_input.empty() ||
           !input.empty() || subscriptions.size() > 1 || replay.state != ReplayState::kNone ||
           !message.empty() || !callback.empty() || !origin.empty() || !head.empty() ||
           closes_after || is_head_only || answers_at_once || !frames.is_idle() ||
           !waiting.empty() || !orders.empty() || awaits_decision;
  }
};

}  // namespace megacomet
