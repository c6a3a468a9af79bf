// Tests of FNV-1a, with vectors of its authors (draft-eastlake-fnv, appendix C).
#include "base/hash.h"

#include "support/unit.h"

using namespace megacomet;

TEST("FNV-1a gives the published values") {
  EXPECT_EQUAL(fnv1a(""), 0xcbf29ce484222325U);
  EXPECT_EQUAL(fnv1a("a"), 0xaf63dc4c8601ec8cU);
  EXPECT_EQUAL(fnv1a("foobar"), 0x85944171f73967e8U);
}

TEST("a hash continues over the parts of a text, zero bytes included") {
  EXPECT_EQUAL(fnv1a("bar", fnv1a("foo")), fnv1a("foobar"));
  EXPECT_EQUAL(fnv1a(uint8_t{0}, fnv1a("a")), fnv1a(std::string_view("a\0", 2)));
}
