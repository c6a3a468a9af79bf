// Reads the parameters of a signed URL. Pure.
#pragma once

#include "auth/signed_url.h"
#include "codec/url_codec.h"

namespace megacomet {

/// Reads the signed text. The signature covers the path and all parameters in their order, except
/// itself, the cursors that a client adds when it reconnects, and "_", which defeats caches. `out`
/// is complete only for kNone.
[[nodiscard]] UrlFault read_signed_url(const Target& target, SignedUrl* out);

}  // namespace megacomet
