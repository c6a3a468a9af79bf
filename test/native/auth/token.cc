// Tests of tokens as texts, with the traps of RFC 7515, RFC 7519 and RFC 8725.
#include "auth/token.h"

#include <string>
#include <string_view>

#include "support/tokens.h"
#include "support/unit.h"

using namespace megacomet;
using unit::base64url;

namespace {

constexpr std::string_view kHeader = R"({"alg":"HS256"})";
constexpr std::string_view kSignature = "c2lnbmF0dXJl";

std::string token_with(std::string_view header, std::string_view payload = "{}") {
  return base64url(header) + '.' + base64url(payload) + '.' + std::string(kSignature);
}

TokenFault fault_of_header(std::string_view header) {
  SignedToken token;
  return parse_token(token_with(header), &token);
}

TokenFault fault_of_text(std::string_view text) {
  SignedToken token;
  return parse_token(text, &token);
}

bool are_claims(std::string_view payload) {
  Claims claims;
  return parse_claims(payload, &claims) == TokenFault::kNone;
}

}  // namespace

TEST("a token gives its algorithm, key, signed text, payload and signature") {
  const std::string text =
      token_with(R"({"typ":"JWT","alg":"ES256","kid":"k\u0031"})", R"({"sub":"a"})");
  SignedToken token;
  EXPECT(parse_token(text, &token) == TokenFault::kNone);
  EXPECT(token.algorithm == TokenAlgorithm::kEs256 && token.key_id == "k1");
  EXPECT(token.signed_text == text.substr(0, text.rfind('.')));
  EXPECT(token.payload == R"({"sub":"a"})");
  EXPECT(token.signature_bytes == 9 && token.signature[0] == 's' && token.signature[8] == 'e');
}

TEST("a token without a signature, or of another algorithm, is rejected") {
  for (const char* algorithm : {"none",
                                "None",
                                "NONE",
                                "nOnE",
                                "HS384",
                                "hs256",
                                "HS256 ",
                                "ES256K",
                                "PS256",
                                "RS1",
                                "dir",
                                ""}) {
    EXPECT(fault_of_header(R"({"alg":")" + std::string(algorithm) + "\"}") ==
           TokenFault::kAlgorithm);
  }
  for (const char* header : {"{}", R"({"alg":null})", R"({"alg":["HS256"]})", R"({"alg":256})"}) {
    EXPECT(fault_of_header(header) == TokenFault::kMalformed);
  }
}

TEST("a header that repeats a member, or has an unsupported value, is rejected") {
  for (const char* header : {
           R"({"alg":"HS256","alg":"none"})",
           R"({"alg":"HS256","\u0061lg":"none"})",
           R"({"alg":"HS256","crit":["exp"],"exp":1})",
           R"({"alg":"HS256","crit":["b64"],"b64":false})",
           R"({"alg":"HS256","cty":"JWT"})",
           R"({"alg":"HS256","typ":"JWE"})",
           R"({"alg":"HS256","typ":7})",
           R"({"alg":"HS256","kid":7})",
           R"(["HS256"])",
           R"({"alg":"HS256"} x)",
           R"({"alg":"HS256")",
           "",
       }) {
    EXPECT(fault_of_header(header) == TokenFault::kMalformed);
  }
  for (const char* type : {"JWT", "jwt", "at+jwt", "application/at+jwt"}) {
    EXPECT(fault_of_header(R"({"alg":"HS256","typ":")" + std::string(type) + "\"}") ==
           TokenFault::kNone);
  }
  const std::string long_name(bounds::kTokenNameBytesMax + 1, 'k');
  EXPECT(fault_of_header(R"({"alg":"HS256","kid":")" + long_name + "\"}") ==
         TokenFault::kMalformed);
}

TEST("only three parts of base64url without padding are a token") {
  const std::string good = token_with(kHeader);
  const std::string head = base64url(kHeader);
  EXPECT(fault_of_text(good) == TokenFault::kNone);
  for (const std::string& text : {
           std::string(),
           std::string("."),
           std::string(".."),
           head,
           head + ".e30",
           head + ".e30.",
           good + ".",
           good + ".e30",
           good + "=",
           good + "A",
           " " + good,
           good + "\n",
           head + "=.e30." + std::string(kSignature),
           head + ".e30+." + std::string(kSignature),
           head + ".e3/0." + std::string(kSignature),
           // A digit whose unused bits are not zero is another text for the same bytes.
           head + ".e31." + std::string(kSignature),
           std::string("é.") + good,
       }) {
    EXPECT(fault_of_text(text) == TokenFault::kMalformed);
  }
}

TEST("a token, a signature and a name have a longest length") {
  const auto with_payload = [](size_t bytes) {
    return base64url(kHeader) + '.' + base64url(std::string(bytes, ' ')) + '.' +
           std::string(kSignature);
  };
  EXPECT(fault_of_text(with_payload(6000)) == TokenFault::kNone);
  EXPECT(fault_of_text(with_payload(bounds::kTokenBytesMax)) == TokenFault::kMalformed);
  const std::string start = base64url(kHeader) + ".e30.";
  EXPECT(fault_of_text(start + base64url(std::string(512, 's'))) == TokenFault::kNone);
  EXPECT(fault_of_text(start + base64url(std::string(513, 's'))) == TokenFault::kMalformed);
}

TEST("claims are read, and unknown ones ignored") {
  Claims claims;
  EXPECT(parse_claims(R"({"sub":"Zoë","jti":"7","iss":"me","aud":["a","b"],"exp":1.7e9,
                          "nbf":1600000000.9,"iat":1600000001,"channels":["x","y/*"],
                          "grants":{"subscribe":["x"],"publish":["y","z"]},
                          "info":{"name":"Zoë"},"other":[1,{"sub":"no"}]})",
                      &claims) == TokenFault::kNone);
  EXPECT(claims.user == "Zoë" && claims.id == "7" && claims.issuer == "me");
  EXPECT(claims.audiences.size() == 2 && claims.audiences[1] == "b");
  EXPECT(claims.expires_at_s == 1'700'000'000 && claims.not_before_s == 1'600'000'000);
  EXPECT(claims.issued_at_s == 1'600'000'001 && claims.channels.size() == 2);
  EXPECT(claims.grants[static_cast<size_t>(Action::kPublish)].size() == 2);
  EXPECT(claims.grants[static_cast<size_t>(Action::kHistory)].empty());
  EXPECT(claims.info == R"({"name":"Zoë"})" && claims.channel.empty());
}

TEST("one audience is a string, and info may be one") {
  Claims claims;
  EXPECT(parse_claims(R"({"aud":"a","info":"hi \"you\""})", &claims) == TokenFault::kNone);
  EXPECT(claims.audiences.size() == 1 && claims.audiences[0] == "a");
  EXPECT(claims.info == R"("hi \"you\"")");
}

TEST("an expiry at the epoch is one, and none is none") {
  Claims claims;
  EXPECT(parse_claims(R"({"exp":0})", &claims) == TokenFault::kNone && claims.expires_at_s == 1);
  Claims endless;
  EXPECT(parse_claims("{}", &endless) == TokenFault::kNone && endless.expires_at_s == 0);
}

TEST("a claim of the wrong type or size is rejected, not ignored") {
  const std::string long_text(bounds::kTokenInfoBytesMax, 'x');
  for (const std::string& payload : {
           std::string(R"({"exp":"1700000000"})"),
           std::string(R"({"exp":1e400})"),
           std::string(R"({"exp":1e99})"),
           std::string(R"({"exp":-1})"),
           std::string(R"({"exp":null})"),
           std::string(R"({"exp":9007199254740993})"),
           std::string(R"({"nbf":[]})"),
           std::string(R"({"iat":true})"),
           std::string(R"({"sub":7})"),
           std::string(R"({"sub":null})"),
           std::string(R"({"sub":"a","sub":"b"})"),
           std::string(R"({"sub":"a","s\u0075b":"b"})"),
           std::string(R"({"aud":7})"),
           std::string(R"({"aud":["a",7]})"),
           std::string(R"({"iss":[]})"),
           std::string(R"({"channels":"x"})"),
           std::string(R"({"channels":[1]})"),
           std::string(R"({"grants":["x"]})"),
           std::string(R"({"grants":{"subscribe":"x"}})"),
           std::string(R"({"grants":{"subscribe":["x"],"subscribe":["y"]}})"),
           std::string(R"({"grants":{"subscrbe":["x"]}})"),
           std::string(R"({"jti":{}})"),
           std::string("[]"),
           std::string("null"),
           std::string("{"),
           std::string(),
           R"({"info":")" + long_text + "\"}",
           R"({"sub":")" + long_text + "\"}",
       }) {
    EXPECT(!are_claims(payload));
  }
  std::string many = "{\"c0\":0";
  for (int number = 1; number < 1000; ++number) many += ",\"c" + std::to_string(number) + "\":0";
  EXPECT(!are_claims(many + "}"));
}

TEST("a random change of a token is read without a fault of memory") {
  for (int round = 0; round < 2000; ++round) {
    std::string text = token_with(kHeader);
    for (uint64_t changes = unit::upto(3); changes-- > 0;) {
      text[unit::upto(text.size() - 1)] = static_cast<char>(unit::upto(255));
    }
    SignedToken token;
    if (parse_token(text, &token) != TokenFault::kNone) continue;
    EXPECT(token.signed_text == std::string_view(text).substr(0, text.rfind('.')));
    EXPECT(token.signature_bytes <= token.signature.size());
  }
}
