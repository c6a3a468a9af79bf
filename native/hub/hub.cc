// Subscriptions, questions and deliveries of one worker. See hub.h.
#include "hub/hub.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "base/check.h"
#include "os/sys.h"

namespace megacomet {

namespace {

/// The only one: a record's pointer owns it, and on_close() and settle() give it back.
Session* make_session() {
  return std::make_unique<Session>().release();
}

/// The subscription of a busy connection to a channel; null if it has none.
Subscription* find_subscription(Connection* connection, uint32_t row) {
  if (connection->state != ConnectionState::kBusy) return nullptr;
  for (Subscription& one : connection->session->subscriptions) {
    if (one.channel == row) return &one;
  }
  return nullptr;
}

/// For a subscriber that is owed so many bytes.
uint32_t room_for_page(size_t queued_bytes, uint32_t send_queue_bytes_max) {
  const size_t left = send_queue_bytes_max - std::min<size_t>(queued_bytes, send_queue_bytes_max);
  return static_cast<uint32_t>(std::min<size_t>(bounds::kPageBytesMax, left / 2));
}

}  // namespace

Hub::Hub(Transport* transport, Control* control, Counters* counters)
    : transport_(transport),
      control_(control),
      counters_(counters),
      fanout_(&channels_, this),
      mailboxes_(&transport->connections(), control),
      input_budget_(counters),
      presence_({&channels_, &fanout_, &transport->connections(), control, counters}),
      random_(sys::monotonic_ns()) {}

void Hub::configure(frame::Comet rules) {
  rules_ = std::move(rules);
  is_on_ = true;
  presence_.set_channel_retention(rules_.channel_retention_s);
  input_budget_.set_bytes_max(rules_.worker_input_bytes_max);
  transport_->set_hooks(this);
}

void Hub::on_publish(frame::Publish order) {
  // Numbers only rise on the stream: what is not newer was sent by nobody.
  if (order.number <= head_) return;
  head_ = order.number;
  counters_->add(Counter::kMessagesTotal);
  const Ref<Message> message = message_of(std::move(order), rules_.epoch);
  channels_.match(message->channel, [&](uint32_t row) {
    const Channel& channel = channels_.at(row);
    // What comes before the row is live is part of the answer that makes it so.
    if (channel.is_live && message->is_ephemeral()) {
      channels_.pass(row, message->number);
    } else if (channel.is_live) {
      channels_.remember(row, message);
    }
    if (!channel.subscribers.empty()) fanout_.add(row, message);
  });
}

void Hub::on_lease(frame::MailboxLease order) {
  Connection* connection = mailboxes_.find(order.fd, order.generation);
  // It is over, and the manager was told so.
  if (connection == nullptr) return;
  const Ref<Message> message = make_ref<Message>();
  message->data = std::move(order.data.bytes);
  transport_->protocol_of(*connection).deliver(*transport_, connection, *message);
}

bool Hub::pump() {
  return fanout_.pump();
}

void Hub::on_fanout(uint32_t row, uint32_t fd, Message& message) {
  Connection* connection = transport_->connections().at(static_cast<int>(fd));
  if (connection->state == ConnectionState::kSubscribed) {
    if (!is_wanted(connection->wants_from(), message.number)) return;
    if (fanout_.unfinished(row) > 1) return give_all(connection, message.number);
    connection->set_wants_from(wants_after(message.number));
    return deliver(connection, message);
  }
  MC_CHECK(connection->state == ConnectionState::kBusy);
  Subscription* found = find_subscription(connection, row);
  MC_CHECK(found != nullptr);
  if (!is_wanted(found->wants_from, message.number)) return;
  const bool has_others = connection->session->subscriptions.size() > 1;
  // Of a message that goes at once nothing is unfinished.
  const bool is_only = fanout_.unfinished(row) <= 1 && !(has_others && fanout_.unfinished() > 0);
  if (!is_only) return give_all(connection, message.number);
  found->wants_from = wants_after(message.number);
  deliver(connection, message);
}

/// Gives a connection all that is on its way to it, in the order of the numbers, and in one write.
///
/// What is below `number` on its other channels must come first: it could not continue at a cursor
/// else. What is above waits for nobody, and each write is a packet: whoever is behind with a
/// message every 10 s to a million sends two or three at a time, and is no further behind for it.
/// Only a message that is to be spread over a time, and what follows it, waits for its turn.
void Hub::give_all(Connection* connection, uint64_t number) {
  std::vector<Due> due;
  const auto collect = [&](uint32_t row, uint32_t wants_from) {
    fanout_.visit(row, [&](const Ref<Message>& message) {
      if (is_wanted(wants_from, message->number)) due.push_back({row, message});
    });
  };
  if (connection->state == ConnectionState::kSubscribed) {
    collect(connection->only.channel, connection->wants_from());
  } else {
    for (const Subscription& one : connection->session->subscriptions) {
      collect(one.channel, one.wants_from);
    }
    std::sort(due.begin(), due.end(), [](const Due& one, const Due& other) {
      return one.message->number < other.message->number;
    });
  }
  const auto is_later = [number](const Due& one) {
    return one.message->number > number && one.message->spread_ms != 0;
  };
  due.erase(std::find_if(due.begin(), due.end(), is_later), due.end());
  const uint32_t generation = connection->generation;
  const bool is_together = due.size() > 1 && !transport_->protocol_of(*connection).takes_one;
  if (is_together) gather(connection);
  for (const Due& one : due) {
    if (connection->generation != generation) break;
    give(connection, one);
  }
  if (is_together) release();
}

/// Asked anew each time: a poll leaves all its channels with its first message.
void Hub::give(Connection* connection, const Due& due) {
  const uint64_t number = due.message->number;
  if (connection->state == ConnectionState::kSubscribed) {
    const bool wants = connection->only.channel == due.row;
    if (!wants || !is_wanted(connection->wants_from(), number)) return;
    connection->set_wants_from(wants_after(number));
  } else {
    Subscription* found = find_subscription(connection, due.row);
    if (found == nullptr || !is_wanted(found->wants_from, number)) return;
    found->wants_from = wants_after(number);
  }
  deliver(connection, *due.message);
}

void Hub::deliver(Connection* connection, Message& message) {
  if (connection->state == ConnectionState::kBusy) {
    Session* session = connection->session;
    // Both a name and a pattern that matches it may have brought it here.
    if (session->is_finishing || message.number <= session->delivered_number) return;
    session->delivered_number = message.number;
  }
  counters_->add(Counter::kDeliveredTotal);
  transport_->protocol_of(*connection).deliver(*transport_, connection, message);
}

Session* Hub::session(Connection* connection) {
  if (connection->state == ConnectionState::kBusy) return connection->session;
  Session* session = make_session();
  counters_->add(Counter::kSessions);
  if (connection->state == ConnectionState::kSubscribed) {
    session->subscriptions.push_back(
        {connection->only.channel, connection->only.position, connection->wants_from()});
  }
  connection->session = session;
  change_state(connection, ConnectionState::kBusy);
  return session;
}

void Hub::settle(Connection* connection) {
  if (connection->state != ConnectionState::kBusy) return;
  Session* session = connection->session;
  if (session->is_needed()) return;
  if (session->subscriptions.empty()) {
    connection->session = nullptr;
    change_state(connection, ConnectionState::kOpen);
  } else {
    const Subscription& one = session->subscriptions.front();
    connection->only = {one.channel, one.position};
    connection->set_wants_from(one.wants_from);
    change_state(connection, ConnectionState::kSubscribed);
  }
  counters_->subtract(Counter::kSessions);
  delete session;
}

void Hub::on_close(Connection* connection) {
  if (connection == gathering_) {
    gathering_ = nullptr;
    gathered_.clear();
  }
  mailboxes_.on_close(connection);
  unsubscribe(connection);
  if (connection->state == ConnectionState::kBusy) {
    Session* session = connection->session;
    if (!session->send_queue.is_empty()) {
      counters_->subtract(Counter::kSendQueueConnections);
      counters_->subtract(Counter::kSendQueueBytes, session->send_queue.size());
    }
    input_budget_.forget(session->input_budget_bytes());
    counters_->subtract(Counter::kSessions);
    delete session;
  }
  connection->session = nullptr;
}

void Hub::hand_over(Connection* connection, ProtocolId protocol) {
  connection->protocol = static_cast<uint8_t>(protocol) & 0xfU;
}

void Hub::subscribe(Connection* connection,
                    const std::vector<std::string>& channels,
                    const Cursor* since) {
  const bool is_plain = connection->state == ConnectionState::kOpen && channels.size() == 1;
  if (is_plain && subscribe_at_once(connection, channels.front(), since)) return;
  Session* session = this->session(connection);
  MC_CHECK(session->question == Question::kNone);
  for (const std::string& name : channels) {
    const uint32_t row = channels_.open(name);
    std::vector<uint32_t>& named = session->named;
    if (std::find(named.begin(), named.end(), row) != named.end()) continue;
    named.push_back(row);
    if (find_subscription(connection, row) != nullptr) continue;
    session->wanted.push_back(row);
    ++channels_.at(row).asking;
    presence_.note(row);
  }
  session->has_since = since != nullptr;
  // Also without a cursor: whoever has to leave before the answer is told where it began.
  const Cursor start = since == nullptr ? head() : *since;
  session->since_epoch = start.epoch;
  session->since_number = start.number;
  std::vector<Ref<Message>> missed;
  if (find_missed(session->wanted, since, session->send_queue.size(), &missed)) {
    return answer(connection, missed);
  }
  counters_->add(Counter::kReplayRequestsTotal);
  ask(connection);
}

/// What most do, without a session that would be over at once: one channel, all of which this
/// worker knows since the subscriber was here. Saves 0.15 µs of a handshake. False if it takes
/// more.
bool Hub::subscribe_at_once(Connection* connection, const std::string& name, const Cursor* since) {
  const std::vector<uint32_t> rows{channels_.open(name)};
  const uint32_t row = rows.front();
  std::vector<Ref<Message>> missed;
  if (!find_missed(rows, since, 0, &missed)) return false;
  connection->only = {row, enter(*connection, row)};
  connection->set_wants_from(wants_after(head_));
  change_state(connection, ConnectionState::kSubscribed);
  counters_->add(Counter::kReplayedTotal, missed.size());
  const Page page{missed, rows, {rules_.epoch, head_}, true, is_of_another(since)};
  transport_->protocol_of(*connection).on_page(*transport_, connection, page);
  return true;
}

/// What subscribers of these channels missed since then; null for nothing. False if this worker has
/// not seen all of it, or who is owed so much has no room for it: more than that goes in pages,
/// which the manager makes.
bool Hub::find_missed(const std::vector<uint32_t>& rows,
                      const Cursor* since,
                      size_t queued_bytes,
                      std::vector<Ref<Message>>* missed) const {
  const bool is_ours = !is_of_another(since);
  if (since != nullptr && is_ours && since->number > head_) return false;
  const auto is_known = [&](uint32_t row) {
    const Channel& channel = channels_.at(row);
    if (!channel.is_live || since == nullptr) return channel.is_live;
    return is_ours ? since->number >= channel.tail_floor : channel.is_whole;
  };
  if (!std::all_of(rows.begin(), rows.end(), is_known)) return false;
  if (since == nullptr) return true;
  // Who comes from another epoch has seen nothing of this one.
  *missed = channels_.tails(rows, is_ours ? since->number : 0);
  size_t bytes = 0;
  for (const Ref<Message>& message : *missed) bytes += message->data.size();
  return bytes <= room_for_page(queued_bytes, rules_.send_queue_bytes_max);
}

void Hub::answer(Connection* connection, const std::vector<Ref<Message>>& missed) {
  const Session& session = *connection->session;
  const bool is_lost = session.has_since && session.since_epoch != rules_.epoch;
  frame::ReplayPage page;
  page.flags = replay_page_flag::kLast | (is_lost ? replay_page_flag::kLost : 0);
  page.head = head_;
  give_page(connection, missed, page);
}

void Hub::ask(Connection* connection) {
  Session* session = connection->session;
  session->question = Question::kQueued;
  questions_.push_back({static_cast<uint32_t>(connection->fd()), connection->generation});
  ask_next();
}

void Hub::ask_next() {
  while (unanswered_ < bounds::kQuestionsMax && !questions_.empty()) {
    const Ticket ticket = questions_.front();
    questions_.pop_front();
    Connection* connection = find_busy(ticket);
    if (connection == nullptr || connection->session->question != Question::kQueued) continue;
    Session* session = connection->session;
    frame::ReplayRequest question;
    question.fd = ticket.fd;
    question.generation = ticket.generation;
    question.has_since = session->has_since ? 1 : 0;
    question.epoch = session->since_epoch;
    question.number = session->since_number;
    question.bytes_max = room_for_page(session->send_queue.size(), rules_.send_queue_bytes_max);
    for (const uint32_t row : session->wanted) question.channels.push_back(channels_.at(row).name);
    session->question = Question::kAsked;
    ++unanswered_;
    // The manager must hear of the channels first: its answer promises what comes after it.
    presence_.tell_counts();
    control_->send(question);
  }
}

Connection* Hub::find(const Ticket& ticket) {
  Slab<Connection>& connections = transport_->connections();
  if (ticket.fd >= connections.capacity()) return nullptr;
  Connection* connection = connections.at(static_cast<int>(ticket.fd));
  const bool is_same =
      connection->state != ConnectionState::kFree && connection->generation == ticket.generation;
  return is_same ? connection : nullptr;
}

Connection* Hub::find_busy(const Ticket& ticket) {
  Connection* connection = find(ticket);
  const bool is_busy = connection != nullptr && connection->state == ConnectionState::kBusy;
  return is_busy ? connection : nullptr;
}

/// What the last page of an answer says about its channels.
void Hub::learn(const Session& session, const std::vector<Ref<Message>>& messages, uint64_t head) {
  for (const uint32_t row : session.wanted) {
    Channel& channel = channels_.at(row);
    if (channel.is_live) continue;
    channel.is_live = true;
    // What came before the answer may have been seen or not: only what follows is known.
    channel.tail_floor = std::max(channel.tail_floor, head);
  }
  // From another epoch still, so this page is the first one too, and has all there is.
  const bool has_all = session.has_since && session.since_epoch != rules_.epoch;
  if (has_all && session.wanted.size() == 1)
    channels_.register_fd(session.wanted.front(), messages);
}

bool Hub::on_page(const frame::ReplayPage& order) {
  if (unanswered_ > 0) --unanswered_;
  std::vector<Ref<Message>> messages;
  if (!messages_of(order.messages, rules_.epoch, &messages)) return false;
  head_ = std::max(head_, order.head);
  Connection* connection = find_busy({order.fd, order.generation});
  if (connection != nullptr && connection->session->question == Question::kAsked) {
    if ((order.flags & replay_page_flag::kLast) != 0)
      learn(*connection->session, messages, order.head);
    give_page(connection, messages, order);
  }
  ask_next();
  return true;
}

void Hub::give_page(Connection* connection,
                    const std::vector<Ref<Message>>& messages,
                    const frame::ReplayPage& order) {
  Session* session = connection->session;
  const bool is_last = (order.flags & replay_page_flag::kLast) != 0;
  session->question = Question::kNone;
  const uint64_t reached = messages.empty() ? order.head : messages.back()->number;
  // Of an answer that goes on the session keeps them; what is idle afterwards keeps no memory.
  std::vector<uint32_t> last;
  const std::vector<uint32_t>& channels = is_last ? last : session->named;
  if (is_last) {
    last.swap(session->named);
    go_live(connection, order.head);
  } else {
    session->has_since = true;
    session->since_epoch = rules_.epoch;
    session->since_number = reached;
    session->question = Question::kPaused;
  }
  counters_->add(Counter::kReplayedTotal, messages.size());
  const uint32_t generation = connection->generation;
  const Page page{messages,
                  channels,
                  {rules_.epoch, is_last ? order.head : reached},
                  is_last,
                  (order.flags & replay_page_flag::kLost) != 0};
  transport_->protocol_of(*connection).on_page(*transport_, connection, page);
  // The protocol may have closed it, or be done with it.
  if (connection->state != ConnectionState::kBusy || connection->generation != generation) return;
  if (connection->session->question == Question::kPaused &&
      connection->session->send_queue.is_empty()) {
    return ask(connection);
  }
  settle(connection);
}

/// The wanted channels become subscriptions that want everything above `number`.
void Hub::go_live(Connection* connection, uint64_t number) {
  Session* session = connection->session;
  std::vector<uint32_t> rows;
  rows.swap(session->wanted);
  for (const uint32_t row : rows) {
    --channels_.at(row).asking;
    join(session, connection, row, number);
  }
}

void Hub::join(Session* session, Connection* connection, uint32_t row, uint64_t number) {
  session->subscriptions.push_back({row, enter(*connection, row), wants_after(number)});
}

/// Puts a subscriber into a row, and answers where it stands there.
uint32_t Hub::enter(const Connection& connection, uint32_t row) {
  const uint32_t position = channels_.add(row, static_cast<uint32_t>(connection.fd()));
  counters_->add(Counter::kSubscriptions);
  presence_.joined(row, connection);
  return position;
}

/// Takes a subscriber out of a row, and tells who took its place.
void Hub::leave(Connection* connection, uint32_t row, uint32_t position) {
  counters_->subtract(Counter::kSubscriptions);
  const uint32_t moved = channels_.remove(row, position);
  presence_.left(row, *connection);
  if (moved == Channels::kNone || moved == static_cast<uint32_t>(connection->fd())) return;
  Connection* other = transport_->connections().at(static_cast<int>(moved));
  if (other->state == ConnectionState::kSubscribed) {
    other->only.position = position;
    return;
  }
  MC_CHECK(other->state == ConnectionState::kBusy);
  for (Subscription& subscription : other->session->subscriptions) {
    if (subscription.channel == row) subscription.position = position;
  }
}

void Hub::unsubscribe(Connection* connection) {
  if (connection->state == ConnectionState::kSubscribed) {
    const OnlyChannel only = connection->only;
    leave(connection, only.channel, only.position);
    // The pointer's place holds a subscription: cleared before it is taken for one.
    connection->session = nullptr;
    change_state(connection, ConnectionState::kOpen);
    return;
  }
  if (connection->state != ConnectionState::kBusy) return;
  Session* session = connection->session;
  std::vector<Subscription> subscriptions;
  subscriptions.swap(session->subscriptions);
  for (const Subscription& one : subscriptions) leave(connection, one.channel, one.position);
  forget_wanted(session);
}

void Hub::forget_wanted(Session* session) {
  for (const uint32_t row : session->wanted) {
    --channels_.at(row).asking;
    presence_.note(row);
  }
  session->wanted.clear();
  session->named.clear();
  session->question = Question::kNone;
}

bool Hub::unsubscribe(Connection* connection, std::string_view channel) {
  const uint32_t row = channels_.find(channel);
  if (row == Channels::kNone) return false;
  Session* session = this->session(connection);
  auto& subscriptions = session->subscriptions;
  for (size_t at = 0; at < subscriptions.size(); ++at) {
    if (subscriptions[at].channel != row) continue;
    const uint32_t position = subscriptions[at].position;
    subscriptions.erase(subscriptions.begin() + static_cast<ptrdiff_t>(at));
    leave(connection, row, position);
    return true;
  }
  return false;
}

Cursor Hub::position(const Connection& connection) const {
  if (connection.state == ConnectionState::kBusy &&
      connection.session->question != Question::kNone) {
    // What it has missed is not here yet.
    return {connection.session->since_epoch, connection.session->since_number};
  }
  uint64_t number = head_;
  const auto hold_back = [&](uint32_t row, uint32_t wants_from) {
    fanout_.visit(row, [&](const Ref<Message>& message) {
      if (is_wanted(wants_from, message->number)) number = std::min(number, message->number - 1);
    });
  };
  if (connection.state == ConnectionState::kSubscribed) {
    hold_back(connection.only.channel, connection.wants_from());
  } else if (connection.state == ConnectionState::kBusy) {
    for (const Subscription& one : connection.session->subscriptions) {
      hold_back(one.channel, one.wants_from);
    }
  }
  return {rules_.epoch, number};
}

void Hub::resume(Connection* connection, std::string bytes) {
  auto* start = reinterpret_cast<uint8_t*>(bytes.data());
  transport_->protocol_of(*connection).on_bytes(*transport_, connection, start, bytes.size());
}

void Hub::tick(uint16_t now) {
  presence_.tick(now);
  deflate_.trim();
  counters_->set(Counter::kChannels, channels_.size());
}

void Hub::on_kick(const frame::Kick& order) {
  kick_reason_ = order.reason;
  if (order.channel.empty()) {
    kick_all();
  } else {
    kick_subscribers(order.channel);
  }
  kick_reason_.clear();
}

void Hub::kick_subscribers(std::string_view channel) {
  std::vector<Ticket> tickets;
  const uint32_t row = channels_.find(channel);
  if (row == Channels::kNone) return;
  for (const uint32_t fd : channels_.at(row).subscribers) {
    tickets.push_back({fd, transport_->connections().at(static_cast<int>(fd))->generation});
  }
  for (const Ticket& ticket : tickets) kick(ticket);
}

void Hub::on_disconnect(const frame::Disconnect& order) {
  kick_reason_ = order.reason;
  kick({order.fd, order.generation});
  kick_reason_.clear();
}

void Hub::kick(const Ticket& ticket) {
  Connection* connection = find(ticket);
  if (connection != nullptr) transport_->disconnect(connection, CloseCause::kKicked);
}

void Hub::kick_all() {
  Slab<Connection>& connections = transport_->connections();
  connections.visit(0, connections.capacity(), [this](Connection& connection) {
    if (connection.state != ConnectionState::kFree) {
      transport_->disconnect(&connection, CloseCause::kKicked);
    }
    return true;
  });
}

}  // namespace megacomet
