// Tests of names against grants; test/unit has a property test with a slow model.
#include "auth/grants.h"

#include <string>

#include "support/unit.h"

using namespace megacomet;

namespace {

bool covers(const char* pattern, const char* name) {
  return NamePattern(pattern).covers(name);
}

}  // namespace

TEST("an exact name stands for itself alone") {
  EXPECT(covers("news", "news"));
  EXPECT(!covers("news", "new") && !covers("news", "newsx") && !covers("news", "News"));
  EXPECT(!covers("news", "news/") && !covers("news", "news/a") && !covers("news", "news/*"));
}

TEST("a prefix stands for all names below it, and for narrower prefixes") {
  EXPECT(covers("news/*", "news/a") && covers("news/*", "news/a/b") && covers("news/*", "news/"));
  EXPECT(covers("news/*", "news/*") && covers("news/*", "news/a/*"));
  EXPECT(!covers("news/*", "news") && !covers("news/*", "newsx/a") &&
         !covers("news/a/*", "news/*"));
}

TEST("a star alone stands for everything") {
  EXPECT(covers("*", "a") && covers("*", "a/b/c") && covers("*", "a/*"));
}

TEST("a star within a segment does not cross a slash") {
  EXPECT(covers("team-*/chat", "team-1/chat") && covers("team-*/chat", "team-/chat"));
  EXPECT(!covers("team-*/chat", "team-1/x/chat") && !covers("team-*/chat", "team-1/chats"));
  EXPECT(!covers("team-*/chat", "team-1/*") && !covers("team-*/chat", "team-1/chat/*"));
  EXPECT(covers("*a*b*c", "xaxbxc") && !covers("*a*b*c", "xaxcxb"));
  EXPECT(covers("a*", "ab") && !covers("a*", "ab/c") && !covers("a*", "ab/*"));
}

TEST("stars and a rest stand together") {
  EXPECT(covers("team-*/files/*", "team-1/files/a/b") &&
         covers("team-*/files/*", "team-1/files/*"));
  EXPECT(!covers("team-*/files/*", "team-1/*") && !covers("team-*/files/*", "team-1/chat"));
}

TEST("many stars cost no more than the product of both lengths") {
  EXPECT(!covers(std::string(99, '*').append("b").c_str(), std::string(199, 'a').c_str()));
}

TEST("a grant of one action is none of another") {
  GrantTexts texts;
  texts[static_cast<size_t>(Action::kSubscribe)] = {"news/*", "chat"};
  texts[static_cast<size_t>(Action::kPublish)] = {"chat"};
  const Grants grants(texts);
  EXPECT(grants.allows(Action::kSubscribe, "news/a") && grants.allows(Action::kPublish, "chat"));
  EXPECT(!grants.allows(Action::kPublish, "news/a") && !grants.allows(Action::kHistory, "chat"));
}
