// Reading PROXY headers. See proxy_codec.h.
#include "codec/proxy_codec.h"

#include <algorithm>

#include "base/ascii.h"
#include "base/bounds.h"

namespace megacomet {

namespace {

constexpr std::string_view kStart1 = "PROXY ";
/// With its line end (section 2.1).
constexpr size_t kLineBytesMax = 107;
/// Section 2.2.
constexpr std::string_view kStart2{"\r\n\r\n\0\r\nQUIT\n", 12};
constexpr size_t kHeadBytes2 = 16;
constexpr size_t kBytesIpv4 = 12;
constexpr size_t kBytesIpv6 = 36;
constexpr size_t kBytesUnix = 216;

/// The values of the two bytes after the signature.
constexpr unsigned kVersion2 = 2;
constexpr unsigned kLocal = 0;
constexpr unsigned kProxy = 1;
enum class Family : uint8_t { kUnspecified, kIpv4, kIpv6, kUnix };
constexpr unsigned kTransportMax = 2;

const ProxyHeader kIncomplete{};
const ProxyHeader kBad{ProxyStatus::kBad, 0, false, {}};

ProxyHeader complete(size_t consumed) {
  return {ProxyStatus::kComplete, consumed, false, {}};
}

bool begins_like(std::string_view bytes, std::string_view start) {
  const size_t size = std::min(bytes.size(), start.size());
  return bytes.substr(0, size) == start.substr(0, size);
}

/// Removes the next field, which ends at a single blank or at the end of the line.
std::string_view take_field(std::string_view* line) {
  const size_t end = std::min(line->find(' '), line->size());
  const std::string_view field = line->substr(0, end);
  line->remove_prefix(std::min(end + 1, line->size()));
  return field;
}

bool is_port(std::string_view text) {
  uint64_t value = 0;
  return ascii::parse_unsigned(text, &value) && value <= UINT16_MAX;
}

/// "TCP4 SOURCE DESTINATION PORT PORT", or "UNKNOWN" and anything. False if it is neither.
bool read_line(std::string_view line, ProxyHeader* header) {
  const bool has_blank_at_end = !line.empty() && line.back() == ' ';
  const std::string_view family = take_field(&line);
  if (family == "UNKNOWN") return true;
  const bool is_ipv4 = family == "TCP4";
  if ((!is_ipv4 && family != "TCP6") || has_blank_at_end) return false;
  const auto parse = is_ipv4 ? parse_ipv4 : parse_ipv6;
  IpAddress destination;
  if (!parse(take_field(&line), &header->source)) return false;
  if (!parse(take_field(&line), &destination)) return false;
  if (!is_port(take_field(&line)) || !is_port(take_field(&line)) || !line.empty()) return false;
  header->has_source = true;
  return true;
}

ProxyHeader parse_version1(std::string_view bytes) {
  const size_t end = bytes.substr(0, kLineBytesMax).find('\n');
  if (end == std::string_view::npos) return bytes.size() < kLineBytesMax ? kIncomplete : kBad;
  if (bytes[end - 1] != '\r') return kBad;
  const std::string_view line = bytes.substr(kStart1.size(), end - 1 - kStart1.size());
  // A carriage return ends the line, and the rest would be the client's.
  if (line.find('\r') != std::string_view::npos) return kBad;
  ProxyHeader header = complete(end + 1);
  return read_line(line, &header) ? header : kBad;
}

/// Whether the length has room for the addresses of the family.
bool is_long_enough(Family family, size_t size) {
  switch (family) {
    case Family::kUnspecified:
      return true;
    case Family::kIpv4:
      return size >= kBytesIpv4;
    case Family::kIpv6:
      return size >= kBytesIpv6;
    case Family::kUnix:
      return size >= kBytesUnix;
  }
  return false;
}

ProxyHeader parse_version2(std::string_view bytes) {
  const auto at = [bytes](size_t index) { return static_cast<unsigned char>(bytes[index]); };
  if (bytes.size() > 12) {
    const unsigned command = at(12) & 0xfU;
    if (at(12) >> 4U != kVersion2 || command > kProxy) return kBad;
  }
  if (bytes.size() > 13) {
    const bool is_known = at(13) >> 4U <= static_cast<unsigned>(Family::kUnix);
    if (!is_known || (at(13) & 0xfU) > kTransportMax) return kBad;
  }
  if (bytes.size() < kHeadBytes2) return kIncomplete;
  const size_t size = static_cast<size_t>(at(14)) << 8U | at(15);
  const bool is_local = (at(12) & 0xfU) == kLocal;
  const auto family = static_cast<Family>(at(13) >> 4U);
  if (kHeadBytes2 + size > bounds::kProxyHeaderBytesMax) return kBad;
  if (!is_local && !is_long_enough(family, size)) return kBad;
  if (bytes.size() < kHeadBytes2 + size) return kIncomplete;
  // The bytes after the addresses are extensions (TLVs), which are ignored.
  ProxyHeader header = complete(kHeadBytes2 + size);
  const char* addresses = bytes.data() + kHeadBytes2;
  if (is_local) return header;
  header.has_source = family == Family::kIpv4 || family == Family::kIpv6;
  if (family == Family::kIpv4) header.source = IpAddress::of_ipv4(addresses);
  if (family == Family::kIpv6) header.source = IpAddress::of_ipv6(addresses);
  return header;
}

}  // namespace

ProxyHeader parse_proxy_header(std::string_view bytes) {
  if (begins_like(bytes, kStart1)) {
    return bytes.size() < kStart1.size() ? kIncomplete : parse_version1(bytes);
  }
  if (begins_like(bytes, kStart2)) {
    return bytes.size() < kStart2.size() ? kIncomplete : parse_version2(bytes);
  }
  return kBad;
}

}  // namespace megacomet
