// Tests of the options of channels by prefix.
#include "pubsub/namespaces.h"

#include <set>

#include "support/unit.h"

using namespace megacomet;

namespace {

/// Namespaces whose `client_publish` is known by the prefix.
Namespaces make(const std::vector<std::string>& prefixes) {
  frame::Namespaces settings;
  for (size_t at = 0; at < prefixes.size(); ++at) {
    settings.prefixes.push_back(prefixes[at]);
    settings.flags.push_back(namespace_flag::kPublic);
    settings.client_publish.push_back(1 + at % 3);
  }
  Namespaces namespaces;
  EXPECT(namespaces.configure(settings));
  return namespaces;
}

bool is_usual(const NamespaceRules& rules) {
  return rules.publicity == Publicity::kServer;
}

}  // namespace

TEST("a channel has the rules of its longest prefix") {
  const Namespaces namespaces = make({"chat/", "chat/private/", "a/b/"});
  const auto publish_of = [&](const char* name) { return namespaces.of(name).client_publish; };
  EXPECT(publish_of("chat/7") == ClientPublish::kNobody);
  EXPECT(publish_of("chat/7/8") == ClientPublish::kNobody);
  EXPECT(publish_of("chat/") == ClientPublish::kNobody);
  EXPECT(publish_of("chat/private/7") == ClientPublish::kSubscribers);
  EXPECT(publish_of("chat/private/") == ClientPublish::kSubscribers);
  EXPECT(publish_of("chat/privates") == ClientPublish::kNobody);
  EXPECT(publish_of("a/b/c") == ClientPublish::kGrant);
  for (const char* name : {"chat", "chats/7", "a/b", "a/", "/", "", "//", "/chat/7"}) {
    EXPECT(is_usual(namespaces.of(name)));
  }
}

TEST("a pattern has the rules of its own prefix") {
  const Namespaces namespaces = make({"chat/", "chat/private/"});
  EXPECT(namespaces.of("chat/*").client_publish == ClientPublish::kNobody);
  EXPECT(namespaces.of("chat/private/*").client_publish == ClientPublish::kSubscribers);
  EXPECT(namespaces.of("chat/other/*").client_publish == ClientPublish::kNobody);
}

TEST("the empty prefix has all other channels") {
  const Namespaces namespaces = make({"", "chat/"});
  EXPECT(namespaces.of("lobby").client_publish == ClientPublish::kNobody);
  EXPECT(namespaces.of("x/y").client_publish == ClientPublish::kNobody);
  EXPECT(namespaces.of("chat/1").client_publish == ClientPublish::kSubscribers);
}

TEST("the namespaces within a pattern are those of longer prefixes") {
  const Namespaces namespaces = make({"", "a/", "a/b/", "a/b/c/", "a/d/", "ab/", "a0/"});
  const auto within = [&](const char* pattern) {
    std::set<std::string> found;
    EXPECT(namespaces.all_within(pattern, [&](const std::string& name, const NamespaceRules&) {
      found.insert(name);
      return true;
    }));
    return found;
  };
  EXPECT(within("a/*") == (std::set<std::string>{"a/b/*", "a/b/c/*", "a/d/*"}));
  EXPECT(within("a/b/*") == (std::set<std::string>{"a/b/c/*"}));
  EXPECT(within("x/*").empty());
  int calls = 0;
  EXPECT(!namespaces.all_within("a/*", [&](const std::string&, const NamespaceRules&) {
    ++calls;
    return false;
  }));
  EXPECT_EQUAL(calls, 1);
}

TEST("a frame with columns of different length, or an unknown value, changes nothing") {
  Namespaces namespaces = make({"chat/"});
  frame::Namespaces settings;
  settings.prefixes = {"x/"};
  settings.flags = {0};
  EXPECT(!namespaces.configure(settings));
  settings.client_publish = {4};
  EXPECT(!namespaces.configure(settings));
  EXPECT(!is_usual(namespaces.of("chat/7")));
  settings.client_publish = {0};
  EXPECT(namespaces.configure(settings));
  EXPECT(is_usual(namespaces.of("chat/7")));
  EXPECT(!namespaces.of("x/1").has_presence);
}
