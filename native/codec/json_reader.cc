// The reader of flat JSON objects. See json_reader.h.
#include "codec/json_reader.h"

#include "base/ascii.h"
#include "base/check.h"
#include "codec/utf8.h"

namespace megacomet {

namespace {

constexpr size_t kHexDigits = 4;

bool is_space(char character) {
  return character == ' ' || character == '\n' || character == '\r' || character == '\t';
}

/// Reads the four digits of a \u escape. False if `text` does not start with four hex digits.
bool parse_hex(std::string_view text, uint32_t* out) {
  if (text.size() < kHexDigits) return false;
  uint32_t unit = 0;
  for (size_t at = 0; at < kHexDigits; ++at) {
    const int digit = ascii::hex_value(text[at]);
    if (digit < 0) return false;
    unit = unit << 4 | static_cast<uint32_t>(digit);
  }
  *out = unit;
  return true;
}

bool is_high_surrogate(uint32_t unit) {
  return (unit & 0xfc00) == 0xd800;
}
bool is_low_surrogate(uint32_t unit) {
  return (unit & 0xfc00) == 0xdc00;
}

/// Reads a \u escape, or the two of a surrogate pair, at the start of `text`. Returns its length; 0
/// for any other text, and for half of a pair.
size_t parse_unicode_escape(std::string_view text, uint32_t* code_point) {
  constexpr size_t kEscape = 2 + kHexDigits;
  if (text.substr(0, 2) != "\\u" || !parse_hex(text.substr(2), code_point)) return 0;
  if (is_low_surrogate(*code_point)) return 0;
  if (!is_high_surrogate(*code_point)) return kEscape;
  const std::string_view second = text.substr(kEscape);
  uint32_t low = 0;
  if (second.substr(0, 2) != "\\u" || !parse_hex(second.substr(2), &low)) return 0;
  if (!is_low_surrogate(low)) return 0;
  *code_point = 0x10000 + ((*code_point & 0x3ff) << 10) + (low & 0x3ff);
  return 2 * kEscape;
}

/// The character of an escape \" \\ \/ \b \f \n \r or \t, by the letter after the backslash; -1 for
/// any other letter.
int unescape_letter(char letter) {
  switch (letter) {
    case '"':
    case '\\':
    case '/':
      return letter;
    case 'b':
      return '\b';
    case 'f':
      return '\f';
    case 'n':
      return '\n';
    case 'r':
      return '\r';
    case 't':
      return '\t';
    default:
      return -1;
  }
}

/// Writes a code point as UTF-8 and returns its length.
size_t put_utf8(uint32_t code_point, char* out) {
  if (code_point < 0x80) {
    out[0] = static_cast<char>(code_point);
    return 1;
  }
  size_t size = 2;
  if (code_point >= 0x800) size = code_point < 0x10000 ? 3 : 4;
  for (size_t at = size - 1; at > 0; --at) {
    out[at] = static_cast<char>(0x80 | (code_point & 0x3f));
    code_point >>= 6;
  }
  // 110xxxxx, 1110xxxx, 11110xxx: one leading 1 for each byte.
  out[0] = static_cast<char>((0xf00U >> size & 0xff) | code_point);
  return size;
}

/// Consumes a text by the grammar of RFC 8259. Each take function consumes the named element. It
/// returns false, or a fault, if the text does not continue with that element.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : at_(text.data()), end_(text.data() + text.size()) {}

  void skip_space() {
    while (at_ != end_ && is_space(*at_)) ++at_;
  }

  [[nodiscard]] bool is_at_end() const { return at_ == end_; }

  [[nodiscard]] std::string_view rest() const { return {at_, static_cast<size_t>(end_ - at_)}; }

  /// The next character; 0, which the grammar never allows, at the end.
  [[nodiscard]] char peek() const { return at_ == end_ ? '\0' : *at_; }

  bool take(char wanted) {
    if (at_ == end_ || *at_ != wanted) return false;
    ++at_;
    return true;
  }

  /// Sets `raw` to the bytes between the quotes.
  bool take_string(std::string_view* raw) {
    if (!take('"')) return false;
    const char* start = at_;
    while (at_ != end_ && *at_ != '"') {
      // RFC 8259 7: control characters must be escaped.
      if (static_cast<unsigned char>(*at_) < 0x20) return false;
      if (*at_ != '\\') {
        ++at_;
      } else if (!take_escape()) {
        return false;
      }
    }
    *raw = {start, static_cast<size_t>(at_ - start)};
    return take('"');
  }

  /// Also consumes the colon and the space around it.
  bool take_name(std::string_view* raw) {
    skip_space();
    if (!take_string(raw)) return false;
    skip_space();
    if (!take(':')) return false;
    skip_space();
    return true;
  }

  JsonFault take_value(JsonMember* out) {
    out->type = type_at(peek());
    const char* start = at_;
    if (out->type == JsonType::kString) {
      return take_string(&out->value) ? JsonFault::kNone : JsonFault::kSyntax;
    }
    const bool is_nested = out->type == JsonType::kObject || out->type == JsonType::kArray;
    const JsonFault fault = is_nested      ? take_nested()
                            : take_plain() ? JsonFault::kNone
                                           : JsonFault::kSyntax;
    out->value = {start, static_cast<size_t>(at_ - start)};
    return fault;
  }

 private:
  /// The open brackets: a bit for each, set for an object.
  struct Levels {
    uint32_t depth = 0;
    uint64_t objects = 0;

    [[nodiscard]] bool is_object() const { return (objects & 1) != 0; }
    [[nodiscard]] char closer() const { return is_object() ? '}' : ']'; }
    void open(bool is_object) {
      objects = objects << 1 | (is_object ? 1 : 0);
      ++depth;
    }
    void close() {
      objects >>= 1;
      --depth;
    }
  };
  static_assert(bounds::kJsonDepthMax <= 64, "each level has a bit");

  /// The type of a value, by its first character. take_number() rejects an unknown character.
  static JsonType type_at(char first) {
    switch (first) {
      case '"':
        return JsonType::kString;
      case '{':
        return JsonType::kObject;
      case '[':
        return JsonType::kArray;
      case 't':
        return JsonType::kTrue;
      case 'f':
        return JsonType::kFalse;
      case 'n':
        return JsonType::kNull;
      default:
        return JsonType::kNumber;
    }
  }

  bool take_escape() {
    uint32_t code_point = 0;
    const std::string_view left = rest();
    if (left.size() < 2) return false;
    size_t size = 2;
    if (left[1] == 'u') {
      size = parse_unicode_escape(left, &code_point);
    } else if (unescape_letter(left[1]) < 0) {
      size = 0;
    }
    at_ += size;
    return size > 0;
  }

  bool take_word(std::string_view word) {
    if (rest().substr(0, word.size()) != word) return false;
    at_ += word.size();
    return true;
  }

  bool take_digits() {
    const char* start = at_;
    while (at_ != end_ && ascii::kDigits.has(*at_)) ++at_;
    return at_ != start;
  }

  /// RFC 8259 6: no leading plus, no leading zero, digits on both sides of the dot.
  bool take_number() {
    (void)take('-');
    if (!take('0') && !take_digits()) return false;
    if (take('.') && !take_digits()) return false;
    if (!take('e') && !take('E')) return true;
    if (!take('+')) (void)take('-');
    return take_digits();
  }

  /// A value without brackets.
  bool take_plain() {
    std::string_view raw;
    switch (type_at(peek())) {
      case JsonType::kString:
        return take_string(&raw);
      case JsonType::kTrue:
        return take_word("true");
      case JsonType::kFalse:
        return take_word("false");
      case JsonType::kNull:
        return take_word("null");
      default:
        return take_number();
    }
  }

  /// Consumes an opening bracket, and the first name of an object that is not empty.
  JsonFault open(Levels* levels, bool* is_empty) {
    if (levels->depth == bounds::kJsonDepthMax) return JsonFault::kTooDeep;
    levels->open(*at_++ == '{');
    skip_space();
    *is_empty = peek() == levels->closer();
    std::string_view name;
    if (*is_empty || !levels->is_object()) return JsonFault::kNone;
    return take_name(&name) ? JsonFault::kNone : JsonFault::kSyntax;
  }

  /// After a value: consumes closing brackets, up to a comma and the name after it.
  bool take_separators(Levels* levels) {
    while (levels->depth > 0) {
      skip_space();
      if (take(',')) {
        skip_space();
        std::string_view name;
        return !levels->is_object() || take_name(&name);
      }
      if (!take(levels->closer())) return false;
      levels->close();
    }
    return true;
  }

  /// A whole object or array. Without recursion, because the client chooses the depth.
  JsonFault take_nested() {
    Levels levels;
    do {
      const char first = peek();
      bool is_empty = false;
      if (first == '{' || first == '[') {
        const JsonFault fault = open(&levels, &is_empty);
        if (fault != JsonFault::kNone) return fault;
        if (!is_empty) continue;
      } else if (!take_plain()) {
        return JsonFault::kSyntax;
      }
      if (!take_separators(&levels)) return JsonFault::kSyntax;
    } while (levels.depth > 0);
    return JsonFault::kNone;
  }

  const char* at_;
  const char* end_;
};

/// Whether two keys are equal after unescaping.
bool is_same_key(std::string_view one, std::string_view other) {
  constexpr char kBackslash = '\\';
  if (one.find(kBackslash) == one.npos && other.find(kBackslash) == other.npos) return one == other;
  char buffers[2][bounds::kJsonKeyBytesMax];
  const std::string_view left(buffers[0], unescape_json(one, buffers[0]));
  const std::string_view right(buffers[1], unescape_json(other, buffers[1]));
  return left == right;
}

}  // namespace

const char* describe(JsonFault fault) {
  switch (fault) {
    case JsonFault::kNone:
      return "";
    case JsonFault::kNotAnObject:
      return "expected a JSON object";
    case JsonFault::kSyntax:
      return "malformed JSON";
    case JsonFault::kInvalidUtf8:
      return "JSON is not valid UTF-8";
    case JsonFault::kTooDeep:
      return "JSON is nested too deeply";
    case JsonFault::kTooManyMembers:
      return "too many members in the object";
    case JsonFault::kKeyTooLong:
      return "key is too long";
    case JsonFault::kDuplicateKey:
      return "duplicate key";
  }
  return "";
}

JsonFault JsonMembers::parse(std::string_view text) {
  count_ = 0;
  if (!is_valid_utf8(text)) return JsonFault::kInvalidUtf8;
  const JsonFault fault = read_members(text);
  if (fault != JsonFault::kNone) count_ = 0;
  return fault;
}

JsonFault JsonMembers::read_members(std::string_view text) {
  Scanner scanner(text);
  scanner.skip_space();
  if (!scanner.take('{')) return JsonFault::kNotAnObject;
  scanner.skip_space();
  for (bool is_done = scanner.take('}'); !is_done;) {
    JsonMember member{};
    if (!scanner.take_name(&member.key)) return JsonFault::kSyntax;
    JsonFault fault = scanner.take_value(&member);
    if (fault == JsonFault::kNone) fault = add(member);
    if (fault != JsonFault::kNone) return fault;
    scanner.skip_space();
    is_done = scanner.take('}');
    if (!is_done && !scanner.take(',')) return JsonFault::kSyntax;
  }
  scanner.skip_space();
  return scanner.is_at_end() ? JsonFault::kNone : JsonFault::kSyntax;
}

JsonFault JsonMembers::add(const JsonMember& member) {
  if (member.key.size() > bounds::kJsonKeyBytesMax) return JsonFault::kKeyTooLong;
  if (count_ == capacity_) return JsonFault::kTooManyMembers;
  for (const JsonMember& other : *this) {
    if (is_same_key(member.key, other.key)) return JsonFault::kDuplicateKey;
  }
  members_[count_++] = member;
  return JsonFault::kNone;
}

const JsonMember* JsonMembers::find(std::string_view name) const {
  char buffer[bounds::kJsonKeyBytesMax];
  for (const JsonMember& member : *this) {
    const bool is_escaped = member.key.find('\\') != std::string_view::npos;
    const std::string_view key =
        is_escaped ? std::string_view(buffer, unescape_json(member.key, buffer)) : member.key;
    if (key == name) return &member;
  }
  return nullptr;
}

size_t unescape_json(std::string_view raw, char* out) {
  size_t size = 0;
  for (size_t at = 0; at < raw.size();) {
    if (raw[at] != '\\') {
      out[size++] = raw[at++];
      continue;
    }
    const std::string_view escape = raw.substr(at);
    MC_CHECK(escape.size() >= 2);
    uint32_t code_point = 0;
    const int letter = unescape_letter(escape[1]);
    if (letter >= 0) {
      out[size++] = static_cast<char>(letter);
      at += 2;
    } else {
      const size_t length = parse_unicode_escape(escape, &code_point);
      MC_CHECK(length > 0);
      size += put_utf8(code_point, out + size);
      at += length;
    }
  }
  return size;
}

JsonStrings::JsonStrings(std::string_view array) : rest_(array.substr(1)) {
  MC_CHECK(array.front() == '[');
}

bool JsonStrings::next(std::string_view* raw) {
  // parse() has checked the array, so commas are only between elements.
  Scanner scanner(rest_);
  scanner.skip_space();
  (void)scanner.take(',');
  scanner.skip_space();
  if (scanner.take(']')) {
    rest_ = {};
    return false;
  }
  if (!scanner.take_string(raw)) return false;
  rest_ = scanner.rest();
  return true;
}

}  // namespace megacomet
