// Fuzz target for PROXY headers and the fields of proxies: a complete header is complete with any
// bytes after it and incomplete with any fewer, and an address survives its own text.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/bounds.h"
#include "base/check.h"
#include "codec/forwarded.h"
#include "codec/proxy_codec.h"

using namespace megacomet;

namespace {

/// In memory of exactly that size, so that a sanitizer sees a read after its end.
ProxyHeader parse(std::string_view text) {
  const std::vector<char> tight(text.begin(), text.end());
  return parse_proxy_header({tight.data(), tight.size()});
}

void check_header(std::string_view text) {
  const ProxyHeader header = parse(text);
  MC_CHECK(header.status != ProxyStatus::kIncomplete || text.size() < bounds::kProxyHeaderBytesMax);
  if (header.status != ProxyStatus::kComplete) return;
  MC_CHECK(header.consumed <= text.size());
  const std::string_view whole = text.substr(0, header.consumed);
  MC_CHECK(parse(whole).status == ProxyStatus::kComplete);
  for (size_t size = 0; size < whole.size(); ++size) {
    MC_CHECK(parse(whole.substr(0, size)).status == ProxyStatus::kIncomplete);
  }
}

void check_address(std::string_view text) {
  const std::vector<char> tight(text.begin(), text.end());
  IpAddress address;
  if (!parse_node({tight.data(), tight.size()}, &address)) return;
  IpAddress again;
  MC_CHECK(parse_ip(text_of(address), &again) && again == address);
}

void check_fields(std::string_view text) {
  std::string request = "GET / HTTP/1.1\r\nHost: a\r\n";
  request.append(text).append("\r\n\r\n");
  HttpHead head;
  HeadProgress progress;
  if (parse_head(request, &progress, &head).status != HeadStatus::kComplete) return;
  IpAddress address;
  const auto is_trusted = [](const IpAddress& one) { return one.is_private(); };
  if (!find_client(head, is_trusted, &address)) return;
  MC_CHECK(!forwarded_chain(head).empty());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  check_header(text);
  check_address(text);
  check_fields(text);
  return 0;
}
