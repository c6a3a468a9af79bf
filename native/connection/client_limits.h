// How much one address and one user may take: the rules, and the counting in the tables that all
// workers share. A server without these limits looks at no address.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/ip_address.h"
#include "base/siphash.h"
#include "connection/client_addresses.h"
#include "connection/close_cause.h"
#include "connection/connection.h"
#include "connection/rare_log.h"
#include "ipc/control.h"
#include "ipc/frames.h"
#include "ipc/limit_table.h"
#include "ipc/segment.h"

struct sockaddr_storage;

namespace megacomet {

/// Whether a client may connect, by its address or user. Each other value has a counter.
enum class Allowance : uint8_t { kGranted, kUntrusted, kTooMany, kTooFast };

[[nodiscard]] constexpr Rejection rejection_of(Allowance allowance) {
  return allowance == Allowance::kTooFast ? Rejection::kTooFast : Rejection::kTooMany;
}

class ClientLimits {
 public:
  /// The content of `word` in a connection's watcher: the row of its address, counted from 1, and
  /// whether the peer is a trusted proxy, which sends requests of many clients.
  static constexpr uint32_t kOfProxy = uint32_t{1} << 31;

  ClientLimits(Control* control, Counters* counters);
  ClientLimits(const ClientLimits&) = delete;
  ClientLimits& operator=(const ClientLimits&) = delete;

  /// Takes the manager's settings; `sets` are the tables of the shared memory. False for an invalid
  /// network.
  [[nodiscard]] bool configure(const frame::Limits& limits, LimitTables* sets);

  /// Whether the address of an accepted peer matters.
  [[nodiscard]] bool needs_peer() const {
    return (limits_.flags & limit_flag::kAddresses) != 0 || trusts_unix_ || !trusted_.empty();
  }
  /// Keeps the addresses of clients behind proxies from now on, for host_of(). False if the kernel
  /// rejects the address space.
  [[nodiscard]] bool reserve_addresses(uint32_t capacity) {
    return !needs_peer() || addresses_.reserve(capacity);
  }
  [[nodiscard]] const frame::Limits& rules() const { return limits_; }

  /// An accepted peer of a listener whose connections begin with a PROXY header, or not. If
  /// granted, `word` gets the value that its connection keeps.
  [[nodiscard]] Allowance admit(const sockaddr_storage& peer, bool has_header, uint32_t* word);
  /// The client of a connection is at another address, which a trusted proxy says. If granted, the
  /// connection counts there, else nowhere.
  [[nodiscard]] Allowance change(Connection* connection, const IpAddress& address);
  /// As change(), for a PROXY header: a client that is a trusted proxy itself may say more.
  [[nodiscard]] Allowance reveal(Connection* connection, const IpAddress& address);
  /// The proxy's connection serves no client now.
  void end_request(Connection* connection) {
    if (!is_of_proxy(*connection)) return;
    leave_row(&connection->watcher.word);
    addresses_.forget(connection->fd());
  }
  /// The connection closes.
  void leave(Connection* connection) { leave_row(&connection->watcher.word); }
  void forget_address(const Connection& connection) { addresses_.forget(connection.fd()); }
  /// From a slow timer.
  void trim() { addresses_.trim(); }

  /// The numeric address of a client, which a trusted proxy may have named. After
  /// reserve_addresses(); empty for a unix socket.
  [[nodiscard]] std::string host_of(const Connection& connection);
  /// For a connection that was not registered after admit().
  void give_back(uint32_t word) { leave_row(&word); }

  [[nodiscard]] static bool is_of_proxy(const Connection& connection) {
    return (connection.watcher.word & kOfProxy) != 0;
  }
  [[nodiscard]] bool is_trusted(const IpAddress& address) const;

  /// Whether connections or messages are counted by user.
  [[nodiscard]] bool counts_users() const {
    return limits_.user_connections != 0 || limits_.user_publish_rate != 0;
  }
  /// A user has one connection more; false if that exceeds the limit.
  [[nodiscard]] bool enter_user(std::string_view user);
  void leave_user(std::string_view user);
  /// As enter_user(), for a connection that was allowed before.
  void recount_user(std::string_view user);
  /// Counts a message of a user; false if it exceeds the rate.
  [[nodiscard]] bool take_publish(std::string_view user);

  /// Counts in another set of tables from now on. The caller enters all users again.
  void recount(uint8_t tables, Slab<Connection>* connections);

 private:
  [[nodiscard]] LimitTables& tables() const { return sets_[limits_.tables]; }
  [[nodiscard]] LimitTag tag_of(uint8_t kind, std::string_view name) const;
  [[nodiscard]] Allowance enter_address(const IpAddress& address, uint32_t* word);
  [[nodiscard]] Allowance check_rate(const IpAddress& address, uint32_t row);
  void leave_row(uint32_t* word);
  void note_crowd(const IpAddress& address, uint32_t count);
  void note_rejected(const IpAddress& address, const char* rule, uint32_t limit);

  Counters* counters_;
  frame::Limits limits_;
  LimitTables* sets_ = nullptr;
  SipKey key_{};
  ClientAddresses addresses_;
  std::vector<IpNetwork> trusted_;
  bool trusts_unix_ = false;
  RareLog crowds_;
  RareLog rejections_;
};

}  // namespace megacomet
