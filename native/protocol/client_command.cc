// Reads commands from their JSON. See client_command.h.
#include "protocol/client_command.h"

#include "codec/json_reader.h"
#include "protocol/comet_request.h"

namespace megacomet {

namespace {

std::string unescaped(std::string_view raw) {
  std::string text(raw.size(), '\0');
  text.resize(unescape_json(raw, text.data()));
  return text;
}

bool take_channels(const JsonMember& member, ClientCommand* out) {
  if (member.type == JsonType::kString) {
    out->channels.push_back(unescaped(member.value));
    return true;
  }
  if (member.type != JsonType::kArray) return false;
  JsonStrings names(member.value);
  std::string_view raw;
  while (names.next(&raw)) out->channels.push_back(unescaped(raw));
  return names.is_complete();
}

}  // namespace

std::string ClientCommand::channel() const {
  return channels.size() == 1 && is_channel(channels[0]) ? channels[0] : "";
}

const char* read_client_command(std::string_view text, ClientCommand* out) {
  JsonObject object;
  const JsonFault fault = object.parse(text);
  if (fault != JsonFault::kNone) return describe(fault);
  struct StringMember {
    const char* name;
    std::string* target;
    const char* error;
  };
  const StringMember members[] = {{"type", &out->type, "\"type\" must be a string"},
                                  {"since", &out->since, "\"since\" must be a string"},
                                  {"data", &out->data, "\"data\" must be a string"},
                                  {"id", &out->id, "\"id\" must be a string"},
                                  {"event", &out->event, "\"event\" must be a string"}};
  for (const auto& [name, target, error] : members) {
    const JsonMember* member = object.find(name);
    if (member == nullptr) continue;
    if (member->type != JsonType::kString) return error;
    *target = unescaped(member->value);
  }
  for (const char* name : {"channel", "channels"}) {
    const JsonMember* member = object.find(name);
    if (member != nullptr && !take_channels(*member, out)) return "channels must be strings";
  }
  return nullptr;
}

}  // namespace megacomet
