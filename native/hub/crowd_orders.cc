// A queue of orders. See crowd_orders.h.
#include "hub/crowd_orders.h"

#include <utility>

#include "base/bounds.h"

namespace megacomet {

void CrowdOrders::add(std::vector<ConnectionName> names, Action action) {
  if (names.empty()) return;
  orders_.push_back({std::move(names), std::move(action), 0});
  run();
}

void CrowdOrders::run() {
  if (orders_.empty()) return;
  if (end_ns_ == 0) end_ns_ = clock_() + bounds::kFanoutSliceNs;
  while (!orders_.empty() && run(&orders_.front())) orders_.pop_front();
}

/// Whether the order has ended.
bool CrowdOrders::run(Order* order) {
  for (; order->next < order->names.size(); ++order->next) {
    if (clock_() >= end_ns_) return false;
    Connection* connection = find_connection(connections_, order->names[order->next]);
    if (connection != nullptr && !connection->is_closing) order->action(connection);
  }
  return true;
}

}  // namespace megacomet
