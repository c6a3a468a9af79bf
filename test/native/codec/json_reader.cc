// Tests of the JSON reader: valid and invalid texts, limits, and escapes.
#include "codec/json_reader.h"

#include <cstring>
#include <string>
#include <vector>

#include "codec/utf8.h"
#include "support/unit.h"

using namespace megacomet;

namespace {

std::string repeated(const std::string& text, size_t times) {
  std::string result;
  for (size_t count = 0; count < times; ++count) result += text;
  return result;
}

/// Parses from memory of exact size, so that a sanitizer detects a read past its end.
JsonFault fault_of(const std::string& text) {
  const std::vector<char> tight(text.begin(), text.end());
  JsonObject object;
  const JsonFault fault = object.parse({tight.data(), tight.size()});
  EXPECT(fault == JsonFault::kNone || object.size() == 0);
  return fault;
}

bool is_fault(const std::string& text, JsonFault wanted) {
  const JsonFault found = fault_of(text);
  if (found == wanted) return true;
  const std::string shown = text.substr(0, 60);
  unit::fail(__FILE__, __LINE__, "found \"" + std::string(describe(found)) + "\" in " + shown);
  return false;
}

/// Checks a value alone, in an array and in an object.
bool is_value(const std::string& value, bool wanted) {
  const JsonFault fault = wanted ? JsonFault::kNone : JsonFault::kSyntax;
  return is_fault("{\"a\":" + value + "}", fault) && is_fault("{\"a\":[" + value + "]}", fault) &&
         is_fault("{\"a\":[1," + value + ",2]}", fault) &&
         is_fault("{\"a\": {\"b\" : " + value + " } }", fault);
}

std::string unescaped(std::string_view raw) {
  std::string text(raw.size(), '\0');
  text.resize(unescape_json(raw, text.data()));
  return text;
}

}  // namespace

TEST("members are views into the text of the object, and are found by name") {
  const std::string text =
      " {\"type\" : \"publish\",\r\n\t\"n\":-1.5e+3,\"t\":true,\"f\":false,\"z\":null,"
      "\"data\": {\"a\":[1, {}, []]} , \"list\":[ ] } ";
  JsonObject object;
  EXPECT(object.parse(text) == JsonFault::kNone);
  EXPECT_EQUAL(object.size(), 7U);
  const auto is_member = [&object](const char* name, JsonType type, std::string_view value) {
    const JsonMember* member = object.find(name);
    return member != nullptr && member->type == type && member->value == value;
  };
  EXPECT(is_member("type", JsonType::kString, "publish"));
  EXPECT(is_member("n", JsonType::kNumber, "-1.5e+3"));
  EXPECT(is_member("t", JsonType::kTrue, "true"));
  EXPECT(is_member("f", JsonType::kFalse, "false"));
  EXPECT(is_member("z", JsonType::kNull, "null"));
  EXPECT(is_member("data", JsonType::kObject, "{\"a\":[1, {}, []]}"));
  EXPECT(is_member("list", JsonType::kArray, "[ ]"));
  EXPECT(object.find("typ") == nullptr);
  EXPECT(object.find("") == nullptr);
  EXPECT(object.begin()->value.data() > text.data());
  EXPECT(object.parse("{}") == JsonFault::kNone);
  EXPECT_EQUAL(object.size(), 0U);
  EXPECT(object.find("type") == nullptr);
}

TEST("a text is one object and white space") {
  for (const char* text : {"", " ", "[]", "1", "\"a\"", "null", "x", ",{}", "\x0b{}"}) {
    EXPECT(is_fault(text, JsonFault::kNotAnObject));
  }
  for (const char* text : {"{",
                           "{}}",
                           "{} {}",
                           "{},",
                           "{} x",
                           "{,}",
                           "{\"a\"}",
                           "{\"a\":}",
                           "{\"a\":1,}",
                           "{\"a\":1 \"b\":2}",
                           "{\"a\":1,,\"b\":2}",
                           "{a:1}",
                           "{'a':1}",
                           "{1:1}",
                           "{\"a\" 1}",
                           "{\"a\"::1}",
                           "{\"a\":1",
                           "{\"a\":1,",
                           "{\"a",
                           "{\"a\\",
                           "{\"a\":\"",
                           "{}\x0b",
                           "{}//",
                           "/**/{\"a\":01}"}) {
    EXPECT(fault_of(text) != JsonFault::kNone);
  }
  EXPECT(is_fault("{}\r\n\t ", JsonFault::kNone));
  EXPECT(is_fault(std::string("{}\0", 3), JsonFault::kSyntax));
  EXPECT(is_fault("\xef\xbb\xbf{}", JsonFault::kNotAnObject));
}

TEST("values follow the grammar of RFC 8259, at every depth") {
  for (const char* value :
       {"0",       "-0",       "1",     "10",      "-1.0",       "0.5",
        "1e1",     "1E+1",     "1e-01", "0e0",     "1.5E300",    "123456789012345678901234567890",
        "true",    "false",    "null",  "\"\"",    "\"a\"",      "[]",
        "{}",      "[ ]",      "{ }",   "[[],[]]", "{\"a\":{}}", "{\"a\":1,\"a\":2}",
        "[1 , 2]", "\"\x7f\"", "\"/\""}) {
    EXPECT(is_value(value, true));
  }
  for (const char* value :
       {"00",        "01",   "-",         "+1",      "-01",      ".5",         "1.",
        "1.e1",      "1e",   "1e+",       "0x1",     "1_0",      "Infinity",   "NaN",
        "-Infinity", "True", "tru",       "truex",   "nul",      "undefined",  "'a'",
        "\"",        "\"a",  "[",         "]",       "[1",       "[1,]",       "[,1]",
        "[1 2]",     "{",    "{\"a\"",    "{\"a\":", "{\"a\":1", "{\"a\":1,}", "{1:2}",
        "[}",        "{]",   "{\"a\":1]", "[1}",     "[1:2]",    "\"\t\"",     "\"\n\"",
        "1 2",       "--1"}) {
    EXPECT(is_value(value, false));
  }
  EXPECT(is_value(std::string("\"\0\"", 3), false));
  EXPECT(is_value("\"\x1f\"", false));
}

TEST("escapes follow the grammar, and encode whole characters") {
  for (const char* value : {R"("\"\\\/\b\f\n\r\t")",
                            R"("\u0000\u00e9\uABCD\uabcd")",
                            R"("\ud83d\ude00")",
                            R"("\uD800\uDC00\uDBFF\uDFFF")"}) {
    EXPECT(is_value(value, true));
  }
  for (const char* value : {R"("\x41")",
                            R"("\a")",
                            R"("\")",
                            R"("\u")",
                            R"("\u12")",
                            R"("\u123")",
                            R"("\u123g")",
                            R"("\U0041")",
                            R"("\'")",
                            R"("\0")",
                            R"("\ud800")",
                            R"("\udc00")",
                            R"("\ud800\u0041")",
                            R"("\ud800a")",
                            R"("\ud800\ud800")",
                            R"("\udc00\ud800")",
                            R"("\ud800\n")",
                            R"("\ud800\udc0")"}) {
    EXPECT(is_value(value, false));
  }
  // Truncated anywhere, the text is rejected, and not read past its end.
  const std::string text = R"({"k\u00e9y":"\ud83d\ude00\\","a":[{"b":-1.5e3},true]})";
  EXPECT(is_fault(text, JsonFault::kNone));
  for (size_t size = 0; size < text.size(); ++size) {
    EXPECT(fault_of(text.substr(0, size)) != JsonFault::kNone);
  }
}

TEST("invalid UTF-8 is rejected in keys, values and nested values") {
  for (const char* bad : {"\xff", "\xc0\x80", "\xed\xa0\x80", "\xe2\x82", "\x80"}) {
    EXPECT(is_fault(std::string("{\"") + bad + "\":1}", JsonFault::kInvalidUtf8));
    EXPECT(is_fault(std::string("{\"a\":\"") + bad + "\"}", JsonFault::kInvalidUtf8));
    EXPECT(is_fault(std::string("{\"a\":[\"") + bad + "\"]}", JsonFault::kInvalidUtf8));
  }
  EXPECT(is_fault("{\"\xc3\xa9\":\"\xf0\x9f\x98\x80\"}", JsonFault::kNone));
}

TEST("a text beyond a limit is rejected") {
  const auto nested = [](size_t depth) {
    return "{\"a\":" + repeated("[", depth) + repeated("]", depth) + "}";
  };
  const auto mixed = [](size_t depth) {
    return "{\"a\":" + repeated("{\"b\":[", depth) + repeated("]}", depth) + "}";
  };
  EXPECT(is_fault(nested(bounds::kJsonDepthMax), JsonFault::kNone));
  EXPECT(is_fault(nested(bounds::kJsonDepthMax + 1), JsonFault::kTooDeep));
  EXPECT(is_fault(nested(100'000), JsonFault::kTooDeep));
  EXPECT(is_fault(mixed(bounds::kJsonDepthMax / 2), JsonFault::kNone));
  EXPECT(is_fault(mixed(bounds::kJsonDepthMax / 2 + 1), JsonFault::kTooDeep));
  // Breadth does not count as depth.
  EXPECT(is_fault("{\"a\":[" + repeated("[[]],", 10'000) + "0]}", JsonFault::kNone));
  std::string members;
  for (size_t count = 0; count < bounds::kJsonMembersMax; ++count) {
    members += (count > 0 ? ",\"" : "\"") + std::to_string(count) + "\":0";
  }
  EXPECT(is_fault("{" + members + "}", JsonFault::kNone));
  EXPECT(is_fault("{" + members + ",\"x\":0}", JsonFault::kTooManyMembers));
  const std::string longest(bounds::kJsonKeyBytesMax, 'k');
  EXPECT(is_fault("{\"" + longest + "\":0}", JsonFault::kNone));
  EXPECT(is_fault("{\"" + longest + "k\":0}", JsonFault::kKeyTooLong));
}

TEST("a duplicate key is rejected, however it is escaped") {
  EXPECT(is_fault(R"({"a":1,"b":2,"a":3})", JsonFault::kDuplicateKey));
  EXPECT(is_fault(R"({"a":1,"\u0061":2})", JsonFault::kDuplicateKey));
  EXPECT(is_fault(R"({"\/":1,"/":2})", JsonFault::kDuplicateKey));
  EXPECT(is_fault("{\"\\ud83d\\ude00\":1,\"\xf0\x9f\x98\x80\":2}", JsonFault::kDuplicateKey));
  EXPECT(is_fault(R"({"a\u0000b":1,"a\u0000c":2})", JsonFault::kNone));
  EXPECT(is_fault(R"({"\\u0061":1,"a":2})", JsonFault::kNone));
  EXPECT(is_fault(R"({"":1,"":2})", JsonFault::kDuplicateKey));
  JsonObject object;
  const std::string text = R"({"t\u0079pe":1,"__proto__":2})";
  EXPECT(object.parse(text) == JsonFault::kNone);
  EXPECT(object.find("type") == object.begin());
  EXPECT(object.find("__proto__") == object.begin() + 1);
}

TEST("strings are unescaped into other memory or in place") {
  const std::string raw = R"(a\"\\\/\b\f\n\r\t\u0000\u00e9\u20AC\ud83d\ude00z)";
  const std::string plain("a\"\\/\b\f\n\r\t\0\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80z", 20);
  EXPECT(unescaped(raw) == plain);
  EXPECT(unescaped("").empty());
  std::string in_place = raw;
  in_place.resize(unescape_json(in_place, in_place.data()));
  EXPECT(in_place == plain);
  EXPECT(unescaped(R"(\u007f\u0080\u07ff\u0800\ud7ff\ue000\uffff\ud800\udc00\udbff\udfff)") ==
         "\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf"
         "\xf0\x90\x80\x80\xf4\x8f\xbf\xbf");
  EXPECT(unit::aborts([] { (void)unescaped("\\"); }));
  EXPECT(unit::aborts([] { (void)unescaped("\\ud800"); }));
}

TEST("the strings of an array are read up to an element of another type") {
  const auto walk = [](std::string_view array) {
    JsonStrings strings(array);
    std::string all;
    std::string_view raw;
    while (strings.next(&raw)) all += std::string(raw) + "|";
    EXPECT(!strings.next(&raw));
    return all + (strings.is_complete() ? "end" : "other");
  };
  EXPECT(walk("[]") == "end");
  EXPECT(walk("[ \n ]") == "end");
  EXPECT(walk(R"(["a"])") == "a|end");
  EXPECT(walk(R"([ "a" , "b\"]" ,"" ])") == "a|b\\\"]||end");
  EXPECT(walk(R"(["a",1,"b"])") == "a|other");
  EXPECT(walk(R"([["a"]])") == "other");
  EXPECT(walk(R"([null])") == "other");
  EXPECT(unit::aborts([] { (void)JsonStrings("{}"); }));
}

TEST("every fault has a message") {
  EXPECT(std::strlen(describe(JsonFault::kNone)) == 0);
  for (uint8_t fault = 1; fault <= static_cast<uint8_t>(JsonFault::kDuplicateKey); ++fault) {
    EXPECT(std::strlen(describe(static_cast<JsonFault>(fault))) > 10);
  }
}
