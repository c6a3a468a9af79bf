// Tests of revoked tokens: by user, by id, by time, and the end of a revocation.
#include "auth/revocations.h"

#include "base/bounds.h"
#include "support/unit.h"

using namespace megacomet;

namespace {

Claims claims_of(const char* user, const char* id, uint64_t issued_at_s) {
  Claims claims;
  claims.user = user;
  claims.id = id;
  claims.issued_at_s = issued_at_s;
  return claims;
}

}  // namespace

TEST("a token is revoked by its user or its id, up to the time, and without a time always") {
  Revocations revocations;
  EXPECT(!revocations.has(claims_of("ada", "1", 0)));
  revocations.add({"ada", "", 100, 1000}, 1);
  revocations.add({"", "7", 100, 1000}, 1);
  EXPECT(revocations.has(claims_of("ada", "1", 100)) && revocations.has(claims_of("ada", "", 0)));
  EXPECT(!revocations.has(claims_of("ada", "1", 101)));
  EXPECT(revocations.has(claims_of("bob", "7", 99)));
  // A user called as a token, and a token called as a user, are others.
  EXPECT(!revocations.has(claims_of("7", "", 0)) && !revocations.has(claims_of("bob", "ada", 0)));
  EXPECT(!revocations.has(claims_of("", "", 0)));
  revocations.add({"ada", "", 200, 1000}, 1);
  EXPECT(revocations.has(claims_of("ada", "1", 150)));
  // A weaker one takes nothing back.
  revocations.add({"ada", "", 50, 500}, 1);
  EXPECT(revocations.has(claims_of("ada", "1", 150)));
}

TEST("a revocation is forgotten within a minute after its end") {
  Revocations revocations;
  revocations.add({"ada", "", 100, 1000}, 1);
  revocations.add({"bob", "", 100, 2000}, 1);
  revocations.trim(940);
  revocations.trim(1000);
  EXPECT(!revocations.has(claims_of("ada", "", 0)) && revocations.has(claims_of("bob", "", 0)));
  revocations.trim(1001);
  revocations.trim(2061);
  EXPECT(!revocations.has(claims_of("bob", "", 0)));
}

TEST("beyond the limit none is added, and known ones may change") {
  Revocations revocations;
  for (size_t number = 0; number <= bounds::kRevocationsMax; ++number) {
    revocations.add({"user " + std::to_string(number), "", 1, 1000}, 1);
  }
  EXPECT(revocations.has(claims_of("user 99999", "", 1)));
  EXPECT(!revocations.has(claims_of("user 100000", "", 1)));
  revocations.add({"user 5", "", 9, 1000}, 1);
  EXPECT(revocations.has(claims_of("user 5", "", 9)));
  // Ended ones make room at once, as in the manager.
  revocations.add({"ada", "", 9, 2000}, 1000);
  EXPECT(revocations.has(claims_of("ada", "", 9)));
}
