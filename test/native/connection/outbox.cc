// Tests of the outbox against a string.
#include "connection/outbox.h"

#include <cstring>
#include <string>

#include "support/unit.h"

using namespace megacomet;

TEST("an outbox holds what a string holds, and refuses what would pass its limit") {
  constexpr size_t kMax = 1000;
  for (int round = 0; round < 200; ++round) {
    Outbox outbox(kMax);
    std::string model;
    for (int count = 0; count < 200; ++count) {
      if (unit::upto(1) == 0) {
        const std::string part(unit::upto(400), static_cast<char>(unit::upto(255)));
        const bool fits = model.size() + part.size() <= kMax;
        const auto* bytes = reinterpret_cast<const uint8_t*>(part.data());
        if (!EXPECT_EQUAL(outbox.append(bytes, part.size()), fits)) return;
        if (fits) model += part;
      } else {
        const size_t taken = unit::upto(model.size());
        outbox.consume(taken);
        model.erase(0, taken);
      }
      if (!EXPECT_EQUAL(outbox.size(), model.size())) return;
      if (!EXPECT_EQUAL(outbox.is_empty(), model.empty())) return;
      if (model.empty()) continue;
      if (!EXPECT(std::memcmp(outbox.data(), model.data(), model.size()) == 0)) return;
    }
  }
}

TEST("an outbox aborts when more is consumed than it holds") {
  Outbox outbox(10);
  const uint8_t byte = 1;
  EXPECT(outbox.append(&byte, 1));
  EXPECT(unit::aborts([&] { outbox.consume(2); }));
}
