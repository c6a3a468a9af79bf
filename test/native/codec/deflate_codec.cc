// Tests of permessage-deflate: negotiation, the examples of RFC 7692, bombs, windows and the pool.
#include "codec/deflate_codec.h"

#include <string>
#include <vector>

#include "support/unit.h"

using namespace megacomet;

namespace {

constexpr size_t kMost = 100'000;

std::string bytes_of(std::initializer_list<int> bytes) {
  std::string text;
  for (const int byte : bytes) text.push_back(static_cast<char>(byte));
  return text;
}

/// Inflates a message in parts of `part` bytes, each from memory of exactly its size.
DeflateFault inflate_in_parts(DeflateCodec* codec,
                              const std::string& payload,
                              size_t part,
                              size_t bytes_max,
                              std::string* out) {
  DeflateCodec::Inflater* inflater = nullptr;
  DeflateFault fault = codec->begin_message(&inflater);
  if (fault != DeflateFault::kNone) return fault;
  size_t at = 0;
  do {
    const std::string piece = payload.substr(at, part);
    const std::vector<char> tight(piece.begin(), piece.end());
    at += piece.size();
    const bool is_final = at == payload.size();
    fault = codec->inflate(inflater, {tight.data(), tight.size()}, is_final, bytes_max, out);
  } while (fault == DeflateFault::kNone && at < payload.size());
  codec->end_message(inflater);
  return fault;
}

/// Checks that a payload inflates to this text, in one part and in many.
bool inflates_to(const std::string& payload, const std::string& wanted) {
  static DeflateCodec codec(1);
  for (const size_t part : {payload.size() + 1, size_t{1}, size_t{2}, size_t{7}}) {
    std::string text;
    const DeflateFault fault = inflate_in_parts(&codec, payload, part, kMost, &text);
    if (!EXPECT(fault == DeflateFault::kNone && text == wanted)) return false;
  }
  return true;
}

bool is_broken(const std::string& payload) {
  static DeflateCodec codec(1);
  for (const size_t part : {payload.size() + 1, size_t{1}}) {
    std::string text;
    const DeflateFault fault = inflate_in_parts(&codec, payload, part, kMost, &text);
    if (!EXPECT(fault == DeflateFault::kBroken)) return false;
  }
  return true;
}

std::string deflated(const std::string& text, uint8_t window_bits = kDeflateWindowBitsMax) {
  static DeflateCodec codec(1);
  std::string payload = "kept";
  EXPECT(codec.deflate(text, window_bits, &payload) == DeflateFault::kNone);
  EXPECT(payload.compare(0, 4, "kept") == 0);
  return payload.substr(4);
}

std::string random_text(size_t size, int letters) {
  std::string text(size, '\0');
  for (char& character : text) character = static_cast<char>(unit::upto(letters - 1));
  return text;
}

/// The response to a header; "none" or "malformed" without one.
std::string answer_to(const std::string& header) {
  const std::vector<char> tight(header.begin(), header.end());
  DeflateAgreement agreement;
  switch (negotiate_deflate({tight.data(), tight.size()}, &agreement)) {
    case DeflateOffer::kNone:
      return "none";
    case DeflateOffer::kMalformed:
      return "malformed";
    case DeflateOffer::kAgreed:
      break;
  }
  const std::string always =
      "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
  std::string answer;
  append_deflate_answer(agreement, &answer);
  EXPECT(answer.compare(0, always.size(), always) == 0);
  return "agreed" + answer.substr(always.size());
}

bool is_answered(const std::string& header, const std::string& wanted) {
  const std::string answer = answer_to(header);
  if (answer == wanted) return true;
  unit::fail(__FILE__, __LINE__, header + ": " + answer);
  return false;
}

}  // namespace

TEST("zlib is found") {
  EXPECT(missing_zlib_symbol() == nullptr);
}

TEST("the response to an offer of permessage-deflate stays within the offer") {
  EXPECT(is_answered("permessage-deflate", "agreed"));
  EXPECT(is_answered("permessage-deflate; client_max_window_bits",
                     "agreed; client_max_window_bits=15"));
  EXPECT(is_answered("permessage-deflate; client_max_window_bits=8",
                     "agreed; client_max_window_bits=8"));
  EXPECT(is_answered("permessage-deflate; server_max_window_bits=10",
                     "agreed; server_max_window_bits=10"));
  EXPECT(is_answered("permessage-deflate;server_max_window_bits=9;client_max_window_bits=\"12\"",
                     "agreed; server_max_window_bits=9; client_max_window_bits=12"));
  EXPECT(is_answered("permessage-deflate; server_max_window_bits=\"1\\0\"",
                     "agreed; server_max_window_bits=10"));
  EXPECT(is_answered("permessage-deflate; server_no_context_takeover; client_no_context_takeover",
                     "agreed"));
  EXPECT(is_answered("  x-webkit-deflate-frame ,\tpermessage-deflate\t; client_max_window_bits ",
                     "agreed; client_max_window_bits=15"));
}

TEST("the first acceptable offer is accepted") {
  const std::string bad = "permessage-deflate; server_max_window_bits=8";
  EXPECT(is_answered(bad + ", permessage-deflate; server_max_window_bits=11",
                     "agreed; server_max_window_bits=11"));
  EXPECT(is_answered("permessage-deflate; server_max_window_bits=12, permessage-deflate",
                     "agreed; server_max_window_bits=12"));
  EXPECT(is_answered(bad + ", " + bad, "none"));
  EXPECT(is_answered("permessage-bzip2, permessage-deflate; x", "none"));
}

TEST("an offer with an unknown, repeated or invalid parameter is skipped") {
  for (const char* window : {"0", "7", "16", "999", "-9", "08", "09", "1", "x", "8.5", "100000"}) {
    for (const char* side : {"server", "client"}) {
      const std::string name = std::string(side) + "_max_window_bits=";
      EXPECT(is_answered("permessage-deflate; " + name + window, "none"));
      EXPECT(is_answered("permessage-deflate; " + name + "\"" + window + "\"", "none"));
    }
  }
  // zlib's deflate does not support a window of 2^8, but a client may use one.
  EXPECT(is_answered("permessage-deflate; server_max_window_bits=8", "none"));
  EXPECT(is_answered("permessage-deflate; server_max_window_bits", "none"));
  EXPECT(is_answered("permessage-deflate; server_no_context_takeover=1", "none"));
  EXPECT(is_answered("permessage-deflate; client_no_context_takeover=\"1\"", "none"));
  EXPECT(is_answered("permessage-deflate; unknown", "none"));
  EXPECT(is_answered("permessage-deflate; unknown=1", "none"));
  EXPECT(is_answered("permessage-deflate; Client_max_window_bits", "none"));
  EXPECT(is_answered("Permessage-Deflate", "none"));
  for (const char* parameter : {"server_no_context_takeover",
                                "client_no_context_takeover",
                                "server_max_window_bits=10",
                                "client_max_window_bits"}) {
    const std::string twice = std::string("; ") + parameter + "; " + parameter;
    EXPECT(is_answered("permessage-deflate" + twice, "none"));
  }
  EXPECT(
      is_answered("permessage-deflate; client_max_window_bits; client_max_window_bits=10", "none"));
}

TEST("a list that violates the grammar is malformed, and an empty list is not") {
  for (const char* header : {"", " ", ",", " , ,", "a", "a; b=c", "a;b=\"c\", d", ",a,"}) {
    EXPECT(is_answered(header, "none"));
  }
  for (const char* header : {";",
                             "=",
                             "a;",
                             "a; ",
                             "a;;b",
                             "a b",
                             "a; b=",
                             "a; =c",
                             "a; b=\"c",
                             "a; b=\"\"",
                             "a; b=\"c d\"",
                             "a; b=\"c\\",
                             "a; b=\"c\\\"",
                             "a; b=c d",
                             "a; b =c",
                             "a; b= c",
                             "a=b",
                             "a/b",
                             "a; b=\"c\"d",
                             "\"a\"",
                             "permessage-deflate;",
                             "permessage-deflate; client_max_window_bits=",
                             "permessage-deflate, ;",
                             "a\x01",
                             "\xc3\xa9",
                             "a\r\nb"}) {
    EXPECT(is_answered(header, "malformed"));
  }
  EXPECT(is_answered(",, permessage-deflate ,,", "agreed"));
}

TEST("the examples of RFC 7692 7.2.3 inflate, in any parts") {
  EXPECT(inflates_to(bytes_of({0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00}), "Hello"));
  // Without compression; with a final block; with two blocks; an empty message, in two ways.
  EXPECT(inflates_to(bytes_of({0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00}),
                     "Hello"));
  EXPECT(inflates_to(bytes_of({0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00}), "Hello"));
  EXPECT(inflates_to(
      bytes_of({0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00}),
      "Hello"));
  EXPECT(inflates_to(bytes_of({0x00}), ""));
  EXPECT(inflates_to(bytes_of({0x02, 0x00}), ""));
}

TEST("invalid and truncated deflate data is rejected") {
  // It refers to the previous message, which is not kept.
  EXPECT(is_broken(bytes_of({0xf2, 0x00, 0x11, 0x00, 0x00})));
  EXPECT(is_broken(bytes_of({0xff})));
  EXPECT(is_broken("Hello"));
  EXPECT(is_broken(""));
  EXPECT(is_broken(bytes_of({0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00})));
  const std::string payload = deflated(random_text(300, 20));
  for (size_t size = 0; size < payload.size(); ++size) {
    if (!EXPECT(is_broken(payload.substr(0, size)))) return;
  }
}

TEST("any message is restored, in any window and in any parts") {
  for (int round = 0; round < 60; ++round) {
    const std::string text = random_text(unit::upto(round % 10 == 0 ? kMost : 400),
                                         1 + static_cast<int>(unit::upto(40)));
    const auto window_bits = static_cast<uint8_t>(9 + unit::upto(6));
    if (!EXPECT(inflates_to(deflated(text, window_bits), text))) return;
  }
  EXPECT(inflates_to(deflated(""), ""));
  const std::string noise = random_text(kMost, 256);
  EXPECT(inflates_to(deflated(noise), noise));
}

TEST("deflate stays within the agreed window") {
  // The second half repeats the first at a distance beyond one inflate step.
  const std::string half = random_text(20'000, 256);
  const std::string text = half + half;
  for (uint8_t window_bits = 9; window_bits <= 15; ++window_bits) {
    DeflateCodec narrow(1, window_bits);
    std::string out;
    const std::string payload = deflated(text, window_bits);
    EXPECT(inflate_in_parts(&narrow, payload, SIZE_MAX, kMost, &out) == DeflateFault::kNone);
    EXPECT(out == text);
    EXPECT((payload.size() < half.size() * 3 / 2) == (window_bits == 15));
    out.clear();
    const DeflateFault fault = inflate_in_parts(&narrow, deflated(text), SIZE_MAX, kMost, &out);
    EXPECT((fault == DeflateFault::kNone) == (window_bits == 15));
  }
  DeflateCodec codec(1);
  std::string out;
  EXPECT(unit::aborts([&] { (void)codec.deflate("a", 8, &out); }));
  EXPECT(unit::aborts([&] { (void)codec.deflate("a", 16, &out); }));
}

TEST("a bomb is detected while it inflates, in any parts") {
  constexpr size_t kBomb = 20'000'000;
  const std::string payload = deflated(std::string(kBomb, '\0'));
  EXPECT(payload.size() < kBomb / 1000);
  DeflateCodec codec(1);
  for (const size_t part : {SIZE_MAX, size_t{1}, size_t{50}}) {
    std::string out;
    EXPECT(inflate_in_parts(&codec, payload, part, kMost, &out) == DeflateFault::kTooBig);
    EXPECT(out.size() <= kMost && out.capacity() <= 2 * kMost);
  }
}

TEST("the limit of a message is exact, and includes earlier parts") {
  DeflateCodec codec(1);
  for (const size_t size : {size_t{1},
                            bounds::kInflateStepBytes - 1,
                            bounds::kInflateStepBytes,
                            bounds::kInflateStepBytes + 1,
                            3 * bounds::kInflateStepBytes}) {
    const std::string payload = deflated(std::string(size, 'a'));
    std::string out;
    EXPECT(inflate_in_parts(&codec, payload, SIZE_MAX, size, &out) == DeflateFault::kNone);
    EXPECT_EQUAL(out.size(), size);
    out.clear();
    EXPECT(inflate_in_parts(&codec, payload, SIZE_MAX, size - 1, &out) == DeflateFault::kTooBig);
    out = "x";
    EXPECT(inflate_in_parts(&codec, payload, SIZE_MAX, size, &out) == DeflateFault::kTooBig);
    out = std::string(size + 1, 'x');
    EXPECT(inflate_in_parts(&codec, payload, SIZE_MAX, size, &out) == DeflateFault::kTooBig);
  }
}

TEST("random bytes affect neither the inflater nor a later message") {
  DeflateCodec codec(1);
  const std::string good = bytes_of({0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00});
  for (int round = 0; round < 3000; ++round) {
    std::string noise = unit::upto(1) == 0 ? random_text(unit::upto(40), 256)
                                           : deflated(random_text(unit::upto(200), 10));
    if (!noise.empty()) noise[unit::upto(noise.size() - 1)] = static_cast<char>(unit::upto(255));
    std::string out;
    (void)inflate_in_parts(&codec, noise, 1 + unit::upto(50), kMost, &out);
    out.clear();
    const DeflateFault fault = inflate_in_parts(&codec, good, SIZE_MAX, kMost, &out);
    if (!EXPECT(fault == DeflateFault::kNone && out == "Hello")) return;
  }
}

TEST("the pool inflates at most its limit of messages at the same time") {
  DeflateCodec codec(3);
  std::vector<DeflateCodec::Inflater*> inflaters(3);
  for (auto& inflater : inflaters) EXPECT(codec.begin_message(&inflater) == DeflateFault::kNone);
  DeflateCodec::Inflater* none = nullptr;
  EXPECT(codec.begin_message(&none) == DeflateFault::kBusy);
  EXPECT_EQUAL(codec.busy(), 3U);
  // Each inflater has its own message, and trim() frees only idle ones.
  std::string out[3];
  const std::string payload = bytes_of({0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00});
  codec.end_message(inflaters[1]);
  codec.trim();
  EXPECT_EQUAL(codec.busy(), 2U);
  EXPECT(codec.begin_message(&inflaters[1]) == DeflateFault::kNone);
  for (size_t at = 0; at < payload.size(); ++at) {
    for (size_t which = 0; which < 3; ++which) {
      const bool is_final = at + 1 == payload.size();
      EXPECT(codec.inflate(inflaters[which], payload.substr(at, 1), is_final, kMost, &out[which]) ==
             DeflateFault::kNone);
    }
  }
  for (size_t which = 0; which < 3; ++which) {
    EXPECT(out[which] == "Hello");
    codec.end_message(inflaters[which]);
  }
  EXPECT_EQUAL(codec.busy(), 0U);
  codec.trim();
  std::string text;
  EXPECT(codec.deflate("a", 15, &text) == DeflateFault::kNone);
}

TEST("an inflater that was released within a message starts the next one from the beginning") {
  DeflateCodec codec(1);
  DeflateCodec::Inflater* inflater = nullptr;
  std::string out;
  const std::string payload = bytes_of({0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00});
  EXPECT(codec.begin_message(&inflater) == DeflateFault::kNone);
  EXPECT(codec.inflate(inflater, payload.substr(0, 3), false, kMost, &out) == DeflateFault::kNone);
  codec.end_message(inflater);
  EXPECT(unit::aborts([&] { codec.end_message(inflater); }));
  out.clear();
  EXPECT(inflate_in_parts(&codec, payload, SIZE_MAX, kMost, &out) == DeflateFault::kNone);
  EXPECT(out == "Hello");
}

TEST("inflate() returns all output of a part, in any number of steps") {
  DeflateCodec codec(1);
  const std::string payload = deflated(std::string(kMost, 'a'));
  for (size_t size = 1; size < payload.size(); ++size) {
    DeflateCodec::Inflater* inflater = nullptr;
    std::string out;
    EXPECT(codec.begin_message(&inflater) == DeflateFault::kNone);
    EXPECT(codec.inflate(inflater, payload.substr(0, size), false, kMost, &out) ==
           DeflateFault::kNone);
    const size_t at_once = out.size();
    EXPECT(codec.inflate(inflater, "", false, kMost, &out) == DeflateFault::kNone);
    EXPECT_EQUAL(out.size(), at_once);
    codec.end_message(inflater);
  }
}
