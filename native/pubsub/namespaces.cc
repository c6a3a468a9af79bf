// Finding the longest prefix. See namespaces.h.
#include "pubsub/namespaces.h"

#include <algorithm>
#include <utility>

namespace megacomet {

namespace {

NamespaceRules rules_of(uint64_t flags, uint64_t client_publish) {
  NamespaceRules rules;
  if ((flags & namespace_flag::kPublic) != 0) rules.publicity = Publicity::kPublic;
  if ((flags & namespace_flag::kPrivate) != 0) rules.publicity = Publicity::kPrivate;
  rules.client_publish = static_cast<ClientPublish>(client_publish);
  rules.has_presence = (flags & namespace_flag::kPresence) != 0;
  rules.has_join_leave = (flags & namespace_flag::kJoinLeave) != 0;
  rules.has_client_history = (flags & namespace_flag::kClientHistory) != 0;
  return rules;
}

}  // namespace

bool Namespaces::configure(const frame::Namespaces& settings) {
  const size_t count = settings.prefixes.size();
  if (settings.flags.size() != count || settings.client_publish.size() != count) return false;
  Entries entries;
  for (size_t at = 0; at < count; ++at) {
    const uint64_t client_publish = settings.client_publish[at];
    if (client_publish > static_cast<uint64_t>(ClientPublish::kGrant)) return false;
    entries.push_back({settings.prefixes[at], rules_of(settings.flags[at], client_publish)});
  }
  std::sort(entries.begin(), entries.end(), [](const Entry& one, const Entry& other) {
    return one.prefix < other.prefix;
  });
  has_join_leave_ = std::any_of(entries.begin(), entries.end(), [](const Entry& entry) {
    return entry.rules.has_join_leave;
  });
  entries_ = std::move(entries);
  return true;
}

Namespaces::Entries::const_iterator Namespaces::first_from(std::string_view prefix) const {
  return std::lower_bound(
      entries_.begin(), entries_.end(), prefix, [](const Entry& entry, std::string_view text) {
        return entry.prefix < text;
      });
}

const NamespaceRules* Namespaces::find(std::string_view prefix) const {
  const auto entry = first_from(prefix);
  return entry != entries_.end() && entry->prefix == prefix ? &entry->rules : nullptr;
}

const NamespaceRules& Namespaces::of(std::string_view name) const {
  if (entries_.empty()) return usual_;
  std::string_view prefix = name;
  do {
    const size_t slash = prefix.rfind('/');
    prefix = prefix.substr(0, slash == std::string_view::npos ? 0 : slash + 1);
    const NamespaceRules* rules = find(prefix);
    if (rules != nullptr) return *rules;
    if (!prefix.empty()) prefix.remove_suffix(1);
  } while (!prefix.empty());
  const NamespaceRules* rules = find({});
  return rules == nullptr ? usual_ : *rules;
}

}  // namespace megacomet
