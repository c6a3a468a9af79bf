// Reading, comparing and writing IP addresses. See ip_address.h.
#include "base/ip_address.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/ascii.h"

namespace megacomet {

namespace {

constexpr uint8_t kMapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
constexpr uint32_t kMappedBits = 96;
constexpr uint32_t kPrefixBytes = 8;

IpNetwork ipv4_network(uint8_t a, uint8_t b, uint32_t bits) {
  const uint8_t four[] = {a, b, 0, 0};
  return {IpAddress::of_ipv4(four), kMappedBits + bits};
}

IpNetwork ipv6_network(uint8_t a, uint8_t b, uint32_t bits) {
  IpNetwork network;
  network.first.bytes[0] = a;
  network.first.bytes[1] = b;
  network.bits = bits;
  return network;
}

/// Removes the text up to the next separator, or all of it. False without a separator.
bool take_part(std::string_view* text, char separator, std::string_view* part) {
  const size_t end = text->find(separator);
  *part = text->substr(0, end);
  text->remove_prefix(end == std::string_view::npos ? text->size() : end + 1);
  return end != std::string_view::npos;
}

bool parse_dotted(std::string_view text, uint8_t* four) {
  for (size_t at = 0; at < 4; ++at) {
    std::string_view part;
    uint64_t value = 0;
    const bool has_more = take_part(&text, '.', &part);
    if (has_more != (at < 3) || !ascii::parse_unsigned(part, &value) || value > 255) return false;
    four[at] = static_cast<uint8_t>(value);
  }
  return true;
}

/// Groups of an IPv6 address without "::", of at most 16 bytes. The last two may be dotted. Returns
/// the number of bytes, or `kBad`.
constexpr size_t kBad = SIZE_MAX;
size_t parse_groups(std::string_view text, bool may_be_dotted, uint8_t* bytes) {
  size_t size = 0;
  for (bool has_more = !text.empty(); has_more;) {
    std::string_view group;
    has_more = take_part(&text, ':', &group);
    if (!has_more && may_be_dotted && group.find('.') != std::string_view::npos) {
      return size <= 12 && parse_dotted(group, bytes + size) ? size + 4 : kBad;
    }
    if (size > 14 || group.empty() || group.size() > 4) return kBad;
    uint32_t value = 0;
    for (const char digit : group) {
      const int nibble = ascii::hex_value(digit);
      if (nibble < 0) return kBad;
      value = value << 4U | static_cast<uint32_t>(nibble);
    }
    bytes[size++] = static_cast<uint8_t>(value >> 8U);
    bytes[size++] = static_cast<uint8_t>(value);
  }
  return size;
}

/// The longest run of at least two zero groups, as the first one and the one after it (RFC 5952
/// 4.2).
std::pair<size_t, size_t> longest_zeros(const uint16_t* groups) {
  std::pair<size_t, size_t> longest{8, 8};
  for (size_t first = 0; first < 8; ++first) {
    size_t end = first;
    while (end < 8 && groups[end] == 0) ++end;
    const size_t before = longest.second - longest.first;
    if (end - first >= 2 && end - first > before) longest = {first, end};
  }
  return longest;
}

std::string dotted_text(const uint8_t* four) {
  std::string text = std::to_string(four[0]);
  for (size_t at = 1; at < 4; ++at) text.append(".").append(std::to_string(four[at]));
  return text;
}

void append_hex(uint16_t group, std::string* out) {
  bool has_begun = false;
  for (int shift = 12; shift >= 0; shift -= 4) {
    const unsigned nibble = group >> static_cast<unsigned>(shift) & 0xfU;
    has_begun = has_begun || nibble != 0 || shift == 0;
    if (has_begun) out->push_back("0123456789abcdef"[nibble]);
  }
}

}  // namespace

IpAddress IpAddress::of_ipv4(const void* four) {
  IpAddress address;
  std::memcpy(address.bytes.data(), kMapped, sizeof kMapped);
  std::memcpy(address.bytes.data() + sizeof kMapped, four, 4);
  return address;
}

IpAddress IpAddress::of_ipv6(const void* sixteen) {
  IpAddress address;
  std::memcpy(address.bytes.data(), sixteen, address.bytes.size());
  return address;
}

bool IpAddress::is_ipv4() const {
  return std::memcmp(bytes.data(), kMapped, sizeof kMapped) == 0;
}

bool IpAddress::is_loopback() const {
  if (is_ipv4()) return bytes[12] == 127;
  return bytes[15] == 1 &&
         std::all_of(bytes.begin(), bytes.end() - 1, [](uint8_t b) { return b == 0; });
}

bool IpAddress::is_private() const {
  static const IpNetwork kNetworks[] = {ipv4_network(10, 0, 8),
                                        ipv4_network(172, 16, 12),
                                        ipv4_network(192, 168, 16),
                                        ipv4_network(100, 64, 10),
                                        ipv4_network(169, 254, 16),
                                        ipv6_network(0xfc, 0, 7),
                                        ipv6_network(0xfe, 0x80, 10)};
  if (is_loopback()) return true;
  return std::any_of(std::begin(kNetworks), std::end(kNetworks), [this](const IpNetwork& network) {
    return network.has(*this);
  });
}

IpAddress IpAddress::counted() const {
  IpAddress prefix = *this;
  if (!is_ipv4()) std::fill(prefix.bytes.begin() + kPrefixBytes, prefix.bytes.end(), uint8_t{0});
  return prefix;
}

bool IpNetwork::has(const IpAddress& address) const {
  const uint32_t whole = bits / 8;
  if (std::memcmp(address.bytes.data(), first.bytes.data(), whole) != 0) return false;
  if (bits % 8 == 0) return true;
  const uint32_t shift = 8 - bits % 8;
  return address.bytes[whole] >> shift == first.bytes[whole] >> shift;
}

bool parse_ipv4(std::string_view text, IpAddress* out) {
  uint8_t four[4];
  if (!parse_dotted(text, four)) return false;
  *out = IpAddress::of_ipv4(four);
  return true;
}

bool parse_ipv6(std::string_view text, IpAddress* out) {
  uint8_t head[16];
  uint8_t tail[16];
  const size_t gap = text.find("::");
  if (gap == std::string_view::npos) {
    if (parse_groups(text, true, head) != 16) return false;
    *out = IpAddress::of_ipv6(head);
    return true;
  }
  const size_t before = parse_groups(text.substr(0, gap), false, head);
  const size_t after = parse_groups(text.substr(gap + 2), true, tail);
  // "::" stands for at least one group (RFC 4291 2.2).
  if (before == kBad || after == kBad || before + after > 14) return false;
  *out = IpAddress();
  std::copy(head, head + before, out->bytes.begin());
  std::copy(tail, tail + after, out->bytes.end() - static_cast<ptrdiff_t>(after));
  return true;
}

bool parse_ip(std::string_view text, IpAddress* out) {
  return parse_ipv4(text, out) || parse_ipv6(text, out);
}

bool parse_network(std::string_view text, IpNetwork* out) {
  const size_t slash = text.find('/');
  const std::string_view address = text.substr(0, slash);
  const bool is_dotted = parse_ipv4(address, &out->first);
  if (!is_dotted && !parse_ipv6(address, &out->first)) return false;
  out->bits = 128;
  if (slash == std::string_view::npos) return true;
  const uint32_t before = is_dotted ? kMappedBits : 0;
  uint64_t bits = 0;
  if (!ascii::parse_unsigned(text.substr(slash + 1), &bits) || bits > 128 - before) return false;
  out->bits = static_cast<uint32_t>(bits) + before;
  return true;
}

std::string text_of(const IpAddress& address) {
  const uint8_t* bytes = address.bytes.data();
  if (address.is_ipv4()) return dotted_text(bytes + sizeof kMapped);
  uint16_t groups[8];
  for (size_t at = 0; at < 8; ++at) {
    groups[at] = static_cast<uint16_t>(bytes[at * 2] << 8U | bytes[at * 2 + 1]);
  }
  const auto [first, end] = longest_zeros(groups);
  std::string text;
  for (size_t at = 0; at < 8; ++at) {
    if (at == first) {
      text.append("::");
      at = end - 1;
      continue;
    }
    if (!text.empty() && text.back() != ':') text.push_back(':');
    append_hex(groups[at], &text);
  }
  return text;
}

}  // namespace megacomet
