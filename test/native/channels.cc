// Tests of the table of channels: against a plain map, and patterns.
#include "channels.h"

#include <algorithm>
#include <map>
#include <set>

#include "unit.h"

using namespace megacomet;

TEST("channels are found, opened and closed as in a plain map, over many collisions") {
  Channels channels;
  std::map<std::string, uint32_t> model;
  for (int step = 0; step < 50'000; ++step) {
    const std::string name = "c" + std::to_string(unit::upto(300));
    const auto known = model.find(name);
    if (!EXPECT_EQUAL(channels.find(name), known == model.end() ? Channels::kNone : known->second))
      return;
    if (unit::upto(2) > 0) {
      const uint32_t row = channels.open(name);
      if (known != model.end() && !EXPECT_EQUAL(row, known->second)) return;
      model[name] = row;
      if (!EXPECT(channels.at(row).name == name)) return;
    } else if (known != model.end()) {
      channels.close(known->second);
      model.erase(known);
    }
    if (!EXPECT_EQUAL(channels.size(), model.size())) return;
  }
  std::set<uint32_t> rows;
  for (const auto& [name, row] : model) rows.insert(row);
  EXPECT_EQUAL(rows.size(), model.size());
}

TEST("who leaves a row is replaced by the last, who is named") {
  Channels channels;
  const uint32_t row = channels.open("a");
  EXPECT_EQUAL(channels.add(row, 10), 0U);
  EXPECT_EQUAL(channels.add(row, 11), 1U);
  EXPECT_EQUAL(channels.add(row, 12), 2U);
  EXPECT_EQUAL(channels.remove(row, 0), 12U);
  EXPECT(channels.at(row).subscribers == (std::vector<uint32_t>{12, 11}));
  EXPECT_EQUAL(channels.remove(row, 1), Channels::kNone);
  EXPECT_EQUAL(channels.remove(row, 0), Channels::kNone);
  EXPECT_EQUAL(channels.at(row).subscribers.capacity(), 0U);
}

TEST("a name matches its own row and each pattern above it, at slashes only") {
  Channels channels;
  std::vector<std::string> names = {
      "news/*", "news/sport/*", "new", "news", "news/sport", "other/*"};
  for (const std::string& name : names) channels.open(name);
  const auto matches = [&](const std::string& name) {
    std::set<std::string> found;
    channels.match(name, [&](uint32_t row) { found.insert(channels.at(row).name); });
    return found;
  };
  EXPECT(matches("news") == (std::set<std::string>{"news"}));
  EXPECT(matches("news/sport") == (std::set<std::string>{"news/*", "news/sport"}));
  EXPECT(matches("news/sport/tennis") == (std::set<std::string>{"news/*", "news/sport/*"}));
  EXPECT(matches("newsagent").empty());
  EXPECT(matches("news/") == (std::set<std::string>{"news/*"}));
  channels.close(channels.find("news/*"));
  EXPECT(matches("news/sport") == (std::set<std::string>{"news/sport"}));
}

TEST("closing a channel that is used is a bug, and aborts") {
  EXPECT(unit::aborts([] {
    Channels channels;
    const uint32_t row = channels.open("a");
    channels.add(row, 1);
    channels.close(row);
  }));
}
