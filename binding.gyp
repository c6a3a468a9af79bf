{
  "variables": {
    "sanitize%": "",
    "native_sources": [
      "native/address.cc",
      "native/admission.cc",
      "native/channels.cc",
      "native/comet_reader.cc",
      "native/comet_request.cc",
      "native/connection.cc",
      "native/control.cc",
      "native/cursor.cc",
      "native/deflate_codec.cc",
      "native/dial_request.cc",
      "native/dial_worker.cc",
      "native/dialer.cc",
      "native/digest.cc",
      "native/drain.cc",
      "native/fanout.cc",
      "native/frames.cc",
      "native/http_answer.cc",
      "native/http_body.cc",
      "native/http_codec.cc",
      "native/http_writer.cc",
      "native/hub.cc",
      "native/hub_sending.cc",
      "native/json_codec.cc",
      "native/linger.cc",
      "native/listener.cc",
      "native/listening.cc",
      "native/mailboxes.cc",
      "native/presence.cc",
      "native/message_codec.cc",
      "native/protocol_echo.cc",
      "native/protocol_http.cc",
      "native/protocol_mailbox.cc",
      "native/protocol_poll.cc",
      "native/protocol_sse.cc",
      "native/protocol_stream.cc",
      "native/protocol_websocket.cc",
      "native/segment.cc",
      "native/sha1.cc",
      "native/sse_codec.cc",
      "native/sweep.cc",
      "native/sys.cc",
      "native/transport.cc",
      "native/url_codec.cc",
      "native/utf8.cc",
      "native/websocket_codec.cc",
      "native/websocket_wish.cc",
      "native/worker.cc"
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
      "sources": ["native/binding.cc", "<@(native_sources)"],
      # As a system header, so that our warnings are about our code.
      "cflags_cc": ["-isystem", "<!(node -p \"path.dirname(require.resolve('node-addon-api'))\")"],
      "defines": ["NAPI_VERSION=9", "NAPI_DISABLE_CPP_EXCEPTIONS"],
      "libraries": ["-lev"]
    }
  ]
}
