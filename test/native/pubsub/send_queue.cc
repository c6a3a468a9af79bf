// Tests of the send queue: order, size, and the messages that may be dropped.
#include "pubsub/send_queue.h"

#include <string>

#include "support/unit.h"

using namespace megacomet;

namespace {

Ref<Payload> payload(const std::string& bytes) {
  return Ref<Payload>(new Payload(bytes));
}

std::string drained(SendQueue* queue) {
  std::string all;
  while (!queue->is_empty()) {
    const size_t size = 1 + unit::upto(queue->front_size() - 1);
    all.append(reinterpret_cast<const char*>(queue->front()), size);
    queue->consume(size);
  }
  return all;
}

}  // namespace

TEST("parts are sent in order, with any number of bytes accepted at once") {
  SendQueue queue;
  queue.append(payload("abcdef"), 2, true);
  queue.append(payload("gh"), 0, false);
  queue.append(payload("ijk"), 0, true);
  EXPECT_EQUAL(queue.size(), 9U);
  EXPECT(drained(&queue) == "cdefghijk");
  EXPECT_EQUAL(queue.size(), 0U);
}

TEST("a queue that is never empty does not accumulate sent parts") {
  SendQueue queue;
  queue.append(payload("first"), 0, true);
  for (int sent = 0; sent < 10'000; ++sent) {
    queue.append(payload("next"), 0, true);
    queue.consume(queue.front_size());
  }
  EXPECT_EQUAL(queue.size(), 4U);
  EXPECT(queue.capacity() <= 4);
}

TEST("the oldest complete messages are dropped, never one that has begun and never a response") {
  SendQueue queue;
  queue.append(payload("11111"), 0, true);
  queue.append(payload("22222"), 0, true);
  queue.append(payload("answer"), 0, false);
  queue.append(payload("33333"), 0, true);
  queue.consume(1);
  EXPECT_EQUAL(queue.drop_oldest(15), 1U);
  EXPECT(drained(&queue) == "1111answer33333");
  queue.append(payload("11111"), 3, true);
  queue.append(payload("22222"), 0, true);
  EXPECT_EQUAL(queue.drop_oldest(0), 1U);
  EXPECT(drained(&queue) == "11");
}
