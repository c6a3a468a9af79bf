// Tests of reading numeric addresses.
#include "os/address.h"

#include <cstring>
#include <string>

#include <netinet/in.h>
#include <sys/un.h>

#include "support/unit.h"

using namespace megacomet;

namespace {

bool reads(const std::string& text) {
  Address address{};
  return parse_address(text, &address);
}

}  // namespace

TEST("an IPv4 address is read with its port") {
  Address address{};
  if (!EXPECT(parse_address("127.1.0.254 65535", &address))) return;
  sockaddr_in v4{};
  EXPECT_EQUAL(address.bytes, sizeof v4);
  std::memcpy(&v4, address.get(), sizeof v4);
  EXPECT_EQUAL(v4.sin_family, AF_INET);
  EXPECT_EQUAL(ntohs(v4.sin_port), 65535);
  EXPECT_EQUAL(ntohl(v4.sin_addr.s_addr), 0x7f0100feU);
}

TEST("an IPv6 address is read with its port") {
  Address address{};
  if (!EXPECT(parse_address("::1 9000", &address))) return;
  sockaddr_in6 v6{};
  EXPECT_EQUAL(address.bytes, sizeof v6);
  std::memcpy(&v6, address.get(), sizeof v6);
  EXPECT_EQUAL(v6.sin6_family, AF_INET6);
  EXPECT_EQUAL(ntohs(v6.sin6_port), 9000);
  EXPECT_EQUAL(v6.sin6_addr.s6_addr[15], 1);
}

TEST("the path of a unix socket is read up to the longest path of the kernel") {
  Address address{};
  if (!EXPECT(parse_address("unix /tmp/a b", &address))) return;
  sockaddr_un local{};
  std::memcpy(&local, address.get(), sizeof local);
  EXPECT_EQUAL(local.sun_family, AF_UNIX);
  EXPECT(std::string(local.sun_path) == "/tmp/a b");
  EXPECT(reads("unix " + std::string(sizeof local.sun_path - 1, 'a')));
  EXPECT(!reads("unix " + std::string(sizeof local.sun_path, 'a')));
  EXPECT(!reads(std::string("unix a\0b", 8)));
  // The source address of a dialer, whose socket has no name.
  EXPECT(reads("unix "));
}

TEST("a text that is not a numeric address is rejected") {
  for (const char* text : {"",
                           " ",
                           "127.0.0.1",
                           "127.0.0.1 ",
                           "127.0.0.1 x",
                           "127.0.0.1 80x",
                           "127.0.0.1 65536",
                           "127.0.0.1 -1",
                           "127.0.0.1  80",
                           " 127.0.0.1 80",
                           "localhost 80",
                           "256.0.0.1 80",
                           "127.1 80",
                           "[::1] 80",
                           "::1%lo 80",
                           "127.0.0.1 4294967376",
                           "127.0.0.1 80 80",
                           "unix"}) {
    if (!EXPECT(!reads(text))) return;
  }
  EXPECT(!reads(std::string("127.0.0.1\0x 80", 14)));
}

TEST("random text is read or rejected without a fault") {
  const std::string alphabet = "0123456789.: unixabcdf\0";
  for (int round = 0; round < 50'000; ++round) {
    std::string text(unit::upto(40), ' ');
    for (char& character : text) character = alphabet[unit::upto(alphabet.size() - 1)];
    (void)reads(text);
  }
}
