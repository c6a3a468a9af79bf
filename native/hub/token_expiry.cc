// The times at which connections end. See token_expiry.h.
#include "hub/token_expiry.h"

#include <algorithm>

namespace megacomet {

namespace {

constexpr uint64_t kSpreadShare = 10;
constexpr uint64_t kSpreadSecondsMax = 60;
constexpr uint64_t kEndMax = UINT32_MAX;

}  // namespace

uint32_t TokenExpiry::end_of(const KnownToken& token, uint64_t now_s) {
  const uint64_t end_s = token.expires_at_s;
  if (end_s == kEndMax) return 0;
  const uint64_t begin_s = token.issued_at_s == 0 ? now_s : token.issued_at_s;
  const uint64_t life_s = end_s > begin_s ? end_s - begin_s : 0;
  // A client that presents its token late keeps half of the remaining time: it would return at
  // once.
  const uint64_t left_s = end_s > now_s ? end_s - now_s : 0;
  const uint64_t spread_s = std::min({life_s / kSpreadShare, kSpreadSecondsMax, left_s / 2});
  const uint64_t early_s = parts_.random->below(static_cast<uint32_t>(spread_s) + 1);
  return static_cast<uint32_t>(end_s - std::min(early_s, end_s - 1));
}

void TokenExpiry::end_expired(uint64_t now_s) {
  // An end between this call and the next one must not wait for that.
  const uint64_t until_s = std::min(now_s + 1, kEndMax - 1);
  parts_.principals->visit_ended(static_cast<uint32_t>(until_s), [this](int fd) {
    Connection* connection = parts_.records->at(fd);
    // It had a second to take the bytes that were queued before.
    if (connection->is_closing) return parts_.connections->close(connection, CloseCause::kExpired);
    parts_.connections->disconnect(connection, CloseCause::kExpired, {});
  });
}

}  // namespace megacomet
