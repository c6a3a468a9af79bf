// The table of principals. See principals.h.
#include "auth/principals.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "base/hash.h"

namespace megacomet {

namespace {

/// One text for equal grants. A length before each name, because a name may have any character.
std::string text_of(const Claims& claims) {
  std::string text(claims.is_by_decision ? "decision " : "");
  const auto append_number = [&text](size_t number) {
    text.append(std::to_string(number)).push_back(' ');
  };
  const auto append_names = [&](const std::vector<std::string>& names) {
    append_number(names.size());
    for (const std::string& name : names) {
      append_number(name.size());
      text.append(name);
    }
  };
  append_names(claims.channels);
  for (const std::vector<std::string>& names : claims.grants) append_names(names);
  return text;
}

/// The head of an identity's text; the user follows.
struct IdentityHead {
  uint32_t grants;
  /// SharedTexts::kNone without an info.
  uint32_t info;
};

IdentityHead head_in(std::string_view identity) {
  IdentityHead head;
  std::memcpy(&head, identity.data(), sizeof head);
  return head;
}

}  // namespace

bool Principals::reserve(uint32_t capacity) {
  if (!records_.map(capacity)) return false;
  earliest_end_s_.assign(records_.capacity() / kGroupRecords, kNever);
  return true;
}

std::string Principals::identity_text(const Claims& claims) {
  const uint32_t number = grant_texts_.acquire(text_of(claims));
  if (number > grants_.size()) grants_.resize(number);
  Ref<Grants>& grants = grants_[number - 1];
  if (!grants) grants = make_ref<Grants>(claims.grants, claims.channels, claims.is_by_decision);
  const IdentityHead head{number,
                          claims.info.empty() ? SharedTexts::kNone : infos_.acquire(claims.info)};
  std::string text(sizeof head, '\0');
  std::memcpy(text.data(), &head, sizeof head);
  return text.append(claims.user);
}

void Principals::release(uint32_t identity) {
  const IdentityHead head = head_in(identities_.at(identity));
  // Each user of an identity is one of its grants and of its info.
  identities_.release(identity);
  if (grant_texts_.release(head.grants)) grants_[head.grants - 1] = Ref<Grants>();
  if (head.info != SharedTexts::kNone) infos_.release(head.info);
}

uint32_t Principals::acquire(const Claims& claims) {
  return identities_.acquire(identity_text(claims));
}

void Principals::hold(uint32_t identity) {
  identities_.hold(identity);
  const IdentityHead head = head_in(identities_.at(identity));
  grant_texts_.hold(head.grants);
  if (head.info != SharedTexts::kNone) infos_.hold(head.info);
}

void Principals::set(int fd, const KnownToken& token, uint32_t ends_at_s) {
  hold(token.identity);
  Principal* record = records_.at(fd);
  if (record->identity == SharedTexts::kNone) {
    record = records_.occupy(fd);
  } else {
    release(record->identity);
  }
  record->identity = token.identity;
  record->ends_at_s = ends_at_s;
  record->token_hash = token.id_hash;
  record->issued_at_s = token.issued_at_s;
  uint32_t& earliest = earliest_end_s_[static_cast<uint32_t>(fd) / kGroupRecords];
  if (ends_at_s != 0) earliest = std::min(earliest, ends_at_s);
}

uint32_t Principals::hash_of_id(std::string_view id) {
  return id.empty() ? 0 : std::max(mixed_hash(id), 1U);
}

void Principals::forget(int fd) {
  const uint32_t identity = records_.at(fd)->identity;
  if (identity == SharedTexts::kNone) return;
  release(identity);
  records_.release(fd);
}

std::string_view Principals::user_of(uint32_t identity) const {
  return identities_.at(identity).substr(sizeof(IdentityHead));
}

std::string_view Principals::info_of(uint32_t identity) const {
  const uint32_t info = head_in(identities_.at(identity)).info;
  return info == SharedTexts::kNone ? std::string_view() : infos_.at(info);
}

std::string_view Principals::user(int fd) {
  if (!has(fd)) return {};
  return user_of(records_.at(fd)->identity);
}

Ref<Grants> Principals::grants(int fd) {
  if (!has(fd)) return {};
  return grants_[head_in(identities_.at(records_.at(fd)->identity)).grants - 1];
}

void Principals::note_earliest(uint32_t group) {
  uint32_t earliest = kNever;
  visit_group(group, [&earliest](uint32_t, const Principal& principal) {
    if (principal.ends_at_s != 0) earliest = std::min(earliest, principal.ends_at_s);
  });
  earliest_end_s_[group] = earliest;
}

}  // namespace megacomet
