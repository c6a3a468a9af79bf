// Sending, answering and ending requests. See client_requests.h.
#include "hub/client_requests.h"

#include <algorithm>
#include <utility>

#include "base/bounds.h"

namespace megacomet {

bool ClientRequests::is_allowed(const ConnectionName& client) const {
  const auto own = std::count_if(pending_.begin(), pending_.end(), [&](const Pending& pending) {
    return pending.client.fd == client.fd && pending.client.generation == client.generation;
  });
  return static_cast<size_t>(own) < bounds::kClientRequestsPerConnection;
}

RequestResult ClientRequests::request(const Connection& connection,
                                      std::string id,
                                      frame::ClientRequest request) {
  const auto kind = static_cast<ClientRequestKind>(request.kind);
  const ConnectionName client = name_of(connection);
  parts_.counters->add(kind == ClientRequestKind::kPresence ? Counter::kPresenceRequestsTotal
                                                            : Counter::kHistoryRequestsTotal);
  const bool is_worker_full = pending_.size() >= bounds::kClientRequestsMax;
  const bool is_client_full = !is_allowed(client);
  if (is_client_full || is_worker_full || parts_.control->is_full()) {
    parts_.counters->add(Counter::kClientRequestsRejectedTotal);
    return is_client_full ? RequestResult::kTooMany : RequestResult::kBusy;
  }
  request.request = ++last_number_;
  const auto deadline = static_cast<uint16_t>(now_ + bounds::kClientRequestSeconds);
  pending_.push_back({request.request, client, std::move(id), kind, deadline});
  parts_.control->send(request);
  return RequestResult::kSent;
}

void ClientRequests::on_response(const frame::ClientResponse& response) {
  const auto found = std::find_if(pending_.begin(), pending_.end(), [&](const Pending& pending) {
    return pending.number == response.request;
  });
  if (found == pending_.end()) return;
  const Pending pending = std::move(*found);
  pending_.erase(found);
  respond(pending, response.error, response.members.bytes);
}

void ClientRequests::tick(uint16_t now) {
  now_ = now;
  // Requests are in the order of their deadlines.
  while (!pending_.empty() && static_cast<int16_t>(pending_.front().deadline - now) < 0) {
    const Pending pending = std::move(pending_.front());
    pending_.erase(pending_.begin());
    parts_.counters->add(Counter::kClientRequestsLateTotal);
    respond(pending, "no answer in time; retry later", {});
  }
}

void ClientRequests::respond(const Pending& pending,
                             std::string_view error,
                             std::string_view members) {
  Connection* connection = find_connection(parts_.connections, pending.client);
  if (connection == nullptr || connection->is_closing) return;
  const Protocol& protocol = *parts_.protocols[connection->protocol];
  if (protocol.on_response == nullptr) return;
  protocol.on_response(*parts_.services, connection, {pending.kind, pending.id, error, members});
}

}  // namespace megacomet
