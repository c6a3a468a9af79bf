// Looking up the functions. See openssl.h.
#include "os/openssl.h"

#include <dlfcn.h>

namespace megacomet {

namespace {

struct Search {
  OpenSsl functions;
  const char* missing = "";
};

template <typename Function>
void look_up(const char* name, Function* out, const char** missing) {
  *out = reinterpret_cast<Function>(::dlsym(RTLD_DEFAULT, name));
  if (*out == nullptr && **missing == '\0') *missing = name;
}

const Search& search() {
  static const Search kFound = [] {
    Search found;
#define MC_OPENSSL_LOOK_UP(name) look_up(#name, &found.functions.name, &found.missing);
    MC_OPENSSL(MC_OPENSSL_LOOK_UP)
#undef MC_OPENSSL_LOOK_UP
    return found;
  }();
  return kFound;
}

}  // namespace

const OpenSsl* find_openssl() {
  return *search().missing == '\0' ? &search().functions : nullptr;
}

const char* missing_openssl_function() {
  return search().missing;
}

}  // namespace megacomet
