// An addon that registers nothing. A Node process that has loaded it shows what a worker costs
// before our code adds its first byte; bench/ subtracts that from the memory of a real worker.
#include <node_api.h>

NAPI_MODULE_INIT() {
  (void)env;
  return exports;
}
