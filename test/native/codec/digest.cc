// Tests of SHA-1 against the vectors of its standards, of base64, and of the WebSocket handshake.
#include "codec/digest.h"

#include <string>
#include <vector>

#include "codec/sha1.h"
#include "support/unit.h"

using namespace megacomet;

namespace {

std::string hex(const Sha1Digest& digest) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (const uint8_t byte : digest) {
    text += kDigits[byte >> 4];
    text += kDigits[byte & 15];
  }
  return text;
}

std::string encoded(const std::string& bytes) {
  std::string text(base64_size(bytes.size()), '\0');
  base64_encode(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size(), text.data());
  return text;
}

/// The decoded bytes, or "rejected".
std::string decoded(const std::string& text, size_t capacity) {
  // Both of exact size, so that a sanitizer detects an access past the end.
  const std::vector<char> tight(text.begin(), text.end());
  std::vector<uint8_t> out(capacity);
  size_t size = 0;
  if (!base64_decode({tight.data(), tight.size()}, out.data(), capacity, &size)) return "rejected";
  return {out.begin(), out.begin() + static_cast<ptrdiff_t>(size)};
}

std::string accept_of(const std::string& key) {
  char out[kWebsocketAcceptBytes];
  websocket_accept(key, out);
  return {out, sizeof out};
}

}  // namespace

TEST("SHA-1 gives the digests of FIPS 180 and RFC 3174") {
  EXPECT(hex(sha1("")) == "da39a3ee5e6b4b0d3255bfef95601890afd80709");
  EXPECT(hex(sha1("abc")) == "a9993e364706816aba3e25717850c26c9cd0d89d");
  EXPECT(hex(sha1("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq")) ==
         "84983e441c3bd26ebaae4aa1f95129e5e54670f1");
  EXPECT(hex(sha1("a")) == "86f7e437faa5a7fce15d1ddcb9eaeaea377667b8");
  EXPECT(hex(sha1(std::string(1'000'000, 'a'))) == "34aa973cd4c4daa4f61eeb2bdbad27316534016f");
  std::string repeated;
  for (int count = 0; count < 80; ++count) repeated += "01234567";
  EXPECT(hex(sha1(repeated)) == "dea356a2cddd90c7a7ecedc5ebb563934f460452");
}

TEST("SHA-1 with the processor's instructions equals the portable form") {
  // Each block is made from the previous hash, so that one wrong bit affects all later ones.
  Sha1Words fast = kSha1Start;
  Sha1Words plain = kSha1Start;
  for (int count = 0; count < 10'000; ++count) {
    uint8_t block[kSha1BlockBytes];
    for (size_t at = 0; at < sizeof block; ++at) {
      block[at] = static_cast<uint8_t>(plain[at % plain.size()] >> (at % 4 * 8)) ^
                  static_cast<uint8_t>(at * 37);
    }
    sha1_add_block(&fast, block);
    sha1_add_block_by_words(&plain, block);
    if (!EXPECT(fast == plain)) return;
  }
}

TEST("SHA-1 pads every length around the ends of blocks") {
  // The hash of the concatenated digests of each number of letters `x`.
  std::string all;
  for (size_t size = 0; size <= 130; ++size) all += hex(sha1(std::string(size, 'x')));
  EXPECT(hex(sha1(all)) == "264556ac95806d1e869b3f1fad8691f6633bcdfa");
}

TEST("base64 gives the vectors of RFC 4648, in both directions") {
  const char* const cases[][2] = {{"", ""},
                                  {"f", "Zg=="},
                                  {"fo", "Zm8="},
                                  {"foo", "Zm9v"},
                                  {"foob", "Zm9vYg=="},
                                  {"fooba", "Zm9vYmE="},
                                  {"foobar", "Zm9vYmFy"},
                                  {"\xfb\xff\xbf", "+/+/"}};
  for (const auto& [bytes, text] : cases) {
    EXPECT(encoded(bytes) == text);
    EXPECT(decoded(text, std::string(bytes).size()) == bytes);
  }
}

TEST("base64 restores random bytes, and rejects a buffer that is one byte too short") {
  for (int round = 0; round < 5000; ++round) {
    std::string bytes(unit::upto(70), '\0');
    for (char& byte : bytes) byte = static_cast<char>(unit::upto(255));
    const std::string text = encoded(bytes);
    EXPECT(decoded(text, bytes.size()) == bytes);
    if (!bytes.empty()) EXPECT(decoded(text, bytes.size() - 1) == "rejected");
  }
}

TEST("base64 is read only in the form in which it is written") {
  for (const char* text : {"Z",
                           "Zg",
                           "Zg=",
                           "Zg===",
                           "=",
                           "==",
                           "===",
                           "====",
                           "Zg=a",
                           "Z===",
                           "A===",
                           "Zh==",
                           "Zm9=",
                           "Zm9v====",
                           "Zm9vZ===",
                           "Zm-v",
                           "Zm_v",
                           "Zm9v\n",
                           " Zm9",
                           "Zm 9",
                           "Zm9vYg==Zm9v",
                           "\xc3\xa4\xc3\xa4",
                           "Zg==Zg=="}) {
    if (!EXPECT(decoded(text, 100) == "rejected")) unit::fail(__FILE__, __LINE__, text);
  }
  EXPECT(decoded(std::string("Zm9\0", 4), 100) == "rejected");
}

TEST("a WebSocket key is the base64 of 16 bytes, and nothing else") {
  EXPECT(is_websocket_key("dGhlIHNhbXBsZSBub25jZQ=="));
  EXPECT(is_websocket_key("AAAAAAAAAAAAAAAAAAAAAA=="));
  EXPECT(is_websocket_key("/////////////////////w=="));
  for (const char* key : {"",
                          "dGhlIHNhbXBsZSBub25jZQ=",
                          "dGhlIHNhbXBsZSBub25jZQ",
                          "dGhlIHNhbXBsZSBub25jZR==",
                          "dGhlIHNhbXBsZSBub25jZQ==\t",
                          " dGhlIHNhbXBsZSBub25jZQ=",
                          "dGhlIHNhbXBsZSBub25jZWU=",
                          "dGhlIHNhbXBsZSBub25jZWVl",
                          "dGhlIHNhbXBsZSBub25jZWVlZQ==",
                          "dGhlIHNhbXBsZSBub25j!Q==",
                          "dGhlIHNhbXBsZSBub25jQ===",
                          "dGhlIHNhbXBs=SBub25jZQ=="}) {
    if (!EXPECT(!is_websocket_key(key))) unit::fail(__FILE__, __LINE__, key);
  }
}

TEST("the accept value of a WebSocket key is that of RFC 6455") {
  EXPECT(accept_of("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
  EXPECT(accept_of("x3JJHMbDL1EzLkh9GBhXDw==") == "HSmrc0sMlYUkAGmm5OPpG2HaGWk=");
  EXPECT(unit::aborts([] { (void)accept_of("short"); }));
}
