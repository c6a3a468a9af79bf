// Writes strings of JSON.
#pragma once

#include <string>
#include <string_view>

namespace megacomet {

/// Appends `text`, which is UTF-8, as a JSON string with its quotes.
///
/// Escapes U+2028 and U+2029, because JSONP runs the result as a script, and scripts before ES2019
/// end a line at these characters.
void append_json_string(std::string_view text, std::string* out);

}  // namespace megacomet
