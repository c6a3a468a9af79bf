// Reads JSON as clients send it: one flat object.
// Strict RFC 8259, without a tree: a nested value is checked and kept as bytes. No I/O.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/bounds.h"

namespace megacomet {

enum class JsonType : uint8_t { kString, kNumber, kTrue, kFalse, kNull, kObject, kArray };

/// Why a text was rejected; describe() gives the message.
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

/// A message for the client that sent the text, such as "duplicate key"; "" for kNone.
const char* describe(JsonFault fault);

/// One member of the object, as views into its text.
struct JsonMember {
  /// Without its quotes, and with its escapes.
  std::string_view key;
  /// A string: the bytes between its quotes, for unescape_json(). Any other type: the whole text.
  std::string_view value;
  JsonType type;
};

/// A flat object with unique keys, in the memory of a JsonObjectOf.
class JsonMembers {
 public:
  JsonMembers(const JsonMembers&) = delete;
  JsonMembers& operator=(const JsonMembers&) = delete;

  /// Reads a text of one object and white space. After a fault the object has no members.
  ///
  /// Rejects, in addition to bad syntax: bytes that are not UTF-8, a byte order mark, an escape for
  /// half of a surrogate pair (UTF-8 cannot encode it), keys that are equal after unescaping, and
  /// texts that exceed a limit kJson… of bounds.h. The text must outlive the members.
  [[nodiscard]] JsonFault parse(std::string_view text);

  /// The member whose unescaped key is `name`; null if there is none.
  [[nodiscard]] const JsonMember* find(std::string_view name) const;

  [[nodiscard]] const JsonMember* begin() const { return members_; }
  [[nodiscard]] const JsonMember* end() const { return members_ + count_; }
  [[nodiscard]] size_t size() const { return count_; }

 protected:
  explicit JsonMembers(size_t capacity) : capacity_(capacity) {}
  ~JsonMembers() = default;

  /// Set by the derived class, which has the memory.
  JsonMember* members_ = nullptr;

 private:
  [[nodiscard]] JsonFault read_members(std::string_view text);
  [[nodiscard]] JsonFault add(const JsonMember& member);

  size_t capacity_;
  size_t count_ = 0;
};

/// An object of at most `Count` members. Does not allocate; meant for the caller's stack.
template <size_t Count>
class JsonObjectOf final : public JsonMembers {
 public:
  JsonObjectOf() : JsonMembers(Count) { members_ = storage_.data(); }

 private:
  std::array<JsonMember, Count> storage_;
};

/// An object that clients send as a command.
using JsonObject = JsonObjectOf<bounds::kJsonMembersMax>;

/// Unescapes `raw`, which comes from a reader of this file, and returns the length. The result is
/// never longer than `raw`: `out` has as much room, or is the memory of `raw` itself.
size_t unescape_json(std::string_view raw, char* out);

/// Iterates over an array of strings.
class JsonStrings {
 public:
  /// `array` is the value of a member of type kArray.
  explicit JsonStrings(std::string_view array);

  /// The bytes between the quotes of the next string. False at the end of the array, and at an
  /// element of another type.
  [[nodiscard]] bool next(std::string_view* raw);

  /// After next() returned false: whether every element is a string.
  [[nodiscard]] bool is_complete() const { return rest_.empty(); }

 private:
  std::string_view rest_;
};

}  // namespace megacomet
