// A list for each connection. See channel_tokens.h.
#include "hub/channel_tokens.h"

#include <algorithm>
#include <utility>

namespace megacomet {

void ChannelTokens::note(int fd, ChannelToken token) {
  forget(fd, token.channel);
  if (token.id_hash != 0) tokens_[fd].push_back(std::move(token));
}

void ChannelTokens::forget(int fd, std::string_view channel) {
  const auto found = tokens_.find(fd);
  if (found == tokens_.end()) return;
  std::vector<ChannelToken>& tokens = found->second;
  tokens.erase(std::remove_if(tokens.begin(),
                              tokens.end(),
                              [&](const ChannelToken& one) { return one.channel == channel; }),
               tokens.end());
  if (tokens.empty()) tokens_.erase(found);
}

}  // namespace megacomet
