// When a connection with a token ends, and the ending of those whose time has come.
#pragma once

#include <cstdint>

#include "auth/known_tokens.h"
#include "auth/principals.h"
#include "base/random.h"
#include "connection/connection.h"
#include "connection/connection_owner.h"
#include "os/slab.h"

namespace megacomet {

class TokenExpiry final {
 public:
  struct Parts {
    Principals* principals;
    ConnectionOwner* connections;
    Slab<Connection>* records;
    Random* random;
  };
  explicit TokenExpiry(const Parts& parts) : parts_(parts) {}

  /// When a connection with this token ends, in seconds of the epoch; 0 for never. Tokens that were
  /// issued together do not end together: each connection ends within the last tenth of its token's
  /// life, and within the last minute.
  [[nodiscard]] uint32_t end_of(const KnownToken& token, uint64_t now_s);

  /// Once a second: ends the connections whose time comes before the next call.
  void end_expired(uint64_t now_s);

 private:
  Parts parts_;
};

}  // namespace megacomet
