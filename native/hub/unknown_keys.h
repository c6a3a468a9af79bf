// Tokens whose key may be one of --token-jwks-url: the worker reports that it met one, and the
// manager fetches the keys. No token waits for that.
#pragma once

#include <cstdint>

#include "auth/token.h"
#include "ipc/control.h"

namespace megacomet {

class UnknownKeys {
 public:
  explicit UnknownKeys(Control* control) : control_(control) {}

  /// The manager has fetched the keys because of a report.
  void on_checked(uint32_t seconds, uint64_t now_ns) {
    checked_until_ns_ = now_ns + uint64_t{seconds} * kSecondNs;
  }

  /// A token has such a key. kUnknownKey shortly after the manager has fetched the keys, because
  /// then the issuer has no such key. Else kKeyPending, and the manager gets a report.
  [[nodiscard]] TokenFault note(uint64_t now_ns);

 private:
  static constexpr uint64_t kSecondNs = 1'000'000'000;

  Control* control_;
  uint64_t checked_until_ns_ = 0;
  uint64_t next_report_ns_ = 0;
  /// Tokens that no report has counted.
  uint32_t unreported_ = 0;
};

}  // namespace megacomet
