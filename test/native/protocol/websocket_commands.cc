// Tests of the commands of WebSocket clients: each has one answer. Without sockets, and the manager
// is a list of frames.
#include "protocol/websocket_commands.h"

#include <string>
#include <utility>
#include <vector>

#include "connection/client_rates.h"
#include "support/access_frames.h"
#include "support/hub_parts.h"
#include "support/unit.h"
#include "worker/protocol_table.h"

using namespace megacomet;
using unit::FakeSocket;
using unit::HubParts;
using unit::token_of;

namespace {

constexpr int kFd = 5;

struct FakePublishing final : PublishService {
  [[nodiscard]] PublishPace count(const Connection&) override { return pace; }
  [[nodiscard]] bool publish(const Connection&, frame::Message message) override {
    if (!is_full) sent.push_back(std::move(message));
    return !is_full;
  }
  PublishPace pace = PublishPace::kAllowed;
  bool is_full = false;
  std::vector<frame::Message> sent;
};

struct FakeRequests final : RequestService {
  [[nodiscard]] RequestResult request(const Connection&,
                                      std::string id,
                                      frame::ClientRequest request) override {
    ids.push_back(std::move(id));
    sent.push_back(std::move(request));
    return result;
  }
  RequestResult result = RequestResult::kSent;
  std::vector<std::string> ids;
  std::vector<frame::ClientRequest> sent;
};

struct FakeHooks final : HookService {
  [[nodiscard]] bool asks_about(HookAction) const override { return true; }
  [[nodiscard]] const frame::Hooks& rules() const override { return settings; }
  [[nodiscard]] bool ask(Connection*, frame::HookRequest hook_request) override {
    if (!is_full) asked.push_back(std::move(hook_request));
    return !is_full;
  }
  bool is_full = false;
  std::vector<frame::HookRequest> asked;
  frame::Hooks settings;
};

/// The frames of a server: the texts, and of a Close frame "close CODE REASON".
std::vector<std::string> frames_in(std::string_view bytes) {
  std::vector<std::string> texts;
  while (bytes.size() >= 2) {
    const auto opcode = static_cast<uint8_t>(bytes[0]) & 0xfU;
    size_t size = static_cast<uint8_t>(bytes[1]);
    size_t head = 2;
    if (size == 126) {
      size = static_cast<uint8_t>(bytes[2]) * 256U + static_cast<uint8_t>(bytes[3]);
      head = 4;
    }
    if (!EXPECT(bytes.size() >= head + size)) return texts;
    std::string text(bytes.substr(head, size));
    if (opcode == 8) {
      const unsigned code = static_cast<uint8_t>(text[0]) * 256U + static_cast<uint8_t>(text[1]);
      text = "close " + std::to_string(code) + " " + text.substr(2);
    }
    texts.push_back(std::move(text));
    bytes.remove_prefix(head + size);
  }
  return texts;
}

using Texts = std::vector<std::string>;

std::string error(const std::string& sentence, const std::string& members = "") {
  return R"({"type":"error","error":")" + sentence + "\"" + members + "}";
}

struct World {
  World() {
    settings.channels_per_connection_max = 4;
    settings.message_bytes_max = 1000;
    settings.send_queue_bytes_max = 1U << 20U;
    settings.heartbeat_s = HubParts::kHeartbeatS;
    settings.flags = comet_flag::kClientsPublish;
    parts.settings.flags = settings.flags;
    parts.services.rules = &settings;
    parts.services.publishing = &publishing;
    parts.services.requests = &requests;
    parts.services.commands = &rates;
    parts.services.input_budget = &parts.input_budget;
    for (const char* name : {"a", "b", "c", "d", "e"}) {
      parts.channels.at(parts.channels.open(name)).is_live = true;
    }
    EXPECT(parts.access.reserve(100));
    connection = parts.open(kFd);
    connection->protocol = static_cast<uint8_t>(ProtocolId::kWebSocket);
  }
  ~World() {
    if (connection->state != ConnectionState::kFree) parts.access.forget(connection);
  }

  void take_tokens() { EXPECT(parts.access.configure(unit::access_of({unit::kTokenSecret}))); }
  void use_hook() {
    EXPECT(parts.access.configure({}));
    parts.access.set_hook();
    parts.services.hooks = &hooks;
  }

  /// The frames that a command causes.
  Texts send(std::string_view command) {
    handle_command(parts.services, connection, command);
    return received();
  }
  /// The application decides about the first waiting command.
  Texts decide(HookAction action, const frame::HookAnswer& answer) {
    const std::string command = connection->session->waiting.front();
    connection->session->waiting.clear();
    connection->session->awaits_decision = false;
    const HookDecision decision{action, hooks.asked.back().channels, answer};
    handle_command(parts.services, connection, command, &decision);
    return received();
  }
  Texts received() {
    Texts texts = frames_in(FakeSocket::sent[kFd]);
    FakeSocket::sent[kFd].clear();
    return texts;
  }
  [[nodiscard]] uint64_t count(Counter counter) const { return parts.count(counter); }
  [[nodiscard]] bool is_closed() { return parts.owner.closed.count(kFd) > 0; }

  frame::Comet settings;
  FakePublishing publishing;
  FakeRequests requests;
  FakeHooks hooks;
  ClientRates rates;
  HubParts parts{kProtocols};
  Connection* connection;
};

frame::HookAnswer answer_of(HookVerdict verdict) {
  frame::HookAnswer answer;
  answer.verdict = static_cast<uint8_t>(verdict);
  answer.status = 403;
  answer.reason = "not you";
  answer.user = "ada";
  return answer;
}

const std::string kSubscribedToA =
    R"({"type":"subscribed","cursor":"000000000000004d.0","recovered":true,"channels":["a"]})";

}  // namespace

TEST("a command without effect has an answer that names the reason, the channel and the id") {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {R"({"type":"ping"})", R"({"type":"pong"})"},
      {R"({"type":"ping","id":"x"})", R"({"type":"pong","id":"x"})"},
      {R"({"type":"fly","id":"x"})", error("unknown type", R"(,"id":"x")")},
      {"{}", error("unknown type")},
      {R"({"type":1})", error("type: must be a string")},
      {R"({"type":"subscribe"})", error("channel is required")},
      {R"({"type":"subscribe","channel":"a","since":"x"})",
       error("since: not a cursor", R"(,"channel":"a")")},
      {R"({"type":"subscribe","channel":""})", error("channel: not a valid channel name")},
      {R"({"type":"unsubscribe","channel":"a"})", R"({"type":"unsubscribed","channels":[]})"},
      {R"({"type":"publish","channel":"a"})", error("data is required", R"(,"channel":"a")")},
      {R"({"type":"publish","channel":"a/*","data":"x"})",
       error("channel: must be one exact name", R"(,"channel":"a/*")")},
      {R"({"type":"connect","token":"x"})", error("token: this server reads no tokens")},
      {R"({"type":"history"})", error("channel: must be one name or pattern")},
      {R"({"type":"presence","channel":"a"})",
       error("presence: not allowed here, or not with this token", R"(,"channel":"a")")},
  };
  World world;
  for (const auto& [command, answer] : cases) EXPECT(world.send(command) == Texts({answer}));
  EXPECT(world.publishing.sent.empty() && world.requests.sent.empty() && !world.is_closed());
}

TEST("a message that is not JSON, and an id that is too long, are errors without an id") {
  World world;
  const Texts texts = world.send("hello");
  EXPECT(texts.size() == 1 && texts[0].find("\"type\":\"error\"") != std::string::npos);
  const std::string id(bounds::kLabelBytesMax + 1, 'x');
  EXPECT(world.send(R"({"type":"publish","channel":"a","data":"x","id":")" + id + "\"}") ==
         Texts({error("id and event: at most 128 bytes each", R"(,"channel":"a")")}));
  EXPECT(world.send(R"({"type":"ping","id":")" + id + "\"}") == Texts({R"({"type":"pong"})"}));
}

TEST("a client subscribes once to each channel, and leaves those that it has") {
  World world;
  EXPECT(world.send(R"({"type":"subscribe","channels":["a","a"]})") == Texts({kSubscribedToA}));
  EXPECT_EQUAL(world.count(Counter::kSubscriptions), 1U);
  EXPECT(world.send(R"({"type":"unsubscribe","channels":["a","b"],"id":"x"})") ==
         Texts({R"({"type":"unsubscribed","channels":["a"],"id":"x"})"}));
  EXPECT_EQUAL(world.count(Counter::kSubscriptions), 0U);
}

TEST("a connection has a limit of channels, and those that it has do not count twice") {
  World world;
  EXPECT_EQUAL(world.send(R"({"type":"subscribe","channels":["a","b","c"]})").size(), 1U);
  EXPECT_EQUAL(world.send(R"({"type":"subscribe","channels":["b","c","d"]})").size(), 1U);
  EXPECT_EQUAL(world.count(Counter::kSubscriptions), 4U);
  const Texts texts = world.send(R"({"type":"subscribe","channel":"e"})");
  EXPECT(texts.size() == 1 && texts[0].find("\"type\":\"error\"") != std::string::npos);
  EXPECT_EQUAL(world.count(Counter::kSubscriptions), 4U);
  EXPECT_EQUAL(world.count(Counter::kLimitedSubscriptionsTotal), 1U);
}

TEST("a message goes to the manager with its id and event, and has no answer yet") {
  World world;
  EXPECT(world.send(R"({"type":"publish","channel":"a","data":"x","id":"i","event":"e"})").empty());
  if (!EXPECT(world.publishing.sent.size() == 1)) return;
  const frame::Message& sent = world.publishing.sent[0];
  EXPECT(sent.channel == "a" && sent.id == "i" && sent.event == "e" && sent.data.bytes == "x");
}

TEST("a message that exceeds a rate, or that the manager cannot take, is an error") {
  World world;
  SharedPage<WorkersMemory> memory;
  EXPECT(memory.create("limits"));
  frame::Limits limits;
  limits.user_publish_rate = 7;
  EXPECT(world.parts.limits.configure(limits, memory->limits));
  world.settings.client_publish_rate = 3;
  const std::string command = R"({"type":"publish","channel":"a","data":"x"})";
  const std::string channel = R"(,"channel":"a")";
  world.publishing.pace = PublishPace::kTooFast;
  EXPECT(world.send(command) ==
         Texts({error("too many messages: at most 3 a second are allowed; retry later", channel)}));
  world.publishing.pace = PublishPace::kUserTooFast;
  EXPECT(world.send(command) ==
         Texts({error("too many messages of this user: at most 7 a second are allowed; retry later",
                      channel)}));
  world.publishing.pace = PublishPace::kAllowed;
  world.publishing.is_full = true;
  EXPECT(world.send(command) == Texts({error("server busy; retry later", channel)}));
  EXPECT(world.publishing.sent.empty());
}

TEST("clients publish only where the server lets them") {
  World world;
  world.parts.settings.flags = 0;
  const std::string command = R"({"type":"publish","channel":"a","data":"x"})";
  EXPECT(world.send(command) ==
         Texts({error("clients may not publish here", R"(,"channel":"a")")}));
  world.parts.settings.flags = comet_flag::kClientsPublish;
  world.take_tokens();
  EXPECT(world.send(command) ==
         Texts({error("publish: not allowed with this token", R"(,"channel":"a")")}));
  EXPECT_EQUAL(world.count(Counter::kAccessDeniedTotal), 1U);
}

TEST("a client with too many commands gets errors, and is closed if it does not slow down") {
  World world;
  world.rates.set_rate(1);
  Texts texts;
  // The clock goes on, so that some commands may be allowed.
  for (int count = 0; count < 1'000'000 && !world.is_closed(); ++count) {
    for (std::string& text : world.send(R"({"type":"ping"})")) texts.push_back(std::move(text));
  }
  const std::string sentence = "too many commands: at most 1 a second are allowed; retry later";
  EXPECT(texts.size() >= 3 && texts[0] == R"({"type":"pong"})");
  EXPECT(texts.back() == "close 1008 " + sentence);
  EXPECT(texts[texts.size() - 2] == error(sentence));
  EXPECT(world.parts.owner.closed[kFd] == CloseCause::kRejected);
  EXPECT(world.count(Counter::kLimitedCommandsTotal) >= 2);
}

TEST("presence and history go to the manager, as far as the answer may be long") {
  World world;
  EXPECT(world.parts.access.configure([] {
    frame::Access settings;
    settings.publics = {"*"};
    return settings;
  }()));
  EXPECT(world.send(R"({"type":"history","channel":"a","id":"x","limit":5})").empty());
  EXPECT(world.send(R"({"type":"presence","channel":"a/*"})").empty());
  if (!EXPECT(world.requests.sent.size() == 2)) return;
  EXPECT(world.requests.ids == Texts({"x", ""}));
  const frame::ClientRequest& history = world.requests.sent[0];
  EXPECT(history.kind == static_cast<uint8_t>(ClientRequestKind::kHistory));
  EXPECT(history.channel == "a" && history.limit == 5 && history.has_since == 0);
  EXPECT(history.bytes_max > 0 && history.bytes_max <= bounds::kClientResponseBytesMax);
  EXPECT_EQUAL(world.requests.sent[1].limit, bounds::kClientRequestLimit);
  world.requests.result = RequestResult::kTooMany;
  EXPECT(world.send(R"({"type":"history","channel":"a"})") ==
         Texts({error("too many requests without an answer: at most 4 are allowed",
                      R"(,"channel":"a")")}));
  world.requests.result = RequestResult::kBusy;
  EXPECT(world.send(R"({"type":"history","channel":"a"})") ==
         Texts({error("server busy; retry later", R"(,"channel":"a")")}));
}

TEST("a client connects with a token once, and then has its channels") {
  World world;
  world.take_tokens();
  EXPECT(world.send(R"({"type":"subscribe","channel":"a"})") ==
         Texts({error("token is required", R"(,"channel":"a")")}));
  EXPECT(world.send(R"({"type":"connect"})") == Texts({error("token: exactly one is required")}));
  EXPECT(world.send(R"({"type":"refresh","token":"x"})") ==
         Texts({error("refresh: send connect first")}));
  const std::string token = token_of(R"("sub":"ada","channels":["a"])");
  const Texts texts = world.send(R"({"type":"connect","id":"x","token":")" + token + "\"}");
  if (!EXPECT(texts.size() == 2)) return;
  EXPECT(texts[0].find(R"({"type":"connected","user":"ada","expiresInSeconds":3)") == 0);
  EXPECT(texts[0].find(R"(,"id":"x"})") != std::string::npos);
  EXPECT(texts[1] == kSubscribedToA);
  EXPECT(world.send(R"({"type":"connect","token":")" + token + "\"}") ==
         Texts({error("connect: send refresh instead")}));
  EXPECT(!world.is_closed());
}

TEST("a refresh leaves the channels that the new token does not allow") {
  World world;
  world.take_tokens();
  const auto with = [](const char* type, std::string_view members) {
    return R"({"type":")" + std::string(type) + R"(","token":")" + token_of(members) + "\"}";
  };
  world.send(with("connect", R"("sub":"ada","channels":["a"])"));
  EXPECT(world.send(with("refresh", R"("sub":"bob")")) == Texts({error("token: of another user")}));
  const Texts texts = world.send(with("refresh", R"("sub":"ada")"));
  if (!EXPECT(texts.size() == 2)) return;
  EXPECT(texts[0] == R"({"type":"unsubscribed","channels":["a"]})");
  EXPECT(texts[1].find(R"({"type":"refreshed","user":"ada")") == 0);
  EXPECT_EQUAL(world.count(Counter::kSubscriptions), 0U);
}

TEST("a client whose token is rejected gets the reason, and is closed") {
  World world;
  world.take_tokens();
  EXPECT(world.send(R"({"type":"connect","token":"x"})") ==
         Texts({error("token: not a valid JSON Web Token"),
                "close 3000 token: not a valid JSON Web Token"}));
  EXPECT(world.parts.owner.closed[kFd] == CloseCause::kRejected);
}

TEST("a command that needs a decision waits for it, and the client connects with its answer") {
  World world;
  world.use_hook();
  const std::string command = R"({"type":"connect","id":"x","token":"session"})";
  EXPECT(world.send(command).empty());
  if (!EXPECT(world.hooks.asked.size() == 1)) return;
  EXPECT(world.hooks.asked[0].token == "session");
  EXPECT(world.connection->session->awaits_decision);
  EXPECT(world.connection->session->waiting == Texts({command}));
  frame::HookAnswer answer = answer_of(HookVerdict::kAllow);
  answer.channels = {"a"};
  EXPECT(world.decide(HookAction::kConnect, answer) ==
         Texts({R"({"type":"connected","user":"ada","id":"x"})", kSubscribedToA}));
  EXPECT(world.parts.access.is_by_decision(world.connection));
}

TEST("a client that the application rejects is closed, and one without a decision may retry") {
  const std::pair<HookVerdict, Texts> cases[] = {
      {HookVerdict::kDeny, {error("not you"), "close 3000 not you"}},
      {HookVerdict::kUnavailable,
       {error("no decision about this client now; retry later"),
        "close 1013 no decision about this client now; retry later"}},
  };
  for (const auto& [verdict, texts] : cases) {
    World world;
    world.use_hook();
    EXPECT(world.send(R"({"type":"connect"})").empty());
    EXPECT(world.decide(HookAction::kConnect, answer_of(verdict)) == texts);
    EXPECT(world.is_closed());
    EXPECT_EQUAL(world.count(Counter::kAccessDeniedTotal), verdict == HookVerdict::kDeny ? 1U : 0U);
  }
}

TEST("the application is asked about channels and messages that no grant allows, and only those") {
  World world;
  world.use_hook();
  EXPECT(world.send(R"({"type":"connect"})").empty());
  frame::HookAnswer connected = answer_of(HookVerdict::kAllow);
  connected.subscribe = connected.publish = {"a"};
  EXPECT_EQUAL(world.decide(HookAction::kConnect, connected).size(), 1U);
  EXPECT(world.send(R"({"type":"subscribe","channel":"a"})") == Texts({kSubscribedToA}));
  EXPECT(world.send(R"({"type":"publish","channel":"a","data":"x"})").empty());
  EXPECT_EQUAL(world.publishing.sent.size(), 1U);
  EXPECT_EQUAL(world.hooks.asked.size(), 1U);

  EXPECT(world.send(R"({"type":"subscribe","channels":["a","b"]})").empty());
  EXPECT(world.hooks.asked.back().channels == Texts({"b"}));
  EXPECT(world.decide(HookAction::kSubscribe, answer_of(HookVerdict::kDeny)) ==
         Texts({error("not you")}));
  EXPECT(world.send(R"({"type":"publish","channel":"b","data":"y"})").empty());
  EXPECT_EQUAL(world.publishing.sent.size(), 1U);
  EXPECT(world.decide(HookAction::kPublish, answer_of(HookVerdict::kAllow)).empty());
  EXPECT(world.publishing.sent.size() == 2 && world.publishing.sent[1].data.bytes == "y");
  EXPECT(!world.is_closed());
}

TEST("a command that cannot wait for a decision is rejected") {
  World world;
  world.use_hook();
  world.hooks.is_full = true;
  EXPECT(world.send(R"({"type":"subscribe","channel":"a"})") ==
         Texts({error("no decision about this client now; retry later", R"(,"channel":"a")")}));
  EXPECT(!world.is_closed());
}

TEST("the application changes the channels of a client, up to its limit") {
  World world;
  const auto change = [&](const Texts& names, bool is_on) {
    EXPECT(change_channels(world.parts.services, world.connection, {names, is_on}));
    return world.received();
  };
  EXPECT(change({"a"}, true) == Texts({kSubscribedToA}));
  EXPECT(change({"b", "c", "d", "e"}, true).empty());
  EXPECT_EQUAL(world.count(Counter::kChannelChangesRejectedTotal), 1U);
  EXPECT(change({"b"}, false).empty());
  EXPECT(change({"a", "b"}, false) == Texts({R"({"type":"unsubscribed","channels":["a"]})"}));
  EXPECT_EQUAL(world.count(Counter::kSubscriptions), 0U);
}

TEST("an answer to a subscribe command says whether messages are gone, and names each channel") {
  World world;
  const std::vector<Ref<Message>> messages;
  const std::vector<uint32_t> channels = {world.parts.channels.open("a"),
                                          world.parts.channels.open("b")};
  const Replay replay{messages, channels, {HubParts::kEpoch, 9}, true, true};
  const std::string text = subscribed_text(world.parts.services, replay);
  EXPECT(text.find(R"("recovered":false,"channels":["a","b"]})") != std::string::npos);
}
