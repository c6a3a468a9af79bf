// Requests of clients to the manager, which answers them later: the parts of the hub, the requests
// under test, and the answers that clients have received.
#pragma once

#include <string>
#include <vector>

#include "support/hub_parts.h"

namespace unit {

/// The answers that the handler of a RequestsWorld has recorded.
inline std::vector<std::string> answers;

/// `handler` is the protocol's `member`, such as on_decision.
template <typename Requests, auto member, auto handler>
struct RequestsWorld {
  RequestsWorld() { answers.clear(); }

  /// The manager does not read: its queue becomes full.
  void fill_queue() {
    const std::string text(2000, 'x');
    while (parts.control.log(LogLevel::kWarn, text.c_str())) continue;
  }
  void close(Connection* connection) { parts.owner.close(connection, CloseCause::kPeer); }
  [[nodiscard]] uint64_t count(Counter counter) const { return parts.count(counter); }

  static constexpr Protocol make_asking() {
    Protocol protocol;
    protocol.*member = handler;
    return protocol;
  }
  static constexpr Protocol kAsking = make_asking();
  /// It makes no requests: its connection was another one's when it asked.
  static constexpr Protocol kSilent{};
  static constexpr const Protocol* kProtocols[] = {&kAsking, &kSilent};

  HubParts parts{kProtocols};
  Requests requests{
      {&parts.connections, &parts.control, &parts.counters, &parts.services, kProtocols}};
};

}  // namespace unit
