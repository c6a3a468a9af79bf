// Requests of clients that only the manager can answer: presence and history. A bounded number is
// unanswered at a time, and each ends: with the manager's answer, after a time, or unseen if its
// connection closes before.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "connection/connection.h"
#include "connection/protocol.h"
#include "connection/services.h"
#include "ipc/control.h"
#include "ipc/segment.h"

namespace megacomet {

class ClientRequests final : public RequestService {
 public:
  struct Parts {
    Slab<Connection>* connections;
    Control* control;
    Counters* counters;
    Services* services;
    const Protocol* const* protocols;
  };

  explicit ClientRequests(const Parts& parts) : parts_(parts) {}
  ClientRequests(const ClientRequests&) = delete;
  ClientRequests& operator=(const ClientRequests&) = delete;
  ~ClientRequests() = default;

  [[nodiscard]] RequestResult request(const Connection& connection,
                                      std::string id,
                                      frame::ClientRequest request) override;

  /// The manager's answer. Ignored if the request has ended.
  void on_response(const frame::ClientResponse& response);

  /// Once a second: ends the requests that the manager has not answered in time.
  void tick(uint16_t now);

  /// Requests without an answer. Those of closed connections count: the manager works on them.
  [[nodiscard]] size_t unanswered() const { return pending_.size(); }

 private:
  struct Pending {
    uint32_t number;
    ConnectionName client;
    std::string id;
    ClientRequestKind kind;
    /// Tick after which it is answered with an error.
    uint16_t deadline;
  };

  [[nodiscard]] bool is_allowed(const ConnectionName& client) const;
  void respond(const Pending& pending, std::string_view error, std::string_view members);

  Parts parts_;
  std::vector<Pending> pending_;
  uint32_t last_number_ = 0;
  uint16_t now_ = 0;
};

}  // namespace megacomet
