// ClientCommand out of their JSON. See client_command.h.
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

bool take_channels(const JsonMember& member, Wish* out) {
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

std::string Wish::channel() const {
  return channels.size() == 1 && is_channel(channels[0]) ? channels[0] : "";
}

const char* read_client_command(std::string_view text, Wish* out) {
  JsonObject object;
  const JsonFault fault = object.parse(text);
  if (fault != JsonFault::kNone) return describe(fault);
  struct Name {
    const char* name;
    std::string* text;
  };
  const Name names[] = {{"type", &out->type},
                        {"since", &out->since},
                        {"data", &out->data},
                        {"id", &out->id},
                        {"event", &out->event}};
  for (const auto& [name, target] : names) {
    const JsonMember* member = object.find(name);
    if (member == nullptr) continue;
    if (member->type != JsonType::kString) return "a member that must be a text is none";
    *target = unescaped(member->value);
  }
  for (const char* name : {"channel", "channels"}) {
    const JsonMember* member = object.find(name);
    if (member != nullptr && !take_channels(*member, out)) return "channels are texts";
  }
  return nullptr;
}

}  // namespace megacomet
