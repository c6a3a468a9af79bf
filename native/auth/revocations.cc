// Two tables by name. See revocations.h.
#include "auth/revocations.h"

#include <algorithm>
#include <iterator>

namespace megacomet {

namespace {

/// A pass over a full table takes a few milliseconds.
constexpr uint64_t kTrimSeconds = 60;

}  // namespace

void Revocations::add(const frame::Revoke& order, uint64_t now_s) {
  const bool is_of_user = order.id.empty();
  Rows& rows = is_of_user ? users_ : ids_;
  const std::string& name = is_of_user ? order.user : order.id;
  if (is_full()) forget_ended(now_s);
  if (is_full() && rows.count(name) == 0) return;
  Row& row = rows[name];
  row.before_s = std::max(row.before_s, order.before_s);
  row.ends_at_s = std::max(row.ends_at_s, order.ends_at_s);
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

void Revocations::forget_ended(uint64_t now_s) {
  next_trim_s_ = now_s + kTrimSeconds;
  trim(&users_, now_s);
  trim(&ids_, now_s);
}

void Revocations::trim(uint64_t now_s) {
  // After a step of the clock to the past, the next pass must not wait for the old time.
  const bool is_due = now_s >= next_trim_s_ || next_trim_s_ - now_s > kTrimSeconds;
  if (is_due) forget_ended(now_s);
}

}  // namespace megacomet
