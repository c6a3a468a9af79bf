{
  "variables": {
    "sanitize%": "",
    "native_sources": [
      "native/addon/listening.cc",
      "native/auth/authenticator.cc",
      "native/auth/grants.cc",
      "native/auth/mac.cc",
      "native/auth/principals.cc",
      "native/auth/revocations.cc",
      "native/auth/shared_texts.cc",
      "native/auth/token.cc",
      "native/auth/token_keys.cc",
      "native/auth/known_tokens.cc",
      "native/codec/base64url.cc",
      "native/codec/cursor.cc",
      "native/codec/deflate_codec.cc",
      "native/codec/digest.cc",
      "native/codec/foreign_protocol.cc",
      "native/codec/http_codec.cc",
      "native/codec/http_writer.cc",
      "native/codec/json_reader.cc",
      "native/codec/json_writer.cc",
      "native/codec/sha1.cc",
      "native/codec/sse_codec.cc",
      "native/codec/url_codec.cc",
      "native/codec/utf8.cc",
      "native/codec/websocket_codec.cc",
      "native/connection/admission.cc",
      "native/connection/connection.cc",
      "native/connection/drain.cc",
      "native/connection/lingering_close.cc",
      "native/connection/listener.cc",
      "native/connection/refusals.cc",
      "native/connection/rejection_log.cc",
      "native/connection/send_limits.cc",
      "native/connection/sender.cc",
      "native/connection/sessions.cc",
      "native/connection/sweep.cc",
      "native/connection/transport.cc",
      "native/dialer/comet_reader.cc",
      "native/dialer/dial_pool.cc",
      "native/dialer/dial_report.cc",
      "native/dialer/dial_request.cc",
      "native/dialer/dial_worker.cc",
      "native/dialer/dialer.cc",
      "native/dialer/echo_load.cc",
      "native/dialer/subscriber_load.cc",
      "native/hub/access.cc",
      "native/hub/delivery.cc",
      "native/hub/hub.cc",
      "native/hub/kicks.cc",
      "native/hub/mailboxes.cc",
      "native/hub/number_window.cc",
      "native/hub/presence.cc",
      "native/hub/publish_limits.cc",
      "native/hub/recovery.cc",
      "native/hub/subscriptions.cc",
      "native/ipc/control.cc",
      "native/ipc/frame_codec.cc",
      "native/ipc/segment.cc",
      "native/ipc/shared_page.cc",
      "native/os/address.cc",
      "native/os/openssl.cc",
      "native/os/sandbox.cc",
      "native/os/sys.cc",
      "native/protocol/client_access.cc",
      "native/protocol/comet_request.cc",
      "native/protocol/echo.cc",
      "native/protocol/endless_response.cc",
      "native/protocol/http.cc",
      "native/protocol/http_answer.cc",
      "native/protocol/http_date.cc",
      "native/protocol/http_refusal.cc",
      "native/protocol/mailbox.cc",
      "native/protocol/poll.cc",
      "native/protocol/server_events.cc",
      "native/protocol/sse.cc",
      "native/protocol/stream.cc",
      "native/protocol/websocket.cc",
      "native/protocol/websocket_commands.cc",
      "native/protocol/websocket_output.cc",
      "native/pubsub/channel_name.cc",
      "native/protocol/client_command.cc",
      "native/pubsub/channels.cc",
      "native/pubsub/fanout.cc",
      "native/pubsub/message_codec.cc",
      "native/pubsub/namespaces.cc",
      "native/worker/protocol_table.cc",
      "native/worker/startup.cc",
      "native/worker/worker.cc"
    ]
  },
  "target_defaults": {
    "include_dirs": ["native"],
    "defines": ["MEGACOMET_VERSION=\"<!(node -p \"require('./package.json').version\")\""],
    "cflags": [
      "-Wall",
      "-Wextra",
      "-Wshadow",
      "-Wimplicit-fallthrough",
      "-fstack-protector-strong",
      "-fvisibility=hidden"
    ],
    # libev reads a watcher through its base type.
    "cflags_cc": ["-std=c++17", "-fno-strict-aliasing", "-Wnon-virtual-dtor"],
    "ldflags": [
      "-Wl,-z,relro,-z,now",
      "-Wl,--enable-new-dtags",
      "-Wl,-rpath,'$$ORIGIN'"
    ],
    "conditions": [
      ["sanitize!=''", {
        "cflags": ["-fsanitize=<(sanitize)", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer", "-O1", "-g"],
        "ldflags": ["-fsanitize=<(sanitize)"]
      }]
    ]
  },
  "targets": [
    {
      "target_name": "megacomet",
      "sources": ["native/addon/binding.cc", "<@(native_sources)"],
      # As a system header, so that our warnings are about our code.
      # Relative to build/, because make splits a path with blanks, and the shell one with quotes.
      "cflags_cc": [
        "-isystem",
        "../<!(node -p \"path.relative('.', path.dirname(require.resolve('node-addon-api')))\")"
      ],
      "defines": ["NAPI_VERSION=9", "NAPI_DISABLE_CPP_EXCEPTIONS"],
      "libraries": ["-lev"]
    }
  ]
}
