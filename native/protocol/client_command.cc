// Reads commands from their JSON. See client_command.h.
#include "protocol/client_command.h"

#include <utility>

#include "base/ascii.h"
#include "codec/json_reader.h"
#include "protocol/comet_request.h"
#include "pubsub/channel_name.h"

namespace megacomet {

namespace {

std::string unescaped(std::string_view raw) {
  std::string text(raw.size(), '\0');
  text.resize(unescape_json(raw, text.data()));
  return text;
}

/// Reads the members of one command. Keeps the first error, and reads on.
class CommandReader {
 public:
  CommandReader(const JsonMembers& object, ClientCommand* out) : object_(object), out_(out) {}

  const char* read() {
    take_string("type", &out_->type, "type: must be a string");
    const bool is_publish = out_->type == "publish";
    if (is_publish) {
      take_string("event", &out_->event, "event: must be a string");
      take_data();
    }
    const bool is_request = out_->type == "presence" || out_->type == "history";
    // A command ignores members that it does not use. Its answer repeats the id, if it is a string.
    take_string("id", &out_->id, is_publish || is_request ? "id: must be a string" : nullptr);
    if (is_request) take_limit();
    const bool has_channels =
        is_publish || is_request || out_->type == "subscribe" || out_->type == "unsubscribe";
    const char* error = has_channels ? "channel: must be a string or a list of strings" : nullptr;
    take_list("channel", error, &out_->channels);
    take_list("channels", error, &out_->channels);
    remove_repeated(&out_->channels);
    if (out_->type == "subscribe" || out_->type == "connect" || out_->type == "history") {
      take_cursor();
    }
    if (out_->type == "subscribe" || out_->type == "connect" || out_->type == "refresh") {
      take_list("token", "token: must be a string or a list of strings", &out_->tokens);
      if (out_->tokens.size() > bounds::kChannelTokensMax) fail("token: too many");
    }
    return error_;
  }

 private:
  /// A member that is neither absent nor null.
  const JsonMember* find(std::string_view name) const {
    const JsonMember* member = object_.find(name);
    return member == nullptr || member->type == JsonType::kNull ? nullptr : member;
  }

  void fail(const char* error) {
    if (error_ == nullptr) error_ = error;
  }

  void take_string(std::string_view name, std::string* target, const char* error) {
    const JsonMember* member = find(name);
    if (member == nullptr) return;
    if (member->type != JsonType::kString) return fail(error);
    *target = unescaped(member->value);
  }

  void take_data() {
    const JsonMember* member = find("data");
    if (member == nullptr) return;
    if (member->type != JsonType::kString) return fail("data: must be a string");
    out_->data = unescaped(member->value);
  }

  void take_limit() {
    const JsonMember* member = find("limit");
    if (member == nullptr) return;
    uint64_t limit = 0;
    const bool is_number =
        member->type == JsonType::kNumber && ascii::parse_unsigned(member->value, &limit);
    if (!is_number || limit > bounds::kClientRequestLimitMax) {
      return fail("limit: must be a whole number of at most 1000");
    }
    out_->limit = static_cast<uint32_t>(limit);
  }

  /// One string, or several.
  void take_list(std::string_view name, const char* error, std::vector<std::string>* out) {
    const JsonMember* member = find(name);
    if (member == nullptr) return;
    if (member->type == JsonType::kString) {
      out->push_back(unescaped(member->value));
      return;
    }
    if (member->type != JsonType::kArray) return fail(error);
    JsonStrings texts(member->value);
    std::string_view raw;
    while (texts.next(&raw)) out->push_back(unescaped(raw));
    if (!texts.is_complete()) fail(error);
  }

  void take_cursor() {
    for (const JsonMember& member : object_) {
      const bool is_cursor = cursor_name(unescaped(member.key)) != CursorName::kNone;
      if (!is_cursor || member.type == JsonType::kNull) continue;
      if (member.type != JsonType::kString) return fail("since: must be a string");
      std::string cursor = unescaped(member.value);
      const bool is_other = !out_->since.empty() && out_->since != cursor;
      if (is_other) return fail("since: has two values");
      out_->since = std::move(cursor);
    }
  }

  const JsonMembers& object_;
  ClientCommand* out_;
  const char* error_ = nullptr;
};

static_assert(bounds::kClientRequestLimitMax == 1000, "the error of `limit` names it");

}  // namespace

std::string ClientCommand::channel() const {
  return channels.size() == 1 && is_channel(channels[0]) ? channels[0] : "";
}

const char* read_client_command(std::string_view text, ClientCommand* out) {
  JsonObject object;
  const JsonFault fault = object.parse(text);
  if (fault != JsonFault::kNone) return describe(fault);
  return CommandReader(object, out).read();
}

}  // namespace megacomet
