// Counting the messages of clients. See publish_limits.h.
#include "hub/publish_limits.h"

#include <algorithm>

namespace megacomet {

namespace {

/// Clients that publish within one second are usually fewer. Beyond it the client that is furthest
/// below its rate is forgotten, and may send another burst.
constexpr size_t kEntries = 4096;
/// Entries that one client may use.
constexpr size_t kProbes = 8;

}  // namespace

void PublishLimits::set_worker_rate(uint64_t rate_milli) {
  all_.set_rate(static_cast<uint32_t>(std::min<uint64_t>(rate_milli, UINT32_MAX)));
}

PublishLimits::Result PublishLimits::count(const ConnectionName& client, uint64_t now_ns) {
  if (client_interval_ns_ != 0 && !admit(client, now_ns)) return Result::kClientTooFast;
  return all_.take(now_ns) ? Result::kAdmitted : Result::kAllTooFast;
}

/// A client that was silent may send the messages of one second at once.
bool PublishLimits::admit(const ConnectionName& client, uint64_t now_ns) {
  Entry* entry = entry_of(client);
  const uint64_t even_at_ns = std::max(entry->even_at_ns, now_ns);
  if (even_at_ns + client_interval_ns_ > now_ns + kSecondNs) return false;
  entry->even_at_ns = even_at_ns + client_interval_ns_;
  return true;
}

PublishLimits::Entry* PublishLimits::entry_of(const ConnectionName& client) {
  if (entries_.empty()) entries_.resize(kEntries);
  // Descriptors are dense, so neighbours use different entries.
  const size_t start = client.fd * kProbes;
  Entry* free = nullptr;
  for (size_t probe = 0; probe < kProbes; ++probe) {
    Entry* entry = &entries_[(start + probe) % kEntries];
    const bool is_same =
        entry->client.fd == client.fd && entry->client.generation == client.generation;
    if (is_same) return entry;
    if (free == nullptr || entry->even_at_ns < free->even_at_ns) free = entry;
  }
  *free = Entry{client, 0};
  return free;
}

}  // namespace megacomet
