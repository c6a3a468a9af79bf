// The events that the server itself sends over Server-Sent Events. Their names begin with
// "megacomet.", which no published message may use.
#pragma once

#include <cstdint>
#include <string>

#include "codec/cursor.h"

namespace megacomet {

// Each event has data and, where it has a position, an id. Firefox and npm's `eventsource` drop the
// id of a block without data, and `fetch-event-source` reports such a block as an empty message.

/// The subscriber has received everything up to `cursor`.
void append_subscribed_event(const Cursor& cursor, std::string* out);

/// Messages before `cursor` are gone.
void append_gap_event(const Cursor& cursor, std::string* out);

/// Messages before `cursor` were lost while the subscriber was connected.
void append_lost_event(const Cursor& cursor, std::string* out);

/// The server is full: the client should reconnect after `retry_ms`.
void append_full_event(uint32_t retry_ms, std::string* out);

/// The server cannot serve the client now: it should reconnect after `retry_ms`.
void append_unavailable_event(uint32_t retry_ms, std::string* out);

/// The client's address or user exceeds a limit: it should reconnect after `retry_ms`.
void append_limited_event(uint32_t retry_ms, std::string* out);

/// The server shuts down: the client should reconnect after `retry_ms`.
void append_shutdown_event(uint32_t retry_ms, std::string* out);

}  // namespace megacomet
