// Formatting the second. See http_date.h.
#include "protocol/http_date.h"

#include <array>
#include <cstdio>
#include <ctime>

namespace megacomet {

namespace {

constexpr const char* kDays[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
constexpr const char* kMonths[] = {
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

struct CachedDate {
  time_t second = -1;
  size_t size = 0;
  std::array<char, 64> text{};
};

}  // namespace

std::string_view http_date() {
  static CachedDate cached;
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME_COARSE, &now);
  if (now.tv_sec != cached.second) {
    tm parts{};
    ::gmtime_r(&now.tv_sec, &parts);
    // strftime() would use the names of the process's locale.
    const int size = std::snprintf(cached.text.data(),
                                   cached.text.size(),
                                   "%s, %02d %s %04d %02d:%02d:%02d GMT",
                                   kDays[parts.tm_wday],
                                   parts.tm_mday,
                                   kMonths[parts.tm_mon],
                                   parts.tm_year + 1900,
                                   parts.tm_hour,
                                   parts.tm_min,
                                   parts.tm_sec);
    cached.size = static_cast<size_t>(size);
    cached.second = now.tv_sec;
  }
  return {cached.text.data(), cached.size};
}

}  // namespace megacomet
