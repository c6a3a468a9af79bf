// The options of channels by the longest prefix of their name, as far as workers need them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "ipc/frames.h"

namespace megacomet {

/// Whether clients may subscribe without a grant. kServer: the server's option decides.
enum class Publicity : uint8_t { kServer, kPublic, kPrivate };

struct NamespaceRules {
  Publicity publicity = Publicity::kServer;
  ClientPublish client_publish = ClientPublish::kServer;
  bool has_presence = true;
  bool has_join_leave = false;
  bool has_client_history = true;
};

class Namespaces {
 public:
  /// Takes the manager's namespaces in place of earlier ones. False if the frame is not valid.
  [[nodiscard]] bool configure(const frame::Namespaces& settings);

  /// The rules of a channel, or of a pattern "prefix/*" itself.
  [[nodiscard]] const NamespaceRules& of(std::string_view name) const;

  /// Whether some namespace has join and leave messages.
  [[nodiscard]] bool has_join_leave() const { return has_join_leave_; }

  /// Whether each namespace within the pattern "prefix/*" fulfils `test(pattern, rules)`.
  template <typename Test>
  [[nodiscard]] bool all_within(std::string_view pattern, Test test) const {
    pattern.remove_suffix(1);
    for (auto entry = first_from(pattern); entry != entries_.end(); ++entry) {
      if (entry->prefix.compare(0, pattern.size(), pattern) != 0) break;
      if (entry->prefix.size() > pattern.size() && !test(entry->prefix + '*', entry->rules)) {
        return false;
      }
    }
    return true;
  }

 private:
  struct Entry {
    /// With the slash at its end; empty for all channels.
    std::string prefix;
    NamespaceRules rules;
  };
  using Entries = std::vector<Entry>;

  /// The first entry whose prefix is not before `prefix`.
  [[nodiscard]] Entries::const_iterator first_from(std::string_view prefix) const;
  [[nodiscard]] const NamespaceRules* find(std::string_view prefix) const;

  /// By prefix, in the order of bytes.
  Entries entries_;
  NamespaceRules usual_;
  bool has_join_leave_ = false;
};

}  // namespace megacomet
