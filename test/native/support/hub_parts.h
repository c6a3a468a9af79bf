// The parts of the hub over connections without sockets: the sent bytes are in strings.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "connection/input_budget.h"
#include "connection/protocol.h"
#include "connection/rejection_log.h"
#include "connection/sender.h"
#include "connection/sessions.h"
#include "hub/access.h"
#include "hub/crowd_orders.h"
#include "hub/delivery.h"
#include "hub/number_window.h"
#include "hub/presence.h"
#include "hub/recovery.h"
#include "hub/sequence.h"
#include "hub/subscriptions.h"
#include "ipc/control.h"
#include "ipc/segment.h"
#include "support/fake_owner.h"
#include "support/fake_socket.h"
#include "support/fixture.h"
#include "support/unit.h"

namespace unit {

/// Slab, sessions and sender, without a socket.
struct SendingParts {
  explicit SendingParts(const Protocol* const* protocols)
      : owner(&connections),
        input_budget(&counters),
        sessions(&counters, &input_budget),
        sender({&owner, &connections, &sessions, &counters, protocols, nullptr},
               FakeSocket::calls()) {
    EXPECT(connections.map(100));
    counters.attach(block.get());
    sender.set_observer(&observer);
    sender.set_timeouts({kWriteS, kHeartbeatS});
    owner.on_close = [this](Connection* connection) {
      sender.forget(connection);
      sessions.destroy(connection);
    };
    FakeSocket::reset();
  }

  ~SendingParts() { close_all(); }

  void close_all() {
    connections.visit(0, connections.capacity(), [this](Connection& connection) {
      if (connection.state != ConnectionState::kFree) owner.close(&connection, CloseCause::kDone);
      return true;
    });
  }

  [[nodiscard]] uint64_t count(Counter counter) const { return counters.get(counter); }

  static constexpr uint32_t kWriteS = 10;
  static constexpr uint32_t kHeartbeatS = 25;

  std::unique_ptr<Block> block = std::make_unique<Block>();
  Counters counters;
  Slab<Connection> connections;
  FakeOwner owner;
  InputBudget input_budget;
  Sessions sessions;
  Sender sender;
  NoSubscriptions observer;
};

/// A protocol that sends a message as "number:data;", a notice as "lost@number;", and a replay as
/// "[numbers@head last lost]".
extern const Protocol kTextProtocol;
/// The same for polls: the subscriber leaves with its first message.
extern const Protocol kTextPollProtocol;
/// Both, in this order.
extern const Protocol* const kTextProtocols[];

/// All parts of the hub but the façade. The manager is a list of requests.
struct HubParts final : SendingParts, SubscriptionService, ReplayRequester, ConnectionObserver {
  static constexpr uint64_t kEpoch = 77;

  /// With a table of protocols, or with the two above.
  explicit HubParts(const Protocol* const* protocols = kTextProtocols);
  ~HubParts() { close_all(); }

  /// An open connection of kTextProtocol, or of kTextPollProtocol.
  Connection* open(int fd, bool is_poll = false);
  /// A message of the manager's stream arrives. Runs its fan-out if `pumps`.
  void publish(uint64_t number, const std::string& channel, bool pumps = true);
  /// Answers the latest replay request with a last page without messages.
  void answer(uint64_t head);
  [[nodiscard]] Ref<Message> message(uint64_t number, const std::string& channel) const;

  void subscribe(Connection* connection,
                 const std::vector<std::string>& names,
                 const Cursor* since = nullptr) override {
    recovery.subscribe(connection, names, since);
  }
  void unsubscribe(Connection* connection) override {
    subscriptions.leave_all(connection);
    recovery.cancel(connection);
  }
  bool unsubscribe(Connection* connection, std::string_view name) override {
    return subscriptions.leave(connection, name);
  }
  [[nodiscard]] std::string_view channel_name(uint32_t channel) const override {
    return channels.at(channel).name;
  }
  [[nodiscard]] Cursor position(const Connection& connection) const override {
    return subscriptions.position(connection);
  }
  void request_replay(const frame::ReplayRequest& request) override { requests.push_back(request); }
  void on_disconnecting(Connection* connection) override { delivery.flush(connection); }
  void on_closing(Connection* connection) override { unsubscribe(connection); }
  void on_close(Connection* connection) override { unsubscribe(connection); }
  void on_output_sent(Connection* connection) override { recovery.resume(connection); }

  LoopOwner loop = make_loop();
  DeafHandler handler;
  /// It is not started: frames to the manager stay in memory.
  Control control{loop.get(), &handler};
  RejectionLog rejections{&control, &counters};
  Services services;
  Sequence sequence{kEpoch, 0};
  Namespaces namespaces;
  Channels channels;
  Delivery delivery;
  Fanout fanout;
  NumberWindow window;
  Presence presence;
  Subscriptions subscriptions;
  Recovery recovery;
  frame::Comet settings;
  Random random_numbers{1};
  /// Off: everybody may do everything.
  ClientLimits limits{&control, &counters};
  /// In this one iteration every order ends at once.
  CrowdOrders crowd{&connections, [] { return uint64_t{1}; }};
  Access access{{&channels,
                 &namespaces,
                 &settings,
                 &owner,
                 &control,
                 &connections,
                 &counters,
                 &random_numbers,
                 &limits,
                 &crowd}};
  std::vector<frame::ReplayRequest> requests;
};

}  // namespace unit
