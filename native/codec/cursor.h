// Cursors: a place in the server's one sequence of messages, as number and as text.
// The text is "epoch.number": 16 hexadecimal digits in lower case, a dot, a decimal number.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace megacomet {

/// After which message a client stands.
struct Cursor {
  /// Names one life of the manager. Drawn by chance, so that it says nothing and never returns.
  uint64_t epoch;
  /// Of the last message seen; 0 before the first.
  uint64_t number;
};

/// Characters of the longest cursor.
constexpr size_t kCursorTextMax = 16 + 1 + 20;

/// Reads a cursor from a header, a query or a frame. False for anything but the one text that
/// format_cursor() writes for it: no sign, space, leading zero, capital or overflow.
[[nodiscard]] bool parse_cursor(std::string_view text, Cursor* out);

/// Writes the text of a cursor, without a zero at its end, and returns its length. `out` has room
/// for kCursorTextMax characters.
size_t format_cursor(const Cursor& cursor, char* out);

inline bool operator==(const Cursor& one, const Cursor& other) {
  return one.epoch == other.epoch && one.number == other.number;
}
inline bool operator!=(const Cursor& one, const Cursor& other) {
  return !(one == other);
}

/// Whether `one` comes before `other`. Places of different epochs have no order: false.
inline bool is_before(const Cursor& one, const Cursor& other) {
  return one.epoch == other.epoch && one.number < other.number;
}

// A subscription keeps only the low 32 bits of the lowest number that it still wants, its
// `wants_from`, compared as a signed difference: right while the two are less than 2^31 messages
// apart, and nobody is that far behind what the history holds.

/// The wants_from of a subscriber that has had everything up to `number`.
inline uint32_t wants_after(uint64_t number) {
  return static_cast<uint32_t>(number) + 1;
}

/// Whether a message is one that this subscriber still wants.
inline bool is_wanted(uint32_t wants_from, uint64_t number) {
  return static_cast<int32_t>(static_cast<uint32_t>(number) - wants_from) >= 0;
}

}  // namespace megacomet
