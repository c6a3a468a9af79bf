// Tests of the report: the frames have the counts of their phase, without a control stream.
#include "dialer/dial_report.h"

#include <cerrno>

#include "support/unit.h"

using namespace megacomet;

TEST("a progress frame has the counts of the pool, the load and the phase") {
  DialPool pool;
  frame::Dial order;
  order.connections = 2;
  order.targets = {"127.0.0.1 80"};
  order.sources = {"127.0.0.1 0"};
  EXPECT(pool.configure(order) == nullptr);
  EXPECT(pool.next(1).action == DialStep::Action::kOpen);
  pool.opened();
  EXPECT(pool.next(1).action == DialStep::Action::kOpen);
  pool.failed(1);
  const SubscriberLoad subscribers;
  DialReport report;
  report.begin(DialPhase::kVerify, 1'000'000);
  report.count_echo(10);
  report.count_wrong_echo();
  report.count_failure(ECONNREFUSED);
  report.count_loss(0);
  const frame::Progress progress = report.progress(pool, subscribers, true, 3'000'000);
  EXPECT_EQUAL(progress.phase, static_cast<uint8_t>(DialPhase::kVerify));
  EXPECT_EQUAL(progress.finished, 1);
  EXPECT_EQUAL(progress.opened, 1U);
  EXPECT_EQUAL(progress.failed, 1U);
  EXPECT_EQUAL(progress.lost, 1U);
  EXPECT_EQUAL(progress.answered, 1U);
  EXPECT_EQUAL(progress.wrong, 1U);
  EXPECT_EQUAL(progress.elapsed_us, 2000U);
}

TEST("a phase starts its echoes at zero, and keeps losses and failures") {
  const DialPool pool;
  const SubscriberLoad subscribers;
  DialReport report;
  report.begin(DialPhase::kVerify, 0);
  report.count_echo(10);
  report.count_loss(ECONNRESET);
  report.begin(DialPhase::kExchange, 0);
  const frame::Progress progress = report.progress(pool, subscribers, false, 0);
  EXPECT_EQUAL(progress.answered, 0U);
  EXPECT_EQUAL(progress.lost, 1U);
  EXPECT(report.latency().buckets.empty());
  EXPECT((report.failures().losses == Numbers{ECONNRESET, 1}));
  EXPECT(report.failures().counts.empty());
}

TEST("the phase that opens connections has the latency of each, and no echo") {
  DialReport report;
  report.begin(DialPhase::kOpen, 0);
  report.count_opened(7);
  report.count_opened(7);
  EXPECT((report.latency().buckets == Numbers{7, 2}));
  EXPECT_EQUAL(report.progress(DialPool(), SubscriberLoad(), true, 0).answered, 0U);
}

TEST("a cause that got a name has it in the frame, once") {
  DialReport report;
  const int cause = bounds::kTlsVerifyFailure + 10;
  for (int count = 0; count < 2; ++count) {
    report.name_cause(cause, "certificate has expired");
    report.count_failure(cause);
  }
  const frame::Failures failures = report.failures();
  EXPECT((failures.counts == Numbers{static_cast<uint64_t>(cause), 2}));
  EXPECT((failures.named == Numbers{static_cast<uint64_t>(cause)}));
  EXPECT((failures.names == Texts{"certificate has expired"}));
}

TEST("failures are pairs of cause and count, latencies pairs of bucket and count") {
  DialReport report;
  report.begin(DialPhase::kExchange, 0);
  report.count_failure(ETIMEDOUT);
  report.count_failure(ETIMEDOUT);
  report.count_failure(ECONNREFUSED);
  EXPECT((report.failures().counts == Numbers{ETIMEDOUT, 2, ECONNREFUSED, 1}));
  report.count_echo(3);
  report.count_echo(3);
  report.count_echo(1000);
  const frame::Latency latency = report.latency();
  EXPECT_EQUAL(latency.min_us, 3U);
  EXPECT_EQUAL(latency.max_us, 1000U);
  if (!EXPECT_EQUAL(latency.buckets.size(), 4U)) return;
  EXPECT_EQUAL(latency.buckets[1], 2U);
  EXPECT_EQUAL(latency.buckets[3], 1U);
}

TEST("a phase counts the connections that it asked, broke and left without an echo") {
  const DialPool pool;
  const SubscriberLoad subscribers;
  DialReport report;
  report.begin(DialPhase::kExchange, 0);
  for (int count = 0; count < 3; ++count) report.count_asked();
  report.count_broken_echo();
  report.count_silent();
  frame::Progress progress = report.progress(pool, subscribers, true, 0);
  EXPECT_EQUAL(progress.asked, 3U);
  EXPECT_EQUAL(progress.broken, 1U);
  EXPECT_EQUAL(progress.silent, 1U);
  report.begin(DialPhase::kVerify, 0);
  progress = report.progress(pool, subscribers, true, 0);
  EXPECT_EQUAL(progress.asked + progress.broken + progress.silent, 0U);
}

TEST("causes are new until they are reported") {
  DialReport report;
  EXPECT(!report.has_new_causes());
  report.count_failure(ECONNREFUSED);
  report.count_loss(0);
  EXPECT(report.has_new_causes());
  const frame::Failures failures = report.failures();
  EXPECT((failures.counts == Numbers{ECONNREFUSED, 1}));
  EXPECT((failures.losses == Numbers{0, 1}));
  EXPECT(!report.has_new_causes());
}

TEST("between phases only a loss or a message is news, until it is reported") {
  const DialPool pool;
  const SubscriberLoad subscribers;
  DialReport report;
  EXPECT(!report.has_news(subscribers));
  report.count_loss(0);
  EXPECT(report.has_news(subscribers));
  (void)report.progress(pool, subscribers, false, 0);
  EXPECT(!report.has_news(subscribers));
}

TEST("the frame of a delivery has its times and its histogram") {
  DeliveryTimes times;
  times.record(7, 1'000'000);
  times.record(7, 3'000'000);
  const frame::DeliveryTimes frame = report_of(times.all()[0]);
  EXPECT_EQUAL(frame.key, 7U);
  EXPECT_EQUAL(frame.count, 2U);
  EXPECT_EQUAL(frame.last_ns - frame.first_ns, 2'000'000U);
  EXPECT_EQUAL(frame.buckets.size(), 4U);
}
