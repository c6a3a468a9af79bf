// The subscribers of one worker: builds the parts of this room, and connects them with the
// transport and the manager's stream. No rules of its own.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/random.h"
#include "codec/deflate_codec.h"
#include "connection/client_limits.h"
#include "connection/client_rates.h"
#include "connection/protocol.h"
#include "connection/rejection_log.h"
#include "connection/transport.h"
#include "hub/access.h"
#include "hub/client_publishing.h"
#include "hub/client_requests.h"
#include "hub/crowd_orders.h"
#include "hub/delivery.h"
#include "hub/hook_requests.h"
#include "hub/kicks.h"
#include "hub/mailboxes.h"
#include "hub/number_window.h"
#include "hub/presence.h"
#include "hub/recovery.h"
#include "hub/sequence.h"
#include "hub/subscriptions.h"
#include "hub/user_channels.h"
#include "ipc/control.h"
#include "pubsub/channels.h"
#include "pubsub/fanout.h"
#include "pubsub/namespaces.h"

namespace megacomet {

class Hub final : SubscriptionService, ConnectionObserver, ReplayRequester {
 public:
  Hub(Transport* transport, Control* control, Counters* counters, ClientLimits* limits);
  Hub(const Hub&) = delete;
  Hub& operator=(const Hub&) = delete;
  ~Hub() = default;

  /// Turns the worker into one of a comet server, with the manager's settings.
  void configure(frame::Comet rules);
  /// WebSocket messages a second of one client; 0 for no limit.
  void set_command_rate(uint32_t rate) { command_rates_.set_rate(rate); }
  /// The limits count in empty tables: enters the users again.
  void recount_users() { access_.recount_users(); }
  /// The number of workers that share the rates of the server.
  void set_workers(uint32_t count) {
    workers_ = count;
    publishing_.set_worker_rate(uint64_t{rules_.all_clients_publish_rate} * 1000 / count);
  }
  [[nodiscard]] bool is_on() const { return is_on_; }
  /// Reserves what each descriptor below `capacity` may need. False if the kernel rejects.
  [[nodiscard]] bool reserve(uint32_t capacity) {
    if (access_.is_on() && !access_.reserve(capacity)) return false;
    return transport_->services().hooks == nullptr || limits_->reserve_addresses(capacity);
  }
  [[nodiscard]] const frame::Comet& rules() const { return rules_; }

  // Frames of the manager.
  void on_publish(frame::Publish order);
  void on_lost(const frame::Lost& order);
  /// False if its messages are not valid frames.
  [[nodiscard]] bool on_page(const frame::ReplayPage& page);
  /// False if it has an invalid key.
  [[nodiscard]] bool on_access(const frame::Access& settings) {
    return access_.configure(settings);
  }
  /// False if it is not valid.
  [[nodiscard]] bool on_namespaces(const frame::Namespaces& settings) {
    return namespaces_.configure(settings);
  }
  void on_keys_checked(const frame::KeysChecked& order) { access_.on_keys_checked(order); }
  void on_hooks(frame::Hooks rules);
  void on_hook_answer(frame::HookAnswer answer) { hooks_.on_answer(std::move(answer)); }
  void on_revoke(const frame::Revoke& order);
  void on_disconnect_user(const frame::DisconnectUser& order) { access_.disconnect_user(order); }
  void on_kick(const frame::Kick& order);
  void on_disconnect(const frame::Disconnect& order);
  void on_rejected(const frame::Rejected& rejected) { publishing_.on_rejected(rejected); }
  void on_published(const frame::Published& published) { publishing_.on_published(published); }
  void on_response(const frame::ClientResponse& response) { requests_.on_response(response); }
  void on_user_channels(const frame::UserChannels& order) { user_channels_.change(order); }
  void on_lease(frame::MailboxLease lease);
  Presence& presence() { return presence_; }

  /// Once a loop iteration, before its events.
  void begin_iteration() {
    fanout_.begin_iteration();
    crowd_.begin_iteration();
  }
  /// Once a loop iteration: a slice of the orders about many connections.
  void run_orders() { crowd_.run(); }
  /// Whether such an order has not ended.
  [[nodiscard]] bool has_orders() const { return crowd_.is_pending(); }
  /// Once a loop iteration: a slice of the fan-out, which ends at `end_ns`. True if more is due at
  /// once.
  [[nodiscard]] bool pump(uint64_t end_ns) { return fanout_.pump(end_ns); }
  /// Whether the fan-out has unfinished messages, due or not.
  [[nodiscard]] bool is_pumping() const { return fanout_.unfinished() > 0; }
  /// Whether the worker should stop reading the manager's frames for now.
  [[nodiscard]] bool is_full() const { return fanout_.is_full() || has_orders(); }
  /// Once a second: forgets channels whose retention ended.
  void tick(uint16_t now);

 private:
  void subscribe(Connection* connection,
                 const std::vector<std::string>& channels,
                 const Cursor* since) override {
    recovery_.subscribe(connection, channels, since);
  }
  void unsubscribe(Connection* connection) override;
  bool unsubscribe(Connection* connection, std::string_view channel) override {
    access_.forget_channel(*connection, channel);
    return subscriptions_.leave(connection, channel);
  }
  [[nodiscard]] std::string_view channel_name(uint32_t channel) const override {
    return channels_.at(channel).name;
  }
  [[nodiscard]] Cursor position(const Connection& connection) const override {
    return subscriptions_.position(connection);
  }

  void on_disconnecting(Connection* connection) override { delivery_.flush(connection); }
  void on_closing(Connection* connection) override { unsubscribe(connection); }
  void on_close(Connection* connection) override;
  void on_output_sent(Connection* connection) override { recovery_.resume(connection); }

  void request_replay(const frame::ReplayRequest& request) override;
  void set_epoch(uint64_t epoch) { rules_.epoch = sequence_.epoch = epoch; }

  Transport* transport_;
  Control* control_;
  Counters* counters_;
  frame::Comet rules_;
  Sequence sequence_;
  Namespaces namespaces_;
  Channels channels_;
  Delivery delivery_;
  Fanout fanout_;
  NumberWindow window_;
  Presence presence_;
  Mailboxes mailboxes_;
  Subscriptions subscriptions_;
  Recovery recovery_;
  CrowdOrders crowd_;
  Kicks kicks_;
  Access access_;
  ClientRequests requests_;
  UserChannels user_channels_;
  HookRequests hooks_;
  ClientPublishing publishing_;
  DeflateCodec deflate_;
  Random random_;
  RejectionLog rejections_;
  ClientRates command_rates_;
  ClientLimits* limits_;
  uint32_t workers_ = 1;
  bool is_on_ = false;
};

}  // namespace megacomet
