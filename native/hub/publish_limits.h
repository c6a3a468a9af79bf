// How fast clients may publish: one alone, and all clients of this worker together.
// A few thousand entries that clients share, because an idle connection must not pay for a rate.
#pragma once

#include <cstdint>
#include <vector>

#include "base/token_bucket.h"
#include "connection/connection.h"

namespace megacomet {

class PublishLimits {
 public:
  PublishLimits() = default;
  PublishLimits(const PublishLimits&) = delete;
  PublishLimits& operator=(const PublishLimits&) = delete;
  ~PublishLimits() = default;

  enum class Result : uint8_t { kAdmitted, kClientTooFast, kAllTooFast };

  /// Messages a second; 0 admits everything.
  void set_client_rate(uint32_t rate) { client_interval_ns_ = rate == 0 ? 0 : kSecondNs / rate; }
  void set_worker_rate(uint64_t rate_milli);

  /// Counts a message of a client at a time of the monotonic clock.
  [[nodiscard]] Result count(const ConnectionName& client, uint64_t now_ns);

 private:
  static constexpr uint64_t kSecondNs = 1'000'000'000;

  /// The generic cell rate algorithm: one number for each client instead of tokens and a time.
  struct Entry {
    ConnectionName client;
    /// When the client has no message more than its rate allows. The entry is free after that.
    uint64_t even_at_ns;
  };

  [[nodiscard]] bool admit(const ConnectionName& client, uint64_t now_ns);
  [[nodiscard]] Entry* entry_of(const ConnectionName& client);

  uint64_t client_interval_ns_ = 0;
  TokenBucket all_;
  /// Empty until a client publishes.
  std::vector<Entry> entries_;
};

}  // namespace megacomet
