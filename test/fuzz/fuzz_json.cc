// Fuzz target for JSON: a second, independent parser must accept the same values; a parsed object
// must be the same after it is written and parsed again; and escaping must preserve every text.
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/check.h"
#include "codec/json_reader.h"
#include "codec/json_writer.h"
#include "codec/utf8.h"

using namespace megacomet;

namespace {

/// Validates one value by recursive descent over the grammar of RFC 8259. Slow and simple.
class Validator {
 public:
  explicit Validator(std::string_view text) : text_(text) {}

  bool is_value() {
    space();
    return value(0) && (space(), at_ == text_.size());
  }

 private:
  bool is_next(char wanted) const { return at_ < text_.size() && text_[at_] == wanted; }
  bool is_one_of(std::string_view wanted) const {
    return at_ < text_.size() && wanted.find(text_[at_]) != std::string_view::npos;
  }
  bool take(char wanted) { return is_next(wanted) && ++at_ > 0; }
  void space() {
    while (is_one_of(" \t\r\n")) ++at_;
  }
  bool word(std::string_view wanted) {
    if (text_.compare(at_, wanted.size(), wanted) != 0) return false;
    at_ += wanted.size();
    return true;
  }
  bool digits() {
    const size_t start = at_;
    while (is_one_of("0123456789")) ++at_;
    return at_ > start;
  }

  bool value(unsigned depth) {
    if (is_next('"')) return string();
    if (is_next('{')) return object(depth + 1);
    if (is_next('[')) return array(depth + 1);
    return word("true") || word("false") || word("null") || number();
  }

  bool number() {
    take('-');
    const size_t start = at_;
    if (!digits() || (text_[start] == '0' && at_ > start + 1)) return false;
    if (take('.') && !digits()) return false;
    if (!is_one_of("eE")) return true;
    ++at_;
    if (is_one_of("+-")) ++at_;
    return digits();
  }

  bool array(unsigned depth) {
    if (depth > bounds::kJsonDepthMax || !take('[')) return false;
    space();
    if (take(']')) return true;
    do {
      space();
      if (!value(depth)) return false;
      space();
    } while (take(','));
    return take(']');
  }

  bool object(unsigned depth) {
    if (depth > bounds::kJsonDepthMax || !take('{')) return false;
    space();
    if (take('}')) return true;
    do {
      space();
      if (!string()) return false;
      space();
      if (!take(':')) return false;
      space();
      if (!value(depth)) return false;
      space();
    } while (take(','));
    return take('}');
  }

  /// The value of a \u escape; -1 if there is none.
  long unit() {
    if (!word("\\u")) return -1;
    const size_t start = at_;
    while (at_ < start + 4 && is_one_of("0123456789abcdefABCDEF")) ++at_;
    if (at_ < start + 4) return -1;
    return std::stol(std::string(text_.substr(start, 4)), nullptr, 16);
  }

  bool string() {
    if (!take('"')) return false;
    while (at_ < text_.size() && !is_next('"')) {
      if (static_cast<unsigned char>(text_[at_]) < 0x20) return false;
      if (!is_next('\\')) {
        ++at_;
      } else if (text_.compare(at_, 2, "\\u") == 0) {
        const long high = unit();
        if (high < 0 || (high >= 0xdc00 && high < 0xe000)) return false;
        if (high < 0xd800 || high >= 0xe000) continue;
        const long low = unit();
        if (low < 0xdc00 || low >= 0xe000) return false;
      } else {
        ++at_;
        if (!is_one_of("\"\\/bfnrt")) return false;
        ++at_;
      }
    }
    return take('"');
  }

  std::string_view text_;
  size_t at_ = 0;
};

std::string unescaped(std::string_view raw) {
  std::string text(raw.size(), '\0');
  text.resize(unescape_json(raw, text.data()));
  return text;
}

/// Writes the object with our escapes and parses it again.
void check_again(const JsonObject& object) {
  std::string text = "{";
  for (const JsonMember& member : object) {
    if (text.size() > 1) text.push_back(',');
    // Keys keep their escapes, because ours can be longer and exceed the limit of a key.
    const std::string key = unescaped(member.key);
    MC_CHECK(object.find(key) == &member);
    text.append("\"").append(member.key).append("\":");
    if (member.type == JsonType::kString) {
      append_json_string(unescaped(member.value), &text);
    } else {
      text.append(member.value);
    }
  }
  text.push_back('}');
  JsonObject again;
  MC_CHECK(again.parse(text) == JsonFault::kNone && again.size() == object.size());
  for (size_t at = 0; at < again.size(); ++at) {
    const JsonMember& one = object.begin()[at];
    const JsonMember& other = again.begin()[at];
    MC_CHECK(one.type == other.type && unescaped(one.key) == unescaped(other.key));
    const bool is_string = one.type == JsonType::kString;
    MC_CHECK(is_string ? unescaped(one.value) == unescaped(other.value) : one.value == other.value);
  }
}

void check_strings(std::string_view array) {
  JsonStrings strings(array);
  std::string_view raw;
  while (strings.next(&raw)) MC_CHECK(is_valid_utf8(unescaped(raw)));
  MC_CHECK(!strings.next(&raw));
}

void check_object(std::string_view text) {
  JsonObject object;
  const JsonFault fault = object.parse(text);
  JsonObject padded;
  const std::string more = " \n" + std::string(text) + "\t\r";
  MC_CHECK(padded.parse(more) == fault);
  if (fault != JsonFault::kNone) return;
  MC_CHECK(Validator(text).is_value());
  check_again(object);
  for (const JsonMember& member : object) {
    if (member.type == JsonType::kArray) check_strings(member.value);
  }
}

/// The text is accepted as the value of a member exactly if it is a value.
void check_value(std::string_view text) {
  const std::string inside = "{\"a\":" + std::string(text) + "}";
  JsonObject object;
  // A text with a comma can be a value and a second member.
  const bool is_read = object.parse(inside) == JsonFault::kNone && object.size() == 1;
  MC_CHECK(is_read == (is_valid_utf8(text) && Validator(text).is_value()));
}

void check_escapes(const std::string& text) {
  std::string inside = "{\"a\":";
  append_json_string(text, &inside);
  inside.push_back('}');
  JsonObject object;
  const bool is_valid = is_valid_utf8(text);
  MC_CHECK((object.parse(inside) == JsonFault::kNone) == is_valid);
  if (is_valid) MC_CHECK(unescaped(object.begin()->value) == text);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // A copy of exact size, so that the sanitizer detects a read past its end.
  const std::vector<char> tight(data, data + size);
  const std::string_view text(tight.data(), size);
  check_object(text);
  check_value(text);
  check_escapes(std::string(text));
  return 0;
}
