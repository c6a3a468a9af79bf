// Tests of the tokens of single subscriptions.
#include "hub/channel_tokens.h"

#include <algorithm>
#include <string>
#include <vector>

#include "support/unit.h"

using namespace megacomet;

namespace {

/// Each token as "fd channel id_hash", sorted.
std::vector<std::string> list(const ChannelTokens& tokens) {
  std::vector<std::string> all;
  tokens.visit([&](int fd, const ChannelToken& token) {
    all.push_back(std::to_string(fd) + " " + token.channel + " " + std::to_string(token.id_hash));
  });
  std::sort(all.begin(), all.end());
  return all;
}

using Texts = std::vector<std::string>;

}  // namespace

TEST("the last token of a subscription counts, and none without an id") {
  ChannelTokens tokens;
  tokens.note(5, {"a", 1, 0});
  tokens.note(5, {"b", 2, 0});
  tokens.note(6, {"a", 1, 0});
  EXPECT(list(tokens) == Texts({"5 a 1", "5 b 2", "6 a 1"}));
  tokens.note(5, {"a", 3, 0});
  EXPECT(list(tokens) == Texts({"5 a 3", "5 b 2", "6 a 1"}));
  tokens.note(5, {"a", 0, 0});
  tokens.note(7, {"a", 0, 0});
  EXPECT(list(tokens) == Texts({"5 b 2", "6 a 1"}));
  EXPECT_EQUAL(tokens.size(), 2U);
}

TEST("nothing stays of a channel or connection that is left") {
  ChannelTokens tokens;
  tokens.forget(5);
  tokens.forget(5, "a");
  tokens.note(5, {"a", 1, 0});
  tokens.note(5, {"b", 2, 0});
  tokens.note(6, {"a", 1, 0});
  tokens.forget(5, "c");
  tokens.forget(6, "a");
  EXPECT_EQUAL(tokens.size(), 1U);
  tokens.forget(5, "a");
  EXPECT(list(tokens) == Texts({"5 b 2"}));
  tokens.forget(5);
  EXPECT_EQUAL(tokens.size(), 0U);
}
