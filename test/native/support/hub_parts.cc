// A protocol of plain text and the hub's parts. See hub_parts.h.
#include "support/hub_parts.h"

#include <utility>

#include "support/unit.h"

namespace unit {

namespace {

Ref<Payload> encode(Services&, const Connection&, Message& message) {
  const std::string number = std::to_string(message.number);
  return make_payload(message.is_loss_notice ? "lost@" + number + ";"
                                             : number + ":" + message.data + ";");
}

void on_replay(Services& services, Connection* connection, const Replay& replay) {
  std::string text = "[";
  for (const Ref<Message>& message : replay.messages) text += std::to_string(message->number) + " ";
  text += "@" + std::to_string(replay.head.number);
  if (replay.is_last) text += " last";
  if (replay.is_lost) text += " lost";
  services.sender->send(connection, make_payload(text + "]"));
}

void on_poll_replay(Services&, Connection*, const Replay&) {}

void on_message_sent(Services& services, Connection* connection) {
  services.subscriptions->unsubscribe(connection);
}

constexpr Protocol make_text_protocol() {
  Protocol protocol;
  protocol.encode = encode;
  protocol.on_replay = on_replay;
  protocol.message_is_heartbeat = true;
  return protocol;
}

constexpr Protocol make_poll_protocol() {
  Protocol protocol;
  protocol.encode = encode;
  protocol.on_message_sent = on_message_sent;
  protocol.on_replay = on_poll_replay;
  protocol.ends_with_message = true;
  return protocol;
}

}  // namespace

constexpr Protocol kTextProtocol = make_text_protocol();
constexpr Protocol kTextPollProtocol = make_poll_protocol();

const Protocol* const kTextProtocols[] = {&kTextProtocol, &kTextPollProtocol};

HubParts::HubParts(const Protocol* const* protocols)
    : SendingParts(protocols),
      delivery(
          {&connections, &channels, &fanout, &counters, &sequence, &window, &services, protocols}),
      fanout(&channels, &delivery),
      window(&connections, &fanout),
      presence({&channels, &namespaces, &fanout, &connections, &control, &counters, &access}),
      subscriptions({&connections, &channels, &fanout, &presence, &sessions, &counters, &sequence}),
      recovery({&connections,
                &channels,
                &subscriptions,
                &presence,
                &sessions,
                &counters,
                &sequence,
                &window,
                this,
                &services,
                protocols}) {
  services.connections = &owner;
  services.sender = &sender;
  services.sessions = &sessions;
  services.counters = &counters;
  services.rejections = &rejections;
  services.limits = &limits;
  services.subscriptions = this;
  services.access = &access;
  recovery.set_send_queue_bytes_max(1U << 20U);
  sender.limits().set({1U << 20U, 0, 1U << 24U});
  sender.set_observer(this);
  owner.on_close = [this](Connection* connection) {
    on_close(connection);
    sender.forget(connection);
    sessions.destroy(connection);
  };
}

Connection* HubParts::open(int fd, bool is_poll) {
  Connection* connection = owner.open(fd);
  connection->protocol = is_poll ? 1 : 0;
  return connection;
}

Ref<Message> HubParts::message(uint64_t number, const std::string& channel) const {
  Ref<Message> made = make_ref<Message>();
  made->epoch = kEpoch;
  made->number = number;
  made->channel = channel;
  made->data = channel;
  return made;
}

void HubParts::publish(uint64_t number, const std::string& channel, bool pumps) {
  if (pumps) fanout.begin_iteration();
  delivery.publish(message(number, channel));
  while (pumps && fanout.unfinished() > 0) static_cast<void>(fanout.pump(UINT64_MAX));
}

void HubParts::answer(uint64_t head) {
  if (!EXPECT(!requests.empty())) return;
  const frame::ReplayRequest& last = requests.back();
  recovery.on_page({last.fd, last.generation}, {{}, head, true, false});
}

}  // namespace unit
