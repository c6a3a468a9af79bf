// Making and deleting sessions. See sessions.h.
#include "connection/sessions.h"

#include <memory>

namespace megacomet {

namespace {

/// A record of the slab has no destructor: its pointer owns the session.
Session* make_session() {
  return std::make_unique<Session>().release();
}

}  // namespace

Session* Sessions::acquire(Connection* connection) {
  if (connection->is_busy()) return connection->session;
  Session* session = make_session();
  counters_->add(Counter::kSessions);
  if (connection->state == ConnectionState::kSubscribed) {
    session->subscriptions.push_back(
        {connection->only.channel, connection->only.position, connection->next_wanted()});
  }
  connection->session = session;
  change_state(connection, ConnectionState::kBusy);
  return session;
}

void Sessions::release(Connection* connection) {
  if (!connection->is_busy()) return;
  Session* session = connection->session;
  if (session->is_needed()) return;
  if (session->subscriptions.empty()) {
    connection->session = nullptr;
    change_state(connection, ConnectionState::kOpen);
  } else {
    const Subscription& one = session->subscriptions.front();
    connection->only = {one.channel, one.position};
    connection->set_next_wanted(one.next_wanted);
    change_state(connection, ConnectionState::kSubscribed);
  }
  counters_->subtract(Counter::kSessions);
  delete session;
}

void Sessions::destroy(Connection* connection) {
  if (connection->is_busy()) {
    input_budget_->forget(connection->session->input_budget_bytes());
    counters_->subtract(Counter::kSessions);
    delete connection->session;
  }
  connection->session = nullptr;
}

}  // namespace megacomet
