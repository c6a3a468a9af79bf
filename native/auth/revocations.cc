// Two tables by name. See revocations.h.
#include "auth/revocations.h"

#include <iterator>

#include "base/bounds.h"

namespace megacomet {

namespace {

/// A pass over a full table takes a few milliseconds.
constexpr uint64_t kTrimSeconds = 60;

}  // namespace

void Revocations::add(const frame::Revoke& order) {
  const bool is_of_user = order.id.empty();
  Rows& rows = is_of_user ? users_ : ids_;
  const std::string& name = is_of_user ? order.user : order.id;
  const bool is_full = users_.size() + ids_.size() >= bounds::kRevocationsMax;
  if (is_full && rows.count(name) == 0) return;
  rows[name] = {order.before_s, order.ends_at_s};
}

bool Revocations::covers(const Rows& rows, const std::string& name, uint64_t issued_at_s) {
  if (rows.empty()) return false;
  const auto found = rows.find(name);
  return found != rows.end() && issued_at_s <= found->second.before_s;
}

bool Revocations::has(const Claims& claims) const {
  if (covers(users_, claims.user, claims.issued_at_s)) return true;
  return !claims.id.empty() && covers(ids_, claims.id, claims.issued_at_s);
}

void Revocations::trim(Rows* rows, uint64_t now_s) {
  for (auto row = rows->begin(); row != rows->end();) {
    row = row->second.ends_at_s <= now_s ? rows->erase(row) : std::next(row);
  }
}

void Revocations::trim(uint64_t now_s) {
  if (now_s < next_trim_s_) return;
  next_trim_s_ = now_s + kTrimSeconds;
  trim(&users_, now_s);
  trim(&ids_, now_s);
}

}  // namespace megacomet
