// The table of principals. See principals.h.
#include "auth/principals.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "base/hash.h"

namespace megacomet {

namespace {

/// One text for equal grants. A length before each name, because a name may have any character.
std::string text_of(const GrantTexts& grants) {
  std::string text;
  const auto append_number = [&text](size_t number) {
    text.append(std::to_string(number)).push_back(' ');
  };
  for (const std::vector<std::string>& names : grants) {
    append_number(names.size());
    for (const std::string& name : names) {
      append_number(name.size());
      text.append(name);
    }
  }
  return text;
}

uint32_t number_in(std::string_view identity) {
  uint32_t number = 0;
  std::memcpy(&number, identity.data(), sizeof number);
  return number;
}

}  // namespace

bool Principals::reserve(uint32_t capacity) {
  if (!records_.map(capacity)) return false;
  earliest_end_s_.assign(records_.capacity() / kGroupRecords, kNever);
  return true;
}

std::string Principals::identity_text(const Claims& claims) {
  const uint32_t number = grant_texts_.acquire(text_of(claims.grants));
  if (number > grants_.size()) grants_.resize(number);
  Ref<Grants>& grants = grants_[number - 1];
  if (!grants) grants = make_ref<Grants>(claims.grants);
  std::string text(sizeof number, '\0');
  std::memcpy(text.data(), &number, sizeof number);
  return text.append(claims.user);
}

void Principals::release_identity(uint32_t identity) {
  const uint32_t number = number_in(identities_.at(identity));
  // Each user of an identity is one of its grants.
  identities_.release(identity);
  if (grant_texts_.release(number)) grants_[number - 1] = Ref<Grants>();
}

void Principals::set(int fd, const Claims& claims, uint32_t ends_at_s) {
  const uint32_t identity = identities_.acquire(identity_text(claims));
  Principal* record = records_.at(fd);
  if (record->identity == SharedTexts::kNone) {
    record = records_.occupy(fd);
  } else {
    release_identity(record->identity);
  }
  record->identity = identity;
  record->ends_at_s = ends_at_s;
  record->token_hash = hash_of_id(claims.id);
  record->issued_at_s = static_cast<uint32_t>(std::min<uint64_t>(claims.issued_at_s, UINT32_MAX));
  uint32_t& earliest = earliest_end_s_[static_cast<uint32_t>(fd) / kGroupRecords];
  if (ends_at_s != 0) earliest = std::min(earliest, ends_at_s);
}

uint32_t Principals::hash_of_id(std::string_view id) {
  return id.empty() ? 0 : std::max(mixed_hash(id), 1U);
}

void Principals::forget(int fd) {
  const uint32_t identity = records_.at(fd)->identity;
  if (identity == SharedTexts::kNone) return;
  release_identity(identity);
  records_.release(fd);
}

std::string_view Principals::user(int fd) {
  if (!has(fd)) return {};
  return identities_.at(records_.at(fd)->identity).substr(sizeof(uint32_t));
}

Ref<Grants> Principals::grants(int fd) {
  if (!has(fd)) return {};
  return grants_[number_in(identities_.at(records_.at(fd)->identity)) - 1];
}

void Principals::note_earliest(uint32_t group) {
  uint32_t earliest = kNever;
  visit_group(group, [&earliest](uint32_t, const Principal& principal) {
    if (principal.ends_at_s != 0) earliest = std::min(earliest, principal.ends_at_s);
  });
  earliest_end_s_[group] = earliest;
}

}  // namespace megacomet
