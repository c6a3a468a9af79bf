// Who each connection is: user, info, grants and expiry, in 16 bytes by descriptor. Reserved and
// touched only where clients have tokens.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "auth/grants.h"
#include "auth/known_tokens.h"
#include "auth/shared_texts.h"
#include "auth/token.h"
#include "base/ref.h"
#include "os/slab.h"

namespace megacomet {

/// Free where all is zero: a connection without a token.
struct Principal {
  /// The number of user, info and grants, which connections share.
  uint32_t identity;
  /// Seconds of the epoch at which the connection ends; 0 for never. They suffice until 2106.
  uint32_t ends_at_s;
  /// A hash of the token's `jti`, for revocation; 0 without one.
  uint32_t token_hash;
  /// Seconds of the epoch, for revocation; 0 if the token does not say.
  uint32_t issued_at_s;
};
static_assert(sizeof(Principal) == 16, "a fourth of a connection's record");

/// The tokens that a revocation is about: those of a user, or those with the hash of an id, that
/// were issued at or before a time. One id in four thousand million stands for another one.
struct RevokedTokens {
  std::string_view user;
  /// 0 for those of the user.
  uint32_t id_hash;
  uint32_t before_s;
};

class Principals {
 public:
  /// Reserves address space for the descriptors below `capacity`. False if the kernel rejects.
  [[nodiscard]] bool reserve(uint32_t capacity);

  /// The number of the identity of verified claims, with one user more: the caller releases it.
  [[nodiscard]] uint32_t acquire(const Claims& claims);
  void release(uint32_t identity);

  /// Gives a connection the identity of a verified token, in place of one that it had. The
  /// connection is one more user of it.
  void set(int fd, const KnownToken& token, uint32_t ends_at_s);
  /// The connection has no token any more.
  void forget(int fd);
  /// 0 for no id, and never else.
  [[nodiscard]] static uint32_t hash_of_id(std::string_view id);

  [[nodiscard]] bool has(int fd) { return records_.at(fd)->identity != SharedTexts::kNone; }
  /// Empty for a token without a user.
  [[nodiscard]] std::string_view user_of(uint32_t identity) const;
  /// Empty for a connection without a token, and for a token without a user.
  [[nodiscard]] std::string_view user(int fd);
  /// The number of the connection's identity; SharedTexts::kNone without a token.
  [[nodiscard]] uint32_t identity(int fd) { return records_.at(fd)->identity; }
  /// The JSON of the claim `info`; empty without one.
  [[nodiscard]] std::string_view info_of(uint32_t identity) const;
  /// Seconds of the epoch at which the connection ends; 0 for never.
  [[nodiscard]] uint32_t ends_at_s(int fd) { return records_.at(fd)->ends_at_s; }
  /// The hash of the id of the connection's token; 0 without one.
  [[nodiscard]] uint32_t token_hash(int fd) { return records_.at(fd)->token_hash; }
  /// The connection's grants; null without a token. A copy outlives the next token.
  [[nodiscard]] Ref<Grants> grants(int fd);

  /// Calls `visit(fd)` for each connection that ends at or before `until_s`. `visit` may forget.
  template <typename Visit>
  void visit_ended(uint32_t until_s, Visit visit) {
    for (uint32_t group = 0; group < earliest_end_s_.size(); ++group) {
      if (earliest_end_s_[group] > until_s) continue;
      visit_group(group, [&](uint32_t fd, const Principal& principal) {
        if (principal.ends_at_s != 0 && principal.ends_at_s <= until_s) visit(static_cast<int>(fd));
      });
      note_earliest(group);
    }
  }

  /// Whether a token is revoked: one of an identity, with the hash of its id and its `iat`.
  [[nodiscard]] bool is_revoked(const RevokedTokens& tokens,
                                uint32_t identity,
                                uint32_t id_hash,
                                uint32_t issued_at_s) const {
    if (issued_at_s > tokens.before_s) return false;
    return tokens.id_hash == 0 ? user_of(identity) == tokens.user : id_hash == tokens.id_hash;
  }

  /// Calls `visit(fd)` for each connection whose token is revoked. `visit` may forget.
  template <typename Visit>
  void visit_revoked(const RevokedTokens& tokens, Visit visit) {
    visit_all([&](int fd, const Principal& one) {
      if (is_revoked(tokens, one.identity, one.token_hash, one.issued_at_s)) visit(fd);
    });
  }

  /// Calls `visit(fd)` for each connection of a user. `visit` may forget.
  template <typename Visit>
  void visit_user(std::string_view user_name, Visit visit) {
    visit_all([&](int fd, const Principal&) {
      if (user(fd) == user_name) visit(fd);
    });
  }

  /// Calls `visit(user)` for each connection with a user.
  template <typename Visit>
  void visit_users(Visit visit) {
    visit_all([&](int fd, const Principal&) {
      if (!user(fd).empty()) visit(user(fd));
    });
  }

  /// Gives back memory of connections that are gone. From a slow timer; see Slab::trim().
  void trim() { records_.trim(); }

  /// Distinct identities and infos, for tests.
  [[nodiscard]] size_t identities() const { return identities_.size(); }
  [[nodiscard]] size_t infos() const { return infos_.size(); }

 private:
  /// Records of one entry of `earliest_end_s_`: one page of four cache lines.
  static constexpr uint32_t kGroupRecords = 64;
  static constexpr uint32_t kNever = UINT32_MAX;

  template <typename Visit>
  void visit_group(uint32_t group, Visit visit) {
    uint32_t fd = group * kGroupRecords;
    records_.visit(fd, fd + kGroupRecords, [&](const Principal& principal) {
      if (principal.identity != SharedTexts::kNone) visit(fd, principal);
      ++fd;
      return true;
    });
  }

  template <typename Visit>
  void visit_all(Visit visit) {
    for (uint32_t group = 0; group < earliest_end_s_.size(); ++group) {
      visit_group(group, [&](uint32_t fd, const Principal& principal) {
        visit(static_cast<int>(fd), principal);
      });
    }
  }

  void note_earliest(uint32_t group);
  [[nodiscard]] std::string identity_text(const Claims& claims);
  void hold(uint32_t identity);

  Slab<Principal> records_;
  /// Of each group; kNever without one.
  std::vector<uint32_t> earliest_end_s_;
  /// The numbers of grants and info, and the user.
  SharedTexts identities_;
  SharedTexts infos_;
  /// The texts of grants, and the parsed grants by the same number.
  SharedTexts grant_texts_;
  std::vector<Ref<Grants>> grants_;
};

}  // namespace megacomet
