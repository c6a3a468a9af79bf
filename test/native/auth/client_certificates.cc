// Tests of the identities of client certificates, beneath those of tokens.
#include "auth/client_certificates.h"

#include <string>

#include "support/unit.h"

using namespace megacomet;

namespace {

constexpr int kDescriptors = 300;

struct World {
  World() {
    EXPECT(principals.reserve(kDescriptors));
    EXPECT(certificates.reserve(kDescriptors));
  }

  void present_token(int fd, const std::string& user) {
    Claims claims;
    claims.user = user;
    KnownToken token;
    token.identity = principals.acquire(claims);
    principals.set(fd, token, 50);
    principals.release(token.identity);
  }

  Principals principals;
  ClientCertificates certificates{&principals};
};

}  // namespace

TEST("a connection has the user and the end of its certificate") {
  World world;
  world.certificates.add(7, {"CN=alice", 10, 99});
  EXPECT(world.principals.user(7) == "CN=alice" && world.certificates.user(7) == "CN=alice");
  EXPECT_EQUAL(world.principals.ends_at_s(7), 99U);
  EXPECT(world.principals.is_revoked({"CN=alice", 0, 10}, world.principals.identity(7), 0, 10));
  EXPECT(world.principals.grants(7)->is_by_decision());
  EXPECT(world.certificates.user(8).empty() && !world.principals.has(8));
}

TEST("a token hides the certificate until it is forgotten") {
  World world;
  world.certificates.add(7, {"CN=alice", 10, 99});
  world.present_token(7, "bob");
  EXPECT(world.principals.user(7) == "bob" && world.principals.ends_at_s(7) == 50);
  world.principals.forget(7);
  world.certificates.restore(7);
  EXPECT(world.principals.user(7) == "CN=alice" && world.principals.ends_at_s(7) == 99);
}

TEST("nothing is left of a connection that closed, and its descriptor is free") {
  World world;
  for (int round = 0; round < 3; ++round) {
    world.certificates.add(7, {"CN=alice", 10, 99});
    world.certificates.add(8, {"CN=alice", 10, 99});
    EXPECT_EQUAL(world.principals.identities(), 1U);
    for (const int fd : {7, 8}) {
      world.principals.forget(fd);
      world.certificates.forget(fd);
      world.certificates.restore(fd);
      EXPECT(!world.principals.has(fd));
    }
    EXPECT_EQUAL(world.principals.identities(), 0U);
  }
}

TEST("without certificates no connection has one") {
  Principals principals;
  EXPECT(principals.reserve(kDescriptors));
  ClientCertificates certificates(&principals);
  certificates.restore(7);
  certificates.forget(7);
  EXPECT(certificates.user(7).empty() && !principals.has(7));
}
