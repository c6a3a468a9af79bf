// Tests of the fields in which proxies name the client.
#include "codec/forwarded.h"

#include <string>
#include <vector>

#include "support/unit.h"

using namespace megacomet;

namespace {

/// The client of a request with these fields, where 10.0.0.0/8 and fd00::/8 are trusted.
std::string client_of(const std::string& fields) {
  const std::string request = "GET / HTTP/1.1\r\nHost: a\r\n" + fields + "\r\n";
  HttpHead head;
  HeadProgress progress;
  if (!EXPECT(parse_head(request, &progress, &head).status == HeadStatus::kComplete)) return "?";
  IpNetwork networks[2];
  EXPECT(parse_network("10.0.0.0/8", &networks[0]) && parse_network("fd00::/8", &networks[1]));
  const auto is_trusted = [&networks](const IpAddress& one) {
    return networks[0].has(one) || networks[1].has(one);
  };
  IpAddress address;
  return find_client(head, is_trusted, &address) ? text_of(address) : "";
}

struct Row {
  std::string fields;
  std::string client;
};

void check(const std::vector<Row>& rows) {
  for (const Row& row : rows) {
    const std::string found = client_of(row.fields);
    if (found != row.client) unit::fail(__FILE__, __LINE__, row.fields + " names " + found);
  }
}

}  // namespace

TEST("the last untrusted address of X-Forwarded-For is the client") {
  check({
      {"", ""},
      {"X-Forwarded-For: 1.2.3.4\r\n", "1.2.3.4"},
      {"x-forwarded-for: 1.2.3.4, 10.0.0.1\r\n", "1.2.3.4"},
      // The field of the client itself stands before.
      {"X-Forwarded-For: 9.9.9.9, 1.2.3.4\r\n", "1.2.3.4"},
      {"X-Forwarded-For: 9.9.9.9,1.2.3.4 ,10.0.0.1,10.0.0.2\r\n", "1.2.3.4"},
      {"X-Forwarded-For: 9.9.9.9\r\nX-Forwarded-For: 1.2.3.4\r\n", "1.2.3.4"},
      {"X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-For: 10.0.0.1\r\n", "1.2.3.4"},
      {"X-Forwarded-For: 10.0.0.7, 10.0.0.1\r\n", "10.0.0.7"},
      {"X-Forwarded-For: , 1.2.3.4,,\r\n", "1.2.3.4"},
      {"X-Forwarded-For: 1.2.3.4:5678\r\n", "1.2.3.4"},
      {"X-Forwarded-For: 2001:db8::1\r\n", "2001:db8::1"},
      {"X-Forwarded-For: [2001:db8::1]:443, fd00::1\r\n", "2001:db8::1"},
      {"X-Forwarded-For: ::ffff:1.2.3.4\r\n", "1.2.3.4"},
      // An unreadable address hides those before it.
      {"X-Forwarded-For: 1.2.3.4, unknown\r\n", ""},
      {"X-Forwarded-For: 1.2.3.4, unknown, 10.0.0.1\r\n", "10.0.0.1"},
      {"X-Forwarded-For: 1.2.3.4;9.9.9.9\r\n", ""},
      {"X-Forwarded-For: 1.2.3.4:port\r\n", ""},
      {"X-Forwarded-For: [::1\r\n", ""},
      {"X-Forwarded-For: \r\n", ""},
  });
}

TEST("Forwarded counts where X-Forwarded-For is absent") {
  check({
      {"Forwarded: for=1.2.3.4\r\n", "1.2.3.4"},
      {"Forwarded: For=\"1.2.3.4:77\";proto=http;by=10.0.0.1\r\n", "1.2.3.4"},
      {"Forwarded: for=9.9.9.9, proto=https;FOR=1.2.3.4, for=10.0.0.1\r\n", "1.2.3.4"},
      {"Forwarded: for=\"[2001:db8::1]:4711\"\r\n", "2001:db8::1"},
      {"Forwarded: for=\"[2001:db8::1]\"\r\nForwarded: for=10.0.0.1\r\n", "2001:db8::1"},
      // A comma or a quotation mark in a quoted text is a part of it.
      {"Forwarded: for=9.9.9.9;ext=\"a,for=8.8.8.8\\\"\", for=1.2.3.4\r\n", "1.2.3.4"},
      {"Forwarded: for=1.2.3.4, for=_hidden\r\n", ""},
      {"Forwarded: for=unknown\r\n", ""},
      {"Forwarded: by=1.2.3.4\r\n", ""},
      {"Forwarded: for=\"1.2.3.4\r\n", ""},
      {"Forwarded: for=9.9.9.9\r\nX-Forwarded-For: 1.2.3.4\r\n", "1.2.3.4"},
  });
}
