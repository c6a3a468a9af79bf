// How fast one client may do something. A few thousand entries that clients share, because an idle
// connection must not pay for a rate.
#pragma once

#include <cstdint>
#include <vector>

#include "connection/connection.h"

namespace megacomet {

/// kFlood: the client goes on although it has received errors.
enum class Pace : uint8_t { kAllowed, kTooFast, kFlood };

class ClientRates {
 public:
  ClientRates() = default;
  ClientRates(const ClientRates&) = delete;
  ClientRates& operator=(const ClientRates&) = delete;
  ~ClientRates() = default;

  /// Events a second; 0 allows everything.
  void set_rate(uint32_t rate) {
    rate_ = rate;
    interval_ns_ = rate == 0 ? 0 : kSecondNs / rate;
  }
  [[nodiscard]] uint32_t rate() const { return rate_; }

  /// Counts an event of a client at a time of the monotonic clock. A client that was silent may
  /// have the events of one second at once. An event that is not allowed does not count.
  [[nodiscard]] bool allow(const ConnectionName& client, uint64_t now_ns) {
    return interval_ns_ == 0 || count(client, now_ns, false) == Pace::kAllowed;
  }
  /// The same, but every event counts: after another second's events it is a flood.
  [[nodiscard]] Pace pace(const ConnectionName& client, uint64_t now_ns) {
    return interval_ns_ == 0 ? Pace::kAllowed : count(client, now_ns, true);
  }
  /// The same, now.
  [[nodiscard]] Pace pace(const ConnectionName& client);

 private:
  static constexpr uint64_t kSecondNs = 1'000'000'000;

  /// The generic cell rate algorithm: one number for each client instead of tokens and a time.
  struct Entry {
    ConnectionName client;
    /// When the client has no event more than its rate allows. The entry is free after that.
    uint64_t even_at_ns;
  };

  [[nodiscard]] Pace count(const ConnectionName& client, uint64_t now_ns, bool counts_all);
  [[nodiscard]] Entry* entry_of(const ConnectionName& client);

  uint32_t rate_ = 0;
  uint64_t interval_ns_ = 0;
  /// Empty until a client is counted.
  std::vector<Entry> entries_;
};

}  // namespace megacomet
