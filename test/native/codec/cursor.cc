// Tests of cursors: round trips, invalid texts, and the signed difference.
#include "codec/cursor.h"

#include <string>

#include "support/unit.h"

using namespace megacomet;

namespace {

std::string text_of(const Cursor& cursor) {
  char text[kCursorTextMax];
  return {text, format_cursor(cursor, text)};
}

bool is_rejected(std::string_view text) {
  Cursor cursor{7, 8};
  const bool is_parsed = parse_cursor(text, &cursor);
  return !is_parsed && cursor == Cursor{7, 8};
}

}  // namespace

TEST("a cursor is restored from its text") {
  EXPECT(text_of({0, 0}) == "0000000000000000.0");
  EXPECT(text_of({0x0123456789abcdef, 42}) == "0123456789abcdef.42");
  EXPECT(text_of({UINT64_MAX, UINT64_MAX}) == "ffffffffffffffff.18446744073709551615");
  for (int round = 0; round < 2000; ++round) {
    const Cursor cursor{unit::random()() >> unit::upto(63), unit::random()() >> unit::upto(63)};
    Cursor read{};
    if (!EXPECT(parse_cursor(text_of(cursor), &read) && read == cursor)) return;
  }
}

TEST("a text that is not a cursor is rejected, and changes nothing") {
  for (const char* text : {"",
                           ".",
                           "0",
                           "0.0",
                           "42",
                           "-1",
                           "0123456789abcdef",
                           "0123456789abcdef.",
                           "0123456789abcdef:42",
                           "0123456789abcdef.-1",
                           "0123456789abcdef.+1",
                           "0123456789abcdef. 1",
                           "0123456789abcdef.1 ",
                           "0123456789abcdef.01",
                           "0123456789abcdef.00",
                           "0123456789abcdef.1.2",
                           "0123456789abcdef.0x1",
                           "0123456789abcdef.1e3",
                           "0123456789ABCDEF.1",
                           "0x23456789abcdef.1",
                           "0123456789abcdeg.1",
                           "0123456789abcde.1",
                           "0123456789abcdef0.1",
                           " 123456789abcdef.1",
                           "0123456789abcdef.18446744073709551616",
                           "0123456789abcdef.99999999999999999999",
                           "0123456789abcdef.184467440737095516150"}) {
    if (!EXPECT(is_rejected(text))) unit::fail(__FILE__, __LINE__, text);
  }
  EXPECT(is_rejected(std::string(10'000, '1')));
  EXPECT(is_rejected("0123456789abcdef." + std::string(10'000, '1')));
  EXPECT(is_rejected(std::string_view("0123456789abcdef.1\0", 19)));
}

TEST("every text that parses is the text that format_cursor() writes") {
  const std::string alphabet = "0189af.-+ g";
  for (int round = 0; round < 50'000; ++round) {
    std::string text = "0123456789abcdef.17";
    for (uint64_t changes = unit::upto(2); changes > 0; --changes) {
      text[unit::upto(text.size() - 1)] = alphabet[unit::upto(alphabet.size() - 1)];
    }
    Cursor cursor{};
    if (!EXPECT(!parse_cursor(text, &cursor) || text_of(cursor) == text)) return;
  }
}

TEST("cursors are equal if both epoch and number are equal") {
  EXPECT((Cursor{1, 5} == Cursor{1, 5}));
  EXPECT((Cursor{1, 5} != Cursor{2, 5}));
  EXPECT((Cursor{1, 5} != Cursor{1, 6}));
}

TEST("a subscriber wants the messages after its cursor, across every wrap of 32 bits") {
  for (const uint64_t had : {uint64_t{0},
                             uint64_t{41},
                             uint64_t{INT32_MAX},
                             uint64_t{UINT32_MAX} - 1,
                             uint64_t{UINT32_MAX},
                             uint64_t{UINT32_MAX} + 1,
                             uint64_t{1} << 40}) {
    const uint32_t next_wanted = wants_after(had);
    EXPECT(!is_wanted(next_wanted, had));
    EXPECT(is_wanted(next_wanted, had + 1));
    EXPECT(is_wanted(next_wanted, had + INT32_MAX));
    if (had > 0) EXPECT(!is_wanted(next_wanted, had - 1));
    if (had > INT32_MAX) EXPECT(!is_wanted(next_wanted, had - INT32_MAX));
  }
}
