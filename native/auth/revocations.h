// Tokens that do not count any more, by user or by their id, until the time that the operator gave.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>

#include "auth/token.h"
#include "base/bounds.h"
#include "ipc/frames.h"

namespace megacomet {

class Revocations {
 public:
  /// Keeps a revocation. With an earlier one of the same user or token, the later times of both
  /// count. Beyond kRevocationsMax it is not kept: the manager has the same limit and forgets at
  /// the same times, so that it has rejected the call.
  void add(const frame::Revoke& order, uint64_t now_s);

  /// Whether a token with these claims is revoked. One without `iat` counts as the oldest.
  [[nodiscard]] bool has(const Claims& claims) const;

  /// Once a second: forgets a revocation after its end.
  void trim(uint64_t now_s);

 private:
  struct Row {
    uint32_t before_s = 0;
    uint32_t ends_at_s = 0;
  };
  using Rows = std::unordered_map<std::string, Row>;

  [[nodiscard]] static bool covers(const Rows& rows, const std::string& name, uint64_t issued_at_s);
  static void trim(Rows* rows, uint64_t now_s);
  [[nodiscard]] bool is_full() const {
    return users_.size() + ids_.size() >= bounds::kRevocationsMax;
  }
  void forget_ended(uint64_t now_s);

  Rows users_;
  Rows ids_;
  uint64_t next_trim_s_ = 0;
};

}  // namespace megacomet
