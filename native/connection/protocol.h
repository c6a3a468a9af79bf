// What a protocol fills in. Protocols never name each other.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "connection/services.h"

namespace megacomet {

/// What a subscriber missed, in the order of the numbers.
struct Page {
  const std::vector<Ref<Message>>& messages;
  /// Rows of the channels that the request named, each once; see CometServices::name_of().
  const std::vector<uint32_t>& channels;
  /// The last number that is covered: the subscriber stands there once it has the messages.
  Cursor head;
  /// Whether everything after `head` comes by itself; else another page follows.
  bool is_last;
  /// Whether messages between the cursor that was asked for and this page are gone.
  bool is_lost;

  /// Where the messages begin: whoever hears of a gap stands there until he has them.
  [[nodiscard]] Cursor start() const {
    return messages.empty() ? head : Cursor{head.epoch, messages.front()->number - 1};
  }
};

/// A table of functions over a worker's services, one connection and its bytes. Any of them may
/// close the connection, and then nobody touches it again.
struct Protocol {
  const char* name;

  /// Bytes arrived. They are valid during the call only, and may be written to.
  void (*on_bytes)(Services& services, Connection* connection, uint8_t* bytes, size_t size);

  /// The deadline passed; null closes as idle.
  void (*on_deadline)(Services& services, Connection* connection) = nullptr;

  /// The server leaves, an operator asks, or a message was not whole in time; null closes at once.
  void (*on_disconnect)(Services& services, Connection* connection, CloseCause cause) = nullptr;

  /// A message for a subscriber.
  void (*deliver)(Services& services, Connection* connection, Message& message) = nullptr;

  /// The answer to subscribe().
  void (*on_page)(Services& services, Connection* connection, const Page& page) = nullptr;

  /// The manager did not take what the connection published; null where nobody can publish.
  void (*on_rejected)(Services& services,
                      Connection* connection,
                      const frame::Rejected& refused) = nullptr;

  /// What a peer is told that the server has no room for; null for a reset without a word.
  std::string (*refusal)(Services& services) = nullptr;

  /// Whether it answers all that it reads: who does not take the answers is not read on.
  bool is_echo = false;

  /// Whether one message answers its request: what follows is for the next one.
  bool takes_one = false;
};

}  // namespace megacomet
