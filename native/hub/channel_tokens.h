// The tokens for one channel that have a `jti`: a revocation of it ends the subscription. Clients
// without such a token need nothing here.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace megacomet {

struct ChannelToken {
  std::string channel;
  /// Of `jti`; see Principals. 0 without one.
  uint32_t id_hash;
  /// `iat`; 0 for none.
  uint32_t issued_at_s;
};

class ChannelTokens {
 public:
  /// The connection `fd` subscribes with this token, in place of an earlier one for the channel.
  void note(int fd, ChannelToken token);

  /// The connection left a channel, or all of them.
  void forget(int fd, std::string_view channel);
  void forget(int fd) {
    if (!tokens_.empty()) tokens_.erase(fd);
  }

  /// Calls `visit(fd, token)` for each token.
  template <typename Visit>
  void visit(Visit visit) const {
    for (const auto& [fd, tokens] : tokens_) {
      for (const ChannelToken& token : tokens) visit(fd, token);
    }
  }

  /// Connections with such a token.
  [[nodiscard]] size_t size() const { return tokens_.size(); }

 private:
  /// By descriptor; no entry is empty.
  std::unordered_map<int, std::vector<ChannelToken>> tokens_;
};

}  // namespace megacomet
