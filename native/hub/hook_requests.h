// Clients without a token that wait for the application's decision, and the frames about them. The
// manager asks the application; see HookService.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "connection/connection.h"
#include "connection/protocol.h"
#include "connection/services.h"
#include "ipc/control.h"
#include "ipc/frames.h"
#include "ipc/segment.h"
#include "os/slab.h"

namespace megacomet {

class HookRequests final : public HookService {
 public:
  struct Parts {
    Slab<Connection>* connections;
    Control* control;
    Counters* counters;
    Services* services;
    const Protocol* const* protocols;
  };
  explicit HookRequests(const Parts& parts) : parts_(parts) {}
  HookRequests(const HookRequests&) = delete;
  HookRequests& operator=(const HookRequests&) = delete;
  ~HookRequests() = default;

  void configure(frame::Hooks rules) { rules_ = std::move(rules); }

  /// A decision. One that arrives too late, or for a connection that has closed, is ignored.
  void on_answer(frame::HookAnswer answer);

  /// Once a second: rejects the clients that the manager has not answered in time.
  void tick(uint16_t now);

  [[nodiscard]] bool asks_about(HookAction action) const override;
  [[nodiscard]] const frame::Hooks& rules() const override { return rules_; }
  [[nodiscard]] bool ask(Connection* connection, frame::HookRequest hook_request) override;

  [[nodiscard]] size_t waiting() const { return waiting_.size(); }

 private:
  struct Waiting {
    ConnectionName name;
    HookAction action;
    /// Tick at which it has waited too long; compared as a signed difference.
    uint16_t deadline;
    std::vector<std::string> channels;
  };

  void decide(Waiting waiting, frame::HookAnswer answer);

  Parts parts_;
  frame::Hooks rules_;
  /// By the number of the hook request, so that a late answer cannot be taken for a later one.
  std::unordered_map<uint32_t, Waiting> waiting_;
  uint32_t last_request_ = 0;
  uint16_t now_ = 0;
};

}  // namespace megacomet
