// Tests of IP addresses and networks.
#include "base/ip_address.h"

#include <string>
#include <vector>

#include "support/unit.h"

using namespace megacomet;

namespace {

IpAddress address(const std::string& text) {
  IpAddress out;
  EXPECT(parse_ip(text, &out));
  return out;
}

bool has(const std::string& network, const std::string& one) {
  IpNetwork out;
  return EXPECT(parse_network(network, &out)) && out.has(address(one));
}

}  // namespace

TEST("addresses are read in each of their forms, and written in one") {
  const std::vector<std::vector<std::string>> rows = {
      {"1.2.3.4", "1.2.3.4"},
      {"0.0.0.0", "0.0.0.0"},
      {"255.255.255.255", "255.255.255.255"},
      {"::ffff:1.2.3.4", "1.2.3.4"},
      {"::FFFF:102:304", "1.2.3.4"},
      {"::", "::"},
      {"::1", "::1"},
      {"1::", "1::"},
      {"2001:DB8::0:1", "2001:db8::1"},
      {"2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"},
      {"1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"},
      {"1:0:3:4:5:6:7:8", "1:0:3:4:5:6:7:8"},
      {"1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6:102:304"},
      {"64:ff9b::192.0.2.33", "64:ff9b::c000:221"},
      {"1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"},
  };
  for (const auto& row : rows) {
    const std::string found = text_of(address(row[0]));
    if (found != row[1]) unit::fail(__FILE__, __LINE__, row[0] + " is written as " + found);
  }
}

TEST("a text that is not an address is rejected") {
  const char* texts[] = {"",
                         "1",
                         "1.2.3",
                         "1.2.3.4.5",
                         "1.2.3.256",
                         "01.2.3.4",
                         "1.2.3.4 ",
                         " 1.2.3.4",
                         "1.2.3.-4",
                         "1..3.4",
                         ":",
                         ":::",
                         "1:::2",
                         "1::2::3",
                         "12345::",
                         "g::",
                         "1:2:3:4:5:6:7",
                         "1:2:3:4:5:6:7:8:9",
                         "1:2:3:4:5:6:7:8::",
                         "::1%lo",
                         "[::1]",
                         "1:2:3:4:5:6:7:1.2.3.4",
                         "::1.2.3",
                         "1:",
                         ":1",
                         "1.2.3.4::",
                         "::1:"};
  for (const char* text : texts) {
    IpAddress out;
    if (parse_ip(text, &out)) unit::fail(__FILE__, __LINE__, std::string(text) + " is accepted");
  }
  IpAddress out;
  EXPECT(!parse_ip(std::string_view("1.2.3.4\0", 8), &out));
  EXPECT(!parse_ipv4("::1", &out) && !parse_ipv6("1.2.3.4", &out));
}

TEST("a network has its addresses, of any form, and no other") {
  EXPECT(has("10.0.0.0/8", "10.255.255.255") && !has("10.0.0.0/8", "11.0.0.0"));
  EXPECT(has("10.0.0.0/8", "::ffff:10.1.2.3"));
  EXPECT(has("192.168.4.0/22", "192.168.7.255") && !has("192.168.4.0/22", "192.168.8.0"));
  EXPECT(has("1.2.3.4", "1.2.3.4") && !has("1.2.3.4", "1.2.3.5"));
  EXPECT(has("0.0.0.0/0", "255.1.2.3") && !has("0.0.0.0/0", "::1"));
  EXPECT(has("2001:db8::/33", "2001:db8:7fff::1") && !has("2001:db8::/33", "2001:db8:8000::"));
  EXPECT(has("::/0", "1.2.3.4") && has("::ffff:10.0.0.0/104", "10.9.9.9"));
  for (const char* text :
       {"10.0.0.0/33", "10.0.0.0/", "10.0.0.0/08", "::/129", "::/-1", "/8", "a/8"}) {
    IpNetwork out;
    if (parse_network(text, &out))
      unit::fail(__FILE__, __LINE__, std::string(text) + " is accepted");
  }
}

TEST("private addresses are those that no peer of the Internet has") {
  for (const char* text : {"10.0.0.1",
                           "172.16.0.1",
                           "172.31.255.1",
                           "192.168.1.1",
                           "100.64.0.1",
                           "100.127.0.1",
                           "169.254.1.1",
                           "127.0.0.9",
                           "::1",
                           "fc00::1",
                           "fdff::1",
                           "fe80::1",
                           "febf::1"}) {
    if (!address(text).is_private()) unit::fail(__FILE__, __LINE__, std::string(text) + " is not");
  }
  for (const char* text : {"9.255.255.255",
                           "172.15.0.1",
                           "172.32.0.1",
                           "192.169.0.1",
                           "100.63.0.1",
                           "100.128.0.1",
                           "8.8.8.8",
                           "2001:db8::1",
                           "fec0::1",
                           "::2"}) {
    if (address(text).is_private()) unit::fail(__FILE__, __LINE__, std::string(text) + " is");
  }
  EXPECT(address("127.3.4.5").is_loopback() && address("::1").is_loopback());
  EXPECT(!address("128.0.0.1").is_loopback() && !address("::2").is_loopback());
}

TEST("an IPv4 address counts alone, and an IPv6 address with its /64") {
  EXPECT(address("1.2.3.4").counted() == address("1.2.3.4"));
  EXPECT(address("2001:db8:0:7:a:b:c:d").counted() == address("2001:db8:0:7::"));
  EXPECT(!(address("2001:db8:0:8::1").counted() == address("2001:db8:0:7::")));
}
