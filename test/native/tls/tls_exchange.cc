// Tests of a request and its answer inside TLS, over memory.
#include "tls/tls_exchange.h"

#include <algorithm>
#include <string>
#include <vector>

#include "support/unit.h"
#include "tls/tls_client.h"

using namespace megacomet;

namespace {

struct Exchanged {
  std::string data;
  std::string answer;
  bool has_end = false;
};

/// A client that sends `request` in pieces of `piece` bytes, and receives `answer` for it.
Exchanged exchange(TlsClient* client, std::string_view request, size_t piece) {
  TlsRecords records(*find_openssl_tls());
  TlsExchange exchange(test_certificates({true, "", "", ""}), &records);
  Exchanged result;
  bool has_sent = false;
  for (int round = 0; round < 8 && result.data.size() < request.size(); ++round) {
    if (client->shake() && !has_sent) {
      client->write(request);
      has_sent = true;
    }
    const std::string bytes = client->sent();
    std::string output;
    for (size_t at = 0; at < bytes.size(); at += piece) {
      const std::string_view part = std::string_view(bytes).substr(at, piece);
      EXPECT(exchange.feed(part, &output, &result.data));
    }
    client->receive(output);
  }
  if (!EXPECT(exchange.is_open())) return result;
  client->receive(exchange.seal("an answer"));
  result.answer = client->read();
  result.has_end = client->has_close_notify();
  return result;
}

std::vector<TlsClient::Options> versions() {
  return {{}, {"TLS_AES_128_GCM_SHA256", TLS1_2_VERSION}};
}

}  // namespace

TEST("a request inside TLS is answered, with close_notify after the answer") {
  for (const TlsClient::Options& options : versions()) {
    for (const size_t piece : {size_t{1}, size_t{7}, size_t{100'000}}) {
      TlsClient client(options);
      const std::string request(20'000, 'x');
      const Exchanged exchanged = exchange(&client, request, piece);
      EXPECT(exchanged.data == request);
      EXPECT(exchanged.answer == "an answer");
      EXPECT(exchanged.has_end);
    }
  }
}

TEST("an exchange ends with the client's close_notify, and with bytes that are not TLS") {
  TlsRecords records(*find_openssl_tls());
  std::string data;
  for (const TlsClient::Options& options : versions()) {
    TlsExchange exchange(test_certificates({true, "", "", ""}), &records);
    TlsClient client(options);
    std::string output;
    for (int round = 0; round < 8 && !client.shake(); ++round) {
      EXPECT(exchange.feed(client.sent(), &output, &data));
      client.receive(output);
      output.clear();
    }
    EXPECT(exchange.feed(client.sent(), &output, &data));
    EXPECT(exchange.is_open());
    client.shut_down();
    EXPECT(!exchange.feed(client.sent(), &output, &data));
  }
  std::string output;
  TlsExchange stranger(test_certificates({true, "", "", ""}), &records);
  EXPECT(!stranger.feed("GET / HTTP/1.1\r\n\r\n", &output, &data));
  EXPECT(!stranger.is_open());
  EXPECT(data.empty());
}
