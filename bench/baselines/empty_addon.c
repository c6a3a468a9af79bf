// An addon that registers nothing. A Node process with it has the memory of a worker without our
// code; bench/ subtracts that from the memory of a real worker.
#include <node_api.h>

NAPI_MODULE_INIT() {
  (void)env;
  return exports;
}
