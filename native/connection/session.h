// What a connection has besides its record while it is not simply idle.
// An idle subscriber of one channel has none: a million of them are a million records.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "codec/http_codec.h"
#include "codec/websocket_codec.h"
#include "pubsub/send_queue.h"

namespace megacomet {

/// One of several channels of a connection, or one that a session keeps for other reasons.
struct Subscription {
  uint32_t channel;
  /// In the channel's row of subscribers.
  uint32_t position;
  /// The lowest number that it still wants, its low 32 bits; see cursor.h.
  uint32_t wants_from;
};

/// Where the question to the manager stands that a subscriber has to ask first.
enum class Question : uint8_t {
  kNone,
  /// Waits for its turn: only so many of a worker's questions are unanswered at once.
  kQueued,
  kAsked,
  /// A page came that was not the last; the next is asked for once the send queue has room.
  kPaused,
};

/// Made by Hub::session() and nobody else. What grows as its client sends, `input`, `message` and
/// `waiting`, is filled and emptied by the InputBudget only.
struct Session {
  SendQueue send_queue;
  /// A request or frame that has not come whole.
  std::string input;
  std::vector<Subscription> subscriptions;
  /// Channels that the question is about; they are subscribed to when it is answered.
  std::vector<uint32_t> wanted;
  /// Channels that the request named, also those that it had before; only while it is answered.
  std::vector<uint32_t> named;
  /// A WebSocket message of several parts.
  std::string message;
  /// Whole WebSocket messages that wait until the question is answered.
  std::vector<std::string> waiting;
  /// The callback of a JSONP poll.
  std::string callback;
  /// Origin that a poll's answer has to name; empty for none.
  std::string origin;
  /// Everything up to here was delivered or asked for.
  uint64_t since_epoch = 0;
  uint64_t since_number = 0;
  uint64_t delivered_number = 0;
  HeadProgress progress;
  WebSocketMessages frames;
  Question question = Question::kNone;
  bool has_since = false;
  bool awaits_pong = false;
  /// Nothing more is read or delivered; the connection ends when the send queue is empty.
  bool is_finishing = false;
  /// The request in hand wants its connection closed after the answer.
  bool closes_after = false;
  /// It is a HEAD: the answer has no content.
  bool is_head_only = false;

  /// All that waits here for its rest or for its turn; see input_budget.h.
  [[nodiscard]] size_t input_budget_bytes() const {
    size_t bytes = input.size() + message.size();
    for (const std::string& one : waiting) bytes += one.size();
    return bytes;
  }

  /// Whether an idle subscriber of at most one channel needs more than its record.
  [[nodiscard]] bool is_needed() const {
    return !send_queue.is_empty() || !input.empty() || subscriptions.size() > 1 ||
           question != Question::kNone || !message.empty() || !callback.empty() ||
           !origin.empty() || awaits_pong || is_finishing || closes_after || is_head_only ||
           !frames.is_idle() || !waiting.empty();
  }
};

}  // namespace megacomet
