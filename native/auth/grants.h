// The actions allowed to a connection, and their channels.
#pragma once

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "auth/token.h"
#include "base/ref.h"

namespace megacomet {

/// A text that stands for channel names. A star stands for any characters but "/", as in
/// "team-*/chat"; a star alone in the last segment, as in "news/*" and "*", for all that follows,
/// as in a subscription to a prefix.
class NamePattern {
 public:
  explicit NamePattern(std::string text);

  /// Whether it stands for this name, or for all names of this prefix "a/*".
  [[nodiscard]] bool covers(std::string_view name) const;

 private:
  /// Without the star of the rest.
  std::string text_;
  bool has_rest_;
};

/// The grants of a principal. Connections with the same grants share one.
class Grants : public Counted {
 public:
  /// `channels` are subscribed when a client connects. `is_by_decision`: the application gave
  /// them, and not a token.
  explicit Grants(const GrantTexts& texts,
                  std::vector<std::string> channels = {},
                  bool is_by_decision = false);

  [[nodiscard]] const std::vector<std::string>& channels() const { return channels_; }
  [[nodiscard]] bool allows(Action action, std::string_view name) const;
  [[nodiscard]] bool is_by_decision() const { return is_by_decision_; }

 private:
  std::array<std::vector<NamePattern>, kActionCount> patterns_;
  std::vector<std::string> channels_;
  bool is_by_decision_;
};

}  // namespace megacomet
