// JSON as clients send it (one flat object) and pieces of JSON as we write it.
// RFC 8259, read strictly and without a tree: a nested value is checked and kept as bytes. No I/O.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/bounds.h"

namespace megacomet {

enum class JsonType : uint8_t { kString, kNumber, kTrue, kFalse, kNull, kObject, kArray };

/// Why a text was refused; describe() has the words.
enum class JsonFault : uint8_t {
  kNone,
  kNotAnObject,
  kSyntax,
  kInvalidUtf8,
  kTooDeep,
  kTooManyMembers,
  kKeyTooLong,
  kDuplicateKey,
};

/// A phrase for the client that sent it, like "a key stands twice"; "" for kNone.
const char* describe(JsonFault fault);

/// One member of the object, as views into its text.
struct JsonMember {
  /// Between its quotes, escapes as they came.
  std::string_view key;
  /// A string: what stands between its quotes, for unescape_json(). Anything else: its whole text.
  std::string_view value;
  JsonType type;
};

/// A flat object with unique keys. No allocation; it lives on the stack of who reads.
class JsonObject {
 public:
  /// Reads a text that holds one object and white space. On a fault there are no members.
  ///
  /// Rejected beside bad syntax: bytes that are not UTF-8, a byte order mark, an escape for half of
  /// a surrogate pair (no UTF-8 can say it), keys that are equal once their escapes are undone, and
  /// what passes the limits kJson… of bounds.h. The text must outlive the members.
  [[nodiscard]] JsonFault parse(std::string_view text);

  /// The member of that name, given without escapes; null when there is none.
  [[nodiscard]] const JsonMember* find(std::string_view name) const;

  [[nodiscard]] const JsonMember* begin() const { return members_.data(); }
  [[nodiscard]] const JsonMember* end() const { return members_.data() + count_; }
  [[nodiscard]] size_t size() const { return count_; }

 private:
  [[nodiscard]] JsonFault read_members(std::string_view text);
  [[nodiscard]] JsonFault add(const JsonMember& member);

  std::array<JsonMember, bounds::kJsonMembersMax> members_;
  size_t count_ = 0;
};

/// Undoes the escapes of a string's `raw` and returns the length. `raw` comes from a reader of this
/// file. The result is never longer than `raw`: `out` has that much room, or is `raw`'s own memory.
size_t unescape_json(std::string_view raw, char* out);

/// Walks the elements of an array of strings.
class JsonStrings {
 public:
  /// Takes the value of a member of type kArray.
  explicit JsonStrings(std::string_view array);

  /// The next string, as between its quotes. False at the end of the array, and at an element that
  /// is no string.
  [[nodiscard]] bool next(std::string_view* raw);

  /// Once next() was false: whether all elements were strings.
  [[nodiscard]] bool is_complete() const { return rest_.empty(); }

 private:
  std::string_view rest_;
};

/// Appends a text as a JSON string, quotes included. The text is UTF-8.
///
/// U+2028 and U+2029 are escaped, since JSONP runs the result as a script and scripts before ES2019
/// end a line there.
void append_json_string(std::string_view text, std::string* out);

/// Appends an integer. JavaScript reads it exactly up to 2^53; larger ones belong in a string.
void append_json_integer(uint64_t value, std::string* out);

}  // namespace megacomet
