// Tests of PROXY headers: each form of both versions, each fault, split at each byte.
#include "codec/proxy_codec.h"

#include <string>
#include <vector>

#include "base/bounds.h"
#include "support/unit.h"

using namespace megacomet;

namespace {

const std::string kSignature("\r\n\r\n\0\r\nQUIT\n", 12);
const std::string kIpv4("\x0a\x01\x02\x03\x0a\x01\x02\x04\x12\x34\x00\x50", 12);
const std::string kIpv6("\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x07", 16);
const std::string kAddresses6 = kIpv6 + kIpv6 + std::string("\x12\x34\x00\x50", 4);

std::string version2(unsigned command, unsigned family, const std::string& body) {
  const char head[] = {static_cast<char>(command),
                       static_cast<char>(family),
                       static_cast<char>(body.size() >> 8U),
                       static_cast<char>(body.size())};
  return kSignature + std::string(head, sizeof head) + body;
}

struct Good {
  std::string bytes;
  /// Empty if the header names no client.
  std::string source;
};

std::vector<Good> good_headers() {
  const std::string tlv("\x04\x00\x03zzz", 6);
  return {
      {"PROXY TCP4 10.1.2.3 10.1.2.4 4660 80\r\n", "10.1.2.3"},
      {"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", "255.255.255.255"},
      {"PROXY TCP4 1.2.3.4 5.6.7.8 0 0\r\n", "1.2.3.4"},
      {"PROXY TCP6 2001:db8::7 2001:db8::8 4660 80\r\n", "2001:db8::7"},
      {"PROXY TCP6 ::ffff:1.2.3.4 ::1 1 2\r\n", "1.2.3.4"},
      {"PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
       "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
       "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
      {"PROXY UNKNOWN\r\n", ""},
      // The longest line: 107 bytes.
      {"PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
       "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
       ""},
      {version2(0x21, 0x11, kIpv4), "10.1.2.3"},
      {version2(0x21, 0x12, kIpv4), "10.1.2.3"},
      {version2(0x21, 0x21, kAddresses6), "2001:db8::7"},
      {version2(0x21, 0x11, kIpv4 + tlv + tlv), "10.1.2.3"},
      {version2(0x21, 0x21, kAddresses6 + std::string(500, '\xff')), "2001:db8::7"},
      {version2(0x21, 0x31, std::string(216, 'u')), ""},
      {version2(0x21, 0x00, ""), ""},
      {version2(0x21, 0x00, "anything"), ""},
      {version2(0x20, 0x00, ""), ""},
      // LOCAL: the addresses do not count, and need not be complete.
      {version2(0x20, 0x11, kIpv4), ""},
      {version2(0x20, 0x11, "x"), ""},
      {version2(0x21, 0x11, kIpv4 + std::string(bounds::kProxyHeaderBytesMax - 28, 't')),
       "10.1.2.3"},
  };
}

std::string shown(const std::string& bytes) {
  std::string text;
  for (const char byte : bytes.substr(0, 60))
    text.push_back(byte >= ' ' && byte <= '~' ? byte : '.');
  return text;
}

void expect_status(const std::string& bytes, ProxyStatus wanted) {
  if (parse_proxy_header(bytes).status == wanted) return;
  unit::fail(__FILE__, __LINE__, shown(bytes) + " has another status");
}

}  // namespace

TEST("each form of a PROXY header names its client") {
  for (const Good& good : good_headers()) {
    for (const std::string& rest :
         {std::string(), std::string("GET / HTTP/1.1\r\n\r\n"), good.bytes}) {
      const ProxyHeader header = parse_proxy_header(good.bytes + rest);
      const bool is_right = header.status == ProxyStatus::kComplete &&
                            header.consumed == good.bytes.size() &&
                            header.has_source == !good.source.empty() &&
                            (good.source.empty() || text_of(header.source) == good.source);
      if (!is_right) unit::fail(__FILE__, __LINE__, shown(good.bytes) + " is read wrongly");
    }
  }
}

TEST("a PROXY header that is split at any byte is incomplete until its last one") {
  for (const Good& good : good_headers()) {
    for (size_t size = 0; size < good.bytes.size(); ++size) {
      expect_status(good.bytes.substr(0, size), ProxyStatus::kIncomplete);
    }
  }
}

TEST("a malformed PROXY header is bad") {
  const std::string long_line = "PROXY UNKNOWN " + std::string(92, 'x');
  const std::string texts[] = {
      "GET / HTTP/1.1\r\n",
      "\x16\x03\x01",
      "proxy TCP4 1.2.3.4 5.6.7.8 1 2\r\n",
      "PROXY\r\n",
      "PROXY \r\n",
      "PROXY  TCP4 1.2.3.4 5.6.7.8 1 2\r\n",
      "PROXY TCP4  1.2.3.4 5.6.7.8 1 2\r\n",
      "PROXY TCP4 1.2.3.4 5.6.7.8 1 2 \r\n",
      "PROXY TCP4 1.2.3.4 5.6.7.8 1 2 3\r\n",
      "PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n",
      "PROXY TCP4 1.2.3.4 5.6.7.8\r\n",
      "PROXY TCP4\r\n",
      "PROXY TCP4 1.2.3.4 5.6.7.8 01 2\r\n",
      "PROXY TCP4 1.2.3.4 5.6.7.8 65536 2\r\n",
      "PROXY TCP4 1.2.3.4 5.6.7.8 -1 2\r\n",
      "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\n",
      "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\r\n",
      "PROXY TCP4 ::1 ::2 1 2\r\n",
      "PROXY TCP6 1.2.3.4 5.6.7.8 1 2\r\n",
      "PROXY TCP4 01.2.3.4 5.6.7.8 1 2\r\n",
      "PROXY TCP4 localhost 5.6.7.8 1 2\r\n",
      "PROXY UDP4 1.2.3.4 5.6.7.8 1 2\r\n",
      "PROXY unknown\r\n",
      "PROXY UNKNOWN\rx\r\n",
      // 108 bytes with the line end, and 107 without one.
      long_line + "\r\n",
      long_line + "x",
      kSignature + "\x11",
      kSignature + "\x22",
      kSignature + "\x2f",
      kSignature + std::string("\x21\x41", 2),
      kSignature + std::string("\x21\x13", 2),
      version2(0x21, 0x11, kIpv4.substr(1)),
      version2(0x21, 0x21, kAddresses6.substr(1)),
      version2(0x21, 0x31, std::string(215, 'u')),
      version2(0x21, 0x11, kIpv4 + std::string(bounds::kProxyHeaderBytesMax - 27, 't')),
      // The length alone is enough to be bad.
      kSignature + std::string("\x21\x11\xff\xff", 4),
      kSignature.substr(0, 11) + "x",
  };
  for (const std::string& text : texts) expect_status(text, ProxyStatus::kBad);
}

TEST("random changes of a PROXY header are never read past their end") {
  const std::vector<Good> headers = good_headers();
  for (int count = 0; count < 20'000; ++count) {
    std::string bytes = headers[unit::upto(headers.size() - 1)].bytes;
    bytes[unit::upto(bytes.size() - 1)] = static_cast<char>(unit::upto(255));
    bytes.resize(unit::upto(bytes.size()));
    const ProxyHeader header = parse_proxy_header(bytes);
    EXPECT(header.consumed <= bytes.size());
    EXPECT(header.status == ProxyStatus::kComplete || header.consumed == 0);
  }
}
