// Rules of channel names. See channel_name.h.
#include "pubsub/channel_name.h"

#include <algorithm>
#include <set>
#include <utility>

#include "base/ascii.h"
#include "base/bounds.h"
#include "codec/utf8.h"

namespace megacomet {

bool is_channel(std::string_view name) {
  if (name.empty() || name.size() > bounds::kChannelBytesMax) return false;
  if (name.front() == ' ' || name.back() == ' ' || !is_valid_utf8(name)) return false;
  if (std::any_of(name.begin(), name.end(), ascii::is_control)) return false;
  // The control characters from U+0080 to U+009F.
  for (size_t at = name.find('\xc2'); at != std::string_view::npos;
       at = name.find('\xc2', at + 1)) {
    if (static_cast<uint8_t>(name[at + 1]) < 0xa0) return false;
  }
  const size_t star = name.find('*');
  if (star == std::string_view::npos) return true;
  return star + 1 == name.size() && star > 0 && name[star - 1] == '/';
}

void remove_repeated(std::vector<std::string>* names) {
  if (names->size() < 2) return;
  // Copies: the names move within the list. A client may repeat a name as often as its request has
  // room, so a search of the list would take quadratic time. A set of nodes: the table of an
  // unordered one needs a newer libstdc++ than Node 20 has.
  std::set<std::string> known;
  const auto is_repeated = [&known](const std::string& name) { return !known.insert(name).second; };
  names->erase(std::remove_if(names->begin(), names->end(), is_repeated), names->end());
}

}  // namespace megacomet
