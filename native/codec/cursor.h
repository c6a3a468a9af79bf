// Cursors: a position in the server's one sequence of messages, as a number and as a text.
// The text is "epoch.number": 16 hexadecimal digits in lower case, a dot, a decimal number.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace megacomet {

/// The last message that a client received.
struct Cursor {
  /// Identifies one run of the manager. Random, so that it reveals nothing and does not repeat.
  uint64_t epoch;
  /// Of the last message seen; 0 before the first.
  uint64_t number;
};

/// Characters of the longest cursor.
constexpr size_t kCursorTextMax = 16 + 1 + 20;

/// Reads a cursor from a header, a query or a frame. Accepts only the one text that
/// format_cursor() writes for a cursor: no sign, space, leading zero, capital or overflow.
[[nodiscard]] bool parse_cursor(std::string_view text, Cursor* out);

/// Writes the text of a cursor, not terminated by a zero, and returns its length. `out` has room
/// for kCursorTextMax characters.
size_t format_cursor(const Cursor& cursor, char* out);

inline bool operator==(const Cursor& one, const Cursor& other) {
  return one.epoch == other.epoch && one.number == other.number;
}
inline bool operator!=(const Cursor& one, const Cursor& other) {
  return !(one == other);
}

// A subscription keeps only the low 32 bits of the lowest number that it still wants: its
// `next_wanted`. The comparison is a signed difference. It is correct while the two numbers are
// less than 2^31 messages apart, which hub/number_window.h ensures.

/// The next_wanted of a subscriber that wants `number` and later messages.
inline uint32_t wants_from(uint64_t number) {
  return static_cast<uint32_t>(number);
}

/// The next_wanted of a subscriber that has received everything up to `number`.
inline uint32_t wants_after(uint64_t number) {
  return wants_from(number + 1);
}

/// Whether a subscriber with this next_wanted still wants message `number`.
inline bool is_wanted(uint32_t next_wanted, uint64_t number) {
  return static_cast<int32_t>(static_cast<uint32_t>(number) - next_wanted) >= 0;
}

}  // namespace megacomet
