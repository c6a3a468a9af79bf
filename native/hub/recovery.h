// Recovery: a new subscription with a cursor receives the messages it missed, then all later ones.
//
// If the recent-message caches reach back to the cursor, the worker replays alone. Otherwise it
// requests replay pages from the manager. Those arrive in the stream that carries the messages, so
// nothing is lost or repeated between the last page and the first message.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/queue.h"
#include "connection/connection.h"
#include "connection/protocol.h"
#include "hub/number_window.h"
#include "hub/sequence.h"
#include "hub/subscriptions.h"
#include "ipc/frames.h"
#include "pubsub/channels.h"

namespace megacomet {

/// Sends requests to the manager.
class ReplayRequester {
 public:
  virtual void request_replay(const frame::ReplayRequest& request) = 0;

 protected:
  ~ReplayRequester() = default;
};

/// A part of a replay, from the caches or from the manager.
struct ReplayPart {
  std::vector<Ref<Message>> messages;
  /// The last number that the part covers.
  uint64_t head;
  /// Every message after `head` will be delivered.
  bool is_last;
  /// Messages between the cursor of the request and this part are gone.
  bool is_lost;
};

class Recovery {
 public:
  struct Parts {
    Slab<Connection>* connections;
    Channels* channels;
    Subscriptions* subscriptions;
    Presence* presence;
    Sessions* sessions;
    Counters* counters;
    Sequence* sequence;
    NumberWindow* window;
    ReplayRequester* requester;
    Services* services;
    const Protocol* const* protocols;
  };

  explicit Recovery(const Parts& parts) : parts_(parts) {}
  Recovery(const Recovery&) = delete;
  Recovery& operator=(const Recovery&) = delete;

  void set_send_queue_bytes_max(uint32_t bytes) { send_queue_bytes_max_ = bytes; }

  /// See SubscriptionService.
  void subscribe(Connection* connection,
                 const std::vector<std::string>& names,
                 const Cursor* since);

  /// A replay page of the manager.
  void on_page(const ConnectionName& name, const ReplayPart& part);

  /// The send queue is empty: a paused replay requests its next page.
  void resume(Connection* connection);

  /// The connection leaves: ends its replay.
  void cancel(Connection* connection);

  /// Requests that the manager has not answered.
  [[nodiscard]] uint32_t unanswered() const { return unanswered_; }

 private:
  bool subscribe_at_once(Connection* connection, const std::string& name, const Cursor* since);
  void begin(Connection* connection, const std::vector<std::string>& names, const Cursor* since);
  [[nodiscard]] bool find_missed(const std::vector<uint32_t>& channels,
                                 const Cursor* since,
                                 size_t queued_bytes,
                                 std::vector<Ref<Message>>* missed) const;
  [[nodiscard]] bool is_known(uint32_t channel, const Cursor* since) const;
  [[nodiscard]] bool is_of_other_epoch(const Cursor* since) const {
    return since != nullptr && since->epoch != parts_.sequence->epoch;
  }
  [[nodiscard]] uint32_t page_bytes_max(size_t queued_bytes) const;
  void request(Connection* connection);
  void send_requests();
  void send_request(Connection* connection);
  void deliver(Connection* connection, const ReplayPart& part);
  void go_live(Connection* connection, const ReplayPart& part);
  void pause(Connection* connection, uint64_t reached);
  void make_live(const PendingReplay& replay, const ReplayPart& part);
  void call_protocol(Connection* connection, const Replay& replay);

  Parts parts_;
  uint32_t send_queue_bytes_max_ = 0;
  Queue<ConnectionName> queued_;
  uint32_t unanswered_ = 0;
};

}  // namespace megacomet
