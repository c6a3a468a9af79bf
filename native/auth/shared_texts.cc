// The table of texts. See shared_texts.h.
#include "auth/shared_texts.h"

#include <cstring>

#include "base/check.h"
#include "base/hash.h"

namespace megacomet {

uint32_t SharedTexts::acquire(std::string_view text) {
  const uint32_t hash = mixed_hash(text);
  const uint32_t known = index_.find(hash, [&](uint32_t row) { return at(row + 1) == text; });
  if (known != RowIndex::kNone) {
    hold(known + 1);
    return known + 1;
  }
  auto row = static_cast<uint32_t>(rows_.size());
  if (free_.empty()) {
    rows_.emplace_back();
  } else {
    row = free_.back();
    free_.pop_back();
  }
  Row& added = rows_[row];
  added.text = std::make_unique<char[]>(text.size());
  std::memcpy(added.text.get(), text.data(), text.size());
  added.bytes = static_cast<uint32_t>(text.size());
  added.users = 1;
  index_.insert(hash, row);
  return row + 1;
}

void SharedTexts::hold(uint32_t number) {
  MC_CHECK(number != kNone && number <= rows_.size() && rows_[number - 1].users > 0);
  ++rows_[number - 1].users;
}

bool SharedTexts::release(uint32_t number) {
  MC_CHECK(number != kNone && number <= rows_.size() && rows_[number - 1].users > 0);
  const uint32_t row = number - 1;
  if (--rows_[row].users > 0) return false;
  index_.erase(mixed_hash(at(number)), row);
  rows_[row] = Row();
  free_.push_back(row);
  return true;
}

std::string_view SharedTexts::at(uint32_t number) const {
  MC_CHECK(number != kNone && number <= rows_.size());
  const Row& row = rows_[number - 1];
  return {row.text.get(), row.bytes};
}

}  // namespace megacomet
