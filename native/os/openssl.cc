// Looking up the functions. See openssl.h.
#include "os/openssl.h"

#include <dlfcn.h>

namespace megacomet {

namespace {

template <typename Functions>
struct Search {
  Functions functions;
  const char* missing = "";

  template <typename Function>
  void look_up(const char* name, Function* out) {
    *out = reinterpret_cast<Function>(::dlsym(RTLD_DEFAULT, name));
    if (*out == nullptr && *missing == '\0') missing = name;
  }

  [[nodiscard]] const Functions* found() const { return *missing == '\0' ? &functions : nullptr; }
};

#define MC_OPENSSL_LOOK_UP(name) search.look_up(#name, &search.functions.name);

const Search<OpenSsl>& search_common() {
  static const Search<OpenSsl> kFound = [] {
    Search<OpenSsl> search;
    MC_OPENSSL(MC_OPENSSL_LOOK_UP)
    return search;
  }();
  return kFound;
}

const Search<OpenSslTls>& search_tls() {
  static const Search<OpenSslTls> kFound = [] {
    Search<OpenSslTls> search;
    MC_OPENSSL_TLS(MC_OPENSSL_LOOK_UP)
    MC_OPENSSL_CLIENT(MC_OPENSSL_LOOK_UP)
    return search;
  }();
  return kFound;
}

#undef MC_OPENSSL_LOOK_UP

}  // namespace

const OpenSsl* find_openssl() {
  return search_common().found();
}

const OpenSslTls* find_openssl_tls() {
  return search_tls().found();
}

const char* missing_openssl_function() {
  return search_common().missing;
}

const char* missing_openssl_tls_function() {
  return search_tls().missing;
}

}  // namespace megacomet
