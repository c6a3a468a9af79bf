// Comet's half of a worker: sessions, subscriptions, questions to the manager, deliveries.
// The transport moves bytes and the protocols give them meaning; who gets which message is decided
// here, by three rules: a message goes only to who was there before it, nobody gets one twice, and
// all get theirs in the order of the numbers.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/queue.h"
#include "base/random.h"
#include "codec/deflate_codec.h"
#include "connection/input_budget.h"
#include "connection/protocol.h"
#include "connection/transport.h"
#include "hub/mailboxes.h"
#include "hub/presence.h"
#include "ipc/control.h"
#include "pubsub/channels.h"
#include "pubsub/fanout.h"
#include "pubsub/message_codec.h"

namespace megacomet {

class Hub final : public CometServices, FanoutHandler, TransportHooks {
 public:
  Hub(Transport* transport, Control* control, Counters* counters);
  Hub(const Hub&) = delete;
  Hub& operator=(const Hub&) = delete;
  ~Hub() = default;

  /// Begins, with the manager's rules.
  void configure(frame::Comet rules);
  [[nodiscard]] bool is_on() const { return is_on_; }

  // Orders of the manager.
  void on_publish(frame::Publish order);
  /// False if its messages are no frames.
  [[nodiscard]] bool on_page(const frame::ReplayPage& order);
  void on_kick(const frame::Kick& order);
  void on_disconnect(const frame::Disconnect& order);
  void on_rejected(const frame::Rejected& order);
  Presence& presence() { return presence_; }
  void on_lease(frame::MailboxLease order);

  /// Once a turn, before what it brings.
  void begin_iteration() { fanout_.begin_iteration(); }
  /// Once a turn: a slice of what is on its way. True if more is due at once.
  [[nodiscard]] bool pump();
  /// Whether anything is on its way at all, due or not.
  [[nodiscard]] bool is_pumping() const { return fanout_.unfinished() > 0; }
  /// Whether the worker should leave the manager's next orders where they are for now.
  [[nodiscard]] bool is_full() const { return fanout_.is_full(); }
  /// Once a second: channels that nobody came back to.
  void tick(uint16_t now);

  // For protocols.
  [[nodiscard]] const frame::Comet& rules() const override { return rules_; }
  [[nodiscard]] Cursor head() const override { return {rules_.epoch, head_}; }
  Session* session(Connection* connection) override;
  void settle(Connection* connection) override;
  bool send(Connection* connection,
            const Ref<Payload>& payload,
            bool is_message,
            SlowPolicy policy) override;
  void gather(Connection* connection) override;
  void release() override;
  void finish(Connection* connection, CloseCause cause) override;
  void hand_over(Connection* connection, ProtocolId protocol) override;
  void set_deadline(Connection* connection, uint32_t seconds) override {
    transport_->set_deadline(connection, seconds);
  }
  void begin_message(Connection* connection, uint32_t seconds) override {
    transport_->begin_message(connection, seconds);
  }
  void put_off_heartbeat(Connection* connection) override;
  void subscribe(Connection* connection,
                 const std::vector<std::string>& channels,
                 const Cursor* since) override;
  void unsubscribe(Connection* connection) override;
  bool unsubscribe(Connection* connection, std::string_view channel) override;
  [[nodiscard]] std::string_view name_of(uint32_t row) const override {
    return channels_.at(row).name;
  }
  [[nodiscard]] Cursor position(const Connection& connection) const override;
  void resume(Connection* connection, std::string bytes) override;
  bool publish(const Connection& connection, frame::Message message) override;
  [[nodiscard]] std::string_view kick_reason() const override { return kick_reason_; }
  uint32_t random(uint32_t bound) override { return random_.below(bound); }
  uint32_t retry_after_s() override {
    return bounds::kRetryAfterMinS + random(bounds::kRetryAfterMaxS - bounds::kRetryAfterMinS + 1);
  }
  DeflateCodec& deflate() override { return deflate_; }
  Mailboxes& mailboxes() override { return mailboxes_; }
  InputBudget& input_budget() override { return input_budget_; }

 private:
  /// A message on its way to one of a connection's channels.
  struct Due {
    uint32_t row;
    Ref<Message> message;
  };

  /// What was sent to a connection whose bytes are gathered.
  struct Gathered {
    Ref<Payload> payload;
    bool is_message;
    SlowPolicy policy;
  };

  /// Names a connection whose record may have another occupant when the name is used.
  struct Ticket {
    uint32_t fd;
    uint32_t generation;
  };

  void on_writable(Connection* connection) override;
  void on_close(Connection* connection) override;
  bool on_end(Connection* connection) override;
  bool on_expire(Connection* connection) override;
  CometServices* services() override { return this; }
  void on_fanout(uint32_t row, uint32_t fd, Message& message) override;

  void give_all(Connection* connection, uint64_t number);
  void give(Connection* connection, const Due& due);
  void deliver(Connection* connection, Message& message);

  bool subscribe_at_once(Connection* connection, const std::string& name, const Cursor* since);
  [[nodiscard]] bool find_missed(const std::vector<uint32_t>& rows,
                                 const Cursor* since,
                                 size_t queued_bytes,
                                 std::vector<Ref<Message>>* missed) const;
  [[nodiscard]] bool is_of_another(const Cursor* since) const {
    return since != nullptr && since->epoch != rules_.epoch;
  }
  void answer(Connection* connection, const std::vector<Ref<Message>>& missed);
  void learn(const Session& session, const std::vector<Ref<Message>>& messages, uint64_t head);
  void ask(Connection* connection);
  void ask_next();
  void go_live(Connection* connection, uint64_t number);
  void give_page(Connection* connection,
                 const std::vector<Ref<Message>>& messages,
                 const frame::ReplayPage& order);
  void forget_wanted(Session* session);
  void join(Session* session, Connection* connection, uint32_t row, uint64_t number);
  uint32_t enter(const Connection& connection, uint32_t row);
  void leave(Connection* connection, uint32_t row, uint32_t position);
  void kick(const Ticket& ticket);
  void kick_all();
  void kick_subscribers(std::string_view channel);
  [[nodiscard]] bool queue(Connection* connection,
                           const Ref<Payload>& payload,
                           size_t offset,
                           bool is_message,
                           SlowPolicy policy);
  void send_parts(Connection* connection, const std::vector<Gathered>& parts);
  void close_largest(size_t size);
  void close_for_memory(Connection* connection);
  bool make_room(Connection* connection, size_t size, bool is_message, SlowPolicy policy);
  [[nodiscard]] Connection* find(const Ticket& ticket);
  /// As find(), but only with a session.
  [[nodiscard]] Connection* find_busy(const Ticket& ticket);

  Transport* transport_;
  Control* control_;
  Counters* counters_;
  Channels channels_;
  Fanout fanout_;
  Mailboxes mailboxes_;
  InputBudget input_budget_;
  Presence presence_;
  DeflateCodec deflate_;
  Random random_;
  frame::Comet rules_;
  uint64_t head_ = 0;
  Queue<Ticket> questions_;
  uint32_t unanswered_ = 0;
  std::string kick_reason_;
  Connection* gathering_ = nullptr;
  std::vector<Gathered> gathered_;
  bool is_on_ = false;
};

}  // namespace megacomet
