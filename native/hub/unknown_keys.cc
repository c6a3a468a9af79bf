// Reports of unknown keys. See unknown_keys.h.
#include "hub/unknown_keys.h"

namespace megacomet {

TokenFault UnknownKeys::note(uint64_t now_ns) {
  if (now_ns < checked_until_ns_) return TokenFault::kUnknownKey;
  ++unreported_;
  if (now_ns >= next_report_ns_ && !control_->is_full()) {
    next_report_ns_ = now_ns + kSecondNs;
    control_->send(frame::UnknownKey{unreported_});
    unreported_ = 0;
  }
  return TokenFault::kKeyPending;
}

}  // namespace megacomet
