// Counting connections by address and user. See client_limits.h.
#include "connection/client_limits.h"

#include <algorithm>
#include <string>

#include "base/bounds.h"
#include "os/address.h"
#include "os/sys.h"

namespace megacomet {

namespace {

constexpr uint64_t kSecondNs = 1'000'000'000;
/// The first byte of a hashed name, so that no user has the row of another kind.
constexpr uint8_t kAddressKind = 'a';
constexpr uint8_t kUserKind = 'u';
constexpr uint32_t kRowMask = ClientLimits::kOfProxy - 1;

/// The limits that the server chose itself hold for public addresses alone.
constexpr uint8_t kPublicOnly = limit_flag::kPublicConnections | limit_flag::kPublicHandshakes;

/// The row of a connection's word; kNone if it is not counted.
uint32_t row_in(uint32_t word) {
  const uint32_t row = word & kRowMask;
  return row == 0 ? LimitTable::kNone : row - 1;
}

/// The address, or the network that is counted as one.
std::string shown(const IpAddress& counted) {
  return text_of(counted) + (counted.is_ipv4() ? "" : "/64");
}

uint32_t most(uint32_t limit) {
  return limit == 0 ? LimitTable::kCountMax : std::min(limit, LimitTable::kCountMax);
}

}  // namespace

ClientLimits::ClientLimits(Control* control, Counters* counters)
    : counters_(counters),
      crowds_(control, counters, bounds::kCrowdLogMs),
      rejections_(control, counters, bounds::kRejectionLogMs) {}

bool ClientLimits::configure(const frame::Limits& limits, LimitTables* sets) {
  if (limits.tables > 1 || limits.trusted.size() > bounds::kTrustedNetworksMax) return false;
  for (const std::string& text : limits.trusted) {
    if (text == "unix") {
      trusts_unix_ = true;
      continue;
    }
    IpNetwork network;
    if (!parse_network(text, &network)) return false;
    trusted_.push_back(network);
  }
  limits_ = limits;
  sets_ = sets;
  key_ = {limits.key_first, limits.key_second};
  return true;
}

bool ClientLimits::is_trusted(const IpAddress& address) const {
  return std::any_of(trusted_.begin(), trusted_.end(), [&address](const IpNetwork& network) {
    return network.has(address);
  });
}

LimitTag ClientLimits::tag_of(uint8_t kind, std::string_view name) const {
  std::string text(1, static_cast<char>(kind));
  text.append(name);
  const LimitTag tag = siphash128(key_, text)[0] & kLimitTagMask;
  return tag == 0 ? 1 : tag;
}

Allowance ClientLimits::admit(const sockaddr_storage& peer, bool has_header, uint32_t* word) {
  *word = 0;
  IpAddress address;
  const bool has_address = read_peer(peer, &address);
  if (has_address ? is_trusted(address) : trusts_unix_) {
    *word = kOfProxy;
    return Allowance::kGranted;
  }
  if (has_header) return Allowance::kUntrusted;
  return has_address ? enter_address(address, word) : Allowance::kGranted;
}

Allowance ClientLimits::change(Connection* connection, const IpAddress& address) {
  uint32_t& word = connection->watcher.word;
  leave_row(&word);
  addresses_.set(connection->fd(), address);
  return enter_address(address, &word);
}

Allowance ClientLimits::reveal(Connection* connection, const IpAddress& address) {
  uint32_t& word = connection->watcher.word;
  addresses_.set(connection->fd(), address);
  if (is_trusted(address)) return Allowance::kGranted;
  word = 0;
  return enter_address(address, &word);
}

std::string ClientLimits::host_of(const Connection& connection) {
  const IpAddress* named = addresses_.find(connection.fd());
  return named == nullptr ? peer_host(connection.fd()) : text_of(*named);
}

/// Counts a client in, and puts its row into a word.
Allowance ClientLimits::enter_address(const IpAddress& address, uint32_t* word) {
  if ((limits_.flags & limit_flag::kAddresses) == 0) return Allowance::kGranted;
  if ((limits_.flags & kPublicOnly) == kPublicOnly && address.is_loopback()) {
    return Allowance::kGranted;
  }
  const uint8_t unlimited = address.is_private() ? limits_.flags & kPublicOnly : 0;
  const IpAddress counted = address.counted();
  const std::string_view name(reinterpret_cast<const char*>(counted.bytes.data()),
                              counted.bytes.size());
  const bool is_counted = (unlimited & limit_flag::kPublicConnections) == 0;
  const uint32_t limit = is_counted ? limits_.address_connections : 0;
  LimitTable& table = tables().addresses;
  const LimitTable::Entry entry =
      table.enter(tag_of(kAddressKind, name), most(limit), sys::monotonic_ns());
  if (entry.result == LimitTable::Result::kNoRow) {
    counters_->add(Counter::kLimitTableFullTotal);
    return Allowance::kGranted;
  }
  if (entry.result == LimitTable::Result::kFull) {
    counters_->add(Counter::kLimitedConnectionsTotal);
    note_rejected(counted, "--connections-per-address", limit);
    return Allowance::kTooMany;
  }
  const bool is_timed = (unlimited & limit_flag::kPublicHandshakes) == 0;
  if (is_timed && check_rate(counted, entry.row) == Allowance::kTooFast) {
    table.leave(entry.row);
    return Allowance::kTooFast;
  }
  *word |= entry.row + 1;
  note_crowd(counted, entry.count);
  return Allowance::kGranted;
}

Allowance ClientLimits::check_rate(const IpAddress& address, uint32_t row) {
  const uint32_t rate = limits_.address_handshake_rate;
  if (rate == 0) return Allowance::kGranted;
  if (tables().addresses.take(row, kSecondNs / rate, sys::monotonic_ns())) {
    return Allowance::kGranted;
  }
  counters_->add(Counter::kLimitedHandshakesTotal);
  note_rejected(address, "--handshakes-per-address", rate);
  return Allowance::kTooFast;
}

void ClientLimits::leave_row(uint32_t* word) {
  const uint32_t row = row_in(*word);
  if (row == LimitTable::kNone) return;
  tables().addresses.leave(row);
  *word &= kOfProxy;
}

bool ClientLimits::enter_user(std::string_view user) {
  const LimitTable::Entry entry = tables().users.enter(
      tag_of(kUserKind, user), most(limits_.user_connections), sys::monotonic_ns());
  if (entry.result == LimitTable::Result::kEntered) return true;
  const bool is_full = entry.result == LimitTable::Result::kFull;
  counters_->add(is_full ? Counter::kLimitedUsersTotal : Counter::kLimitTableFullTotal);
  return !is_full;
}

void ClientLimits::recount_user(std::string_view user) {
  static_cast<void>(
      tables().users.enter(tag_of(kUserKind, user), LimitTable::kCountMax, sys::monotonic_ns()));
}

void ClientLimits::leave_user(std::string_view user) {
  LimitTable& users = tables().users;
  const uint32_t row = users.find(tag_of(kUserKind, user));
  if (row != LimitTable::kNone) users.leave(row);
}

bool ClientLimits::take_publish(std::string_view user) {
  if (limits_.user_publish_rate == 0) return true;
  LimitTable& users = tables().users;
  const uint32_t row = users.find(tag_of(kUserKind, user));
  if (row == LimitTable::kNone) return true;
  if (users.take(row, kSecondNs / limits_.user_publish_rate, sys::monotonic_ns())) return true;
  counters_->add(Counter::kLimitedUserPublishesTotal);
  return false;
}

void ClientLimits::recount(uint8_t set, Slab<Connection>* connections) {
  const LimitTable& old = tables().addresses;
  limits_.tables = set & 1U;
  LimitTable& addresses = tables().addresses;
  const uint64_t now_ns = sys::monotonic_ns();
  connections->visit(0, connections->capacity(), [&](Connection& connection) {
    uint32_t& word = connection.watcher.word;
    const uint32_t row = row_in(word);
    if (row == LimitTable::kNone) return true;
    // A lowered limit holds for the next clients.
    const LimitTable::Entry entry = addresses.enter(old.tag_of(row), LimitTable::kCountMax, now_ns);
    const bool is_counted = entry.result == LimitTable::Result::kEntered;
    word = (word & kOfProxy) | (is_counted ? entry.row + 1 : 0);
    return true;
  });
}

void ClientLimits::note_crowd(const IpAddress& address, uint32_t count) {
  const uint32_t total = tables().addresses.total();
  const bool is_crowd =
      count >= bounds::kCrowdMin && uint64_t{count} * 100 > uint64_t{total} * bounds::kCrowdPercent;
  if (!is_crowd || !crowds_.is_due()) return;
  const std::string line = shown(address) + " has " + std::to_string(count) + " of " +
                           std::to_string(total) +
                           " connections; if it is a proxy, set --trusted-proxies";
  crowds_.write(LogLevel::kWarn, line.c_str());
}

void ClientLimits::note_rejected(const IpAddress& address, const char* rule, uint32_t limit) {
  if (!rejections_.is_due()) return;
  const std::string line =
      "clients of " + shown(address) + " are rejected: " + rule + " is " + std::to_string(limit);
  rejections_.write(LogLevel::kInfo, line.c_str());
}

}  // namespace megacomet
