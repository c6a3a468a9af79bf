// Messages that clients publish: counts them, sends them to the manager, and hands its answers to
// the clients.
#pragma once

#include <cstdint>

#include "connection/client_limits.h"
#include "connection/connection.h"
#include "connection/protocol.h"
#include "connection/services.h"
#include "hub/access.h"
#include "hub/publish_limits.h"
#include "ipc/control.h"
#include "ipc/frames.h"
#include "ipc/segment.h"
#include "os/slab.h"

namespace megacomet {

class ClientPublishing final : public PublishService {
 public:
  struct Parts {
    Slab<Connection>* connections;
    Control* control;
    Counters* counters;
    ClientLimits* limits;
    Access* access;
    Services* services;
    const Protocol* const* protocols;
  };
  explicit ClientPublishing(const Parts& parts) : parts_(parts) {}
  ClientPublishing(const ClientPublishing&) = delete;
  ClientPublishing& operator=(const ClientPublishing&) = delete;
  ~ClientPublishing() = default;

  /// Messages a second of one client; 0 for no limit.
  void set_client_rate(uint32_t rate) { rates_.set_client_rate(rate); }
  /// Messages in a thousand seconds of all clients of this worker; 0 for no limit.
  void set_worker_rate(uint64_t rate_milli) { rates_.set_worker_rate(rate_milli); }

  [[nodiscard]] PublishPace count(const Connection& connection) override;
  [[nodiscard]] bool publish(const Connection& connection, frame::Message message) override;

  void on_rejected(const frame::Rejected& rejected);
  void on_published(const frame::Published& published);

 private:
  [[nodiscard]] Connection* open_client(const ConnectionName& name);
  [[nodiscard]] const Protocol& protocol_of(const Connection& connection) const {
    return *parts_.protocols[connection.protocol];
  }

  Parts parts_;
  PublishLimits rates_;
};

}  // namespace megacomet
