// How fast clients may publish: one alone, and all clients of this worker together.
#pragma once

#include <cstdint>

#include "base/token_bucket.h"
#include "connection/client_rates.h"
#include "connection/connection.h"

namespace megacomet {

class PublishLimits {
 public:
  PublishLimits() = default;
  PublishLimits(const PublishLimits&) = delete;
  PublishLimits& operator=(const PublishLimits&) = delete;
  ~PublishLimits() = default;

  /// Messages a second; 0 admits everything.
  void set_client_rate(uint32_t rate) { clients_.set_rate(rate); }
  void set_worker_rate(uint64_t rate_milli);

  /// Counts a message of a client at a time of the monotonic clock; false if it is too fast.
  [[nodiscard]] bool count_client(const ConnectionName& client, uint64_t now_ns) {
    return clients_.allow(client, now_ns);
  }
  /// Counts a message that is sent; false if all clients together are too fast.
  [[nodiscard]] bool count_all(uint64_t now_ns) { return all_.take(now_ns); }

 private:
  ClientRates clients_;
  TokenBucket all_;
};

}  // namespace megacomet
