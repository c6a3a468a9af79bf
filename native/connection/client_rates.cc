// Counting the events of clients. See client_rates.h.
#include "connection/client_rates.h"

#include <algorithm>

#include "os/sys.h"

namespace megacomet {

namespace {

/// Clients with an event within one second are usually fewer. Beyond it the client that is furthest
/// below its rate is forgotten, and may have another burst.
constexpr size_t kEntries = 4096;
/// Entries that one client may use.
constexpr size_t kProbes = 8;

}  // namespace

Pace ClientRates::pace(const ConnectionName& client) {
  return pace(client, sys::monotonic_ns());
}

Pace ClientRates::count(const ConnectionName& client, uint64_t now_ns, bool counts_all) {
  Entry* entry = entry_of(client);
  const uint64_t even_at_ns = std::max(entry->even_at_ns, now_ns) + interval_ns_;
  const bool is_allowed = even_at_ns <= now_ns + kSecondNs;
  if (is_allowed || counts_all) entry->even_at_ns = even_at_ns;
  if (is_allowed) return Pace::kAllowed;
  return even_at_ns <= now_ns + 2 * kSecondNs ? Pace::kTooFast : Pace::kFlood;
}

ClientRates::Entry* ClientRates::entry_of(const ConnectionName& client) {
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
