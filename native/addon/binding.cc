// The N-API functions: each checks its arguments, converts them, and calls the native code. The
// only file that includes napi.h. Nothing here is on a hot path: a worker calls runWorker() once
// and never returns to JavaScript.
#include <cerrno>

#include <napi.h>

#include "addon/listening.h"
#include "base/bounds.h"
#include "base/histogram.h"
#include "dialer/dial_worker.h"
#include "ipc/frames.h"
#include "ipc/load_frames.h"
#include "ipc/segment.h"
#include "os/openssl.h"
#include "os/sys.h"
#include "worker/worker.h"

namespace megacomet {

namespace {

void throw_type_error(Napi::Env env, const char* message) {
  Napi::TypeError::New(env, message).ThrowAsJavaScriptException();
}

/// The first argument as a descriptor. If it is not a number, -1 and a pending exception.
int descriptor_argument(const Napi::CallbackInfo& info) {
  if (info.Length() < 1 || !info[0].IsNumber()) {
    throw_type_error(info.Env(), "fd: must be a number");
    return -1;
  }
  return info[0].As<Napi::Number>().Int32Value();
}

class SegmentHandle final : public Napi::ObjectWrap<SegmentHandle> {
 public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(env,
                       "Segment",
                       {
                           InstanceAccessor<&SegmentHandle::shared_fd>("sharedFd"),
                           InstanceMethod<&SegmentHandle::renew>("renew"),
                           InstanceMethod<&SegmentHandle::end_renewal>("endRenewal"),
                           InstanceMethod<&SegmentHandle::clear_limits>("clearLimits"),
                           InstanceMethod<&SegmentHandle::copy>("copy"),
                           InstanceMethod<&SegmentHandle::take_faults>("takeFaults"),
                           InstanceMethod<&SegmentHandle::grant>("grant"),
                           InstanceMethod<&SegmentHandle::retire>("retire"),
                           InstanceMethod<&SegmentHandle::close>("close"),
                       });
  }

  explicit SegmentHandle(const Napi::CallbackInfo& info) : Napi::ObjectWrap<SegmentHandle>(info) {
    const uint32_t slots =
        info.Length() > 0 && info[0].IsNumber() ? info[0].As<Napi::Number>().Uint32Value() : 0;
    if (slots == 0 || slots > bounds::kSlotsMax) {
      throw_type_error(info.Env(), "slots: must be between 1 and 512");
      return;
    }
    segment_ = std::make_unique<Segment>();
    if (!segment_->create(slots)) {
      segment_.reset();
      Napi::Error::New(info.Env(), "the stats segment cannot be created")
          .ThrowAsJavaScriptException();
    }
  }

 private:
  Napi::Value shared_fd(const Napi::CallbackInfo& info) {
    return Napi::Number::New(info.Env(), segment_ ? segment_->shared_fd() : -1);
  }

  Napi::Value renew(const Napi::CallbackInfo& info) {
    const int slot = slot_argument(info);
    if (slot < 0) return info.Env().Undefined();
    const int fd = segment_->renew(static_cast<uint32_t>(slot));
    return Napi::Number::New(info.Env(), fd < 0 ? -errno : fd);
  }

  void clear_limits(const Napi::CallbackInfo& info) {
    const bool is_set = info.Length() > 0 && info[0].IsNumber();
    const uint32_t set = is_set ? info[0].As<Napi::Number>().Uint32Value() : 2;
    if (set > 1) return throw_type_error(info.Env(), "clearLimits: the set must be 0 or 1");
    if (!is_open(info) || segment_->clear_limits(set)) return;
    Napi::Error::New(info.Env(), "the limit tables cannot be cleared").ThrowAsJavaScriptException();
  }

  void end_renewal(const Napi::CallbackInfo& info) {
    const int slot = slot_argument(info);
    if (slot >= 0) segment_->end_renewal(static_cast<uint32_t>(slot));
  }

  void copy(const Napi::CallbackInfo& info) {
    if (!is_open(info)) return;
    const bool is_array = info.Length() > 0 && info[0].IsTypedArray() &&
                          info[0].As<Napi::TypedArray>().TypedArrayType() == napi_biguint64_array;
    if (!is_array ||
        info[0].As<Napi::BigUint64Array>().ElementLength() < segment_->slots() * kBlockWords) {
      return throw_type_error(
          info.Env(), "copy: the target must be a BigUint64Array with slots × blockWords elements");
    }
    segment_->copy(info[0].As<Napi::BigUint64Array>().Data());
  }

  Napi::Value take_faults(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    Napi::Array list = Napi::Array::New(env);
    if (!is_open(info)) return list;
    uint32_t count = 0;
    for (const Fault& fault : segment_->take_faults()) {
      Napi::Object entry = Napi::Object::New(env);
      entry.Set("slot", fault.slot);
      entry.Set("field", fault.field);
      entry.Set("value", Napi::BigInt::New(env, fault.value));
      list.Set(count++, entry);
    }
    return list;
  }

  Napi::Value grant(const Napi::CallbackInfo& info) {
    const int slot = slot_argument(info);
    if (slot < 0) return info.Env().Undefined();
    if (info.Length() < 2 || !info[1].IsNumber()) {
      throw_type_error(info.Env(), "grant: the allowance must be a number");
      return info.Env().Undefined();
    }
    return Napi::Number::New(
        info.Env(),
        segment_->grant(static_cast<uint32_t>(slot), info[1].As<Napi::Number>().Uint32Value()));
  }

  void retire(const Napi::CallbackInfo& info) {
    const int slot = slot_argument(info);
    if (slot >= 0) segment_->retire(static_cast<uint32_t>(slot));
  }

  void close(const Napi::CallbackInfo&) { segment_.reset(); }

  bool is_open(const Napi::CallbackInfo& info) {
    if (segment_ == nullptr) throw_type_error(info.Env(), "the segment is closed");
    return segment_ != nullptr;
  }

  /// The first argument as a slot of the open segment, else -1 and a pending exception.
  int slot_argument(const Napi::CallbackInfo& info) {
    if (!is_open(info)) return -1;
    if (info.Length() > 0 && info[0].IsNumber() &&
        info[0].As<Napi::Number>().Uint32Value() < segment_->slots()) {
      return info[0].As<Napi::Number>().Int32Value();
    }
    throw_type_error(info.Env(), "slot: must be one of this segment");
    return -1;
  }

  std::unique_ptr<Segment> segment_;
};

Napi::Value open_listener(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (info.Length() < 1 || !info[0].IsObject()) {
    throw_type_error(env, "openListener: the options must be an object");
    return env.Undefined();
  }
  const auto object = info[0].As<Napi::Object>();
  const auto text = [&](const char* name) { return object.Get(name).ToString().Utf8Value(); };
  const auto number = [&](const char* name) { return object.Get(name).ToNumber().Uint32Value(); };
  const auto flag = [&](const char* name) { return object.Get(name).ToBoolean().Value(); };
  listening::Options options;
  options.host = text("host");
  options.port = static_cast<uint16_t>(number("port"));
  options.is_unix = flag("isUnix");
  const auto whole = [&](const char* name) { return object.Get(name).ToNumber().Int64Value(); };
  options.mode = static_cast<int>(whole("mode"));
  options.uid = whole("uid");
  options.gid = whole("gid");
  options.v6_only = flag("v6Only");
  options.joins = flag("joins");
  options.backlog = number("backlog");
  options.keepalive_s = number("keepaliveS");
  options.user_timeout_ms = number("userTimeoutMs");
  if (env.IsExceptionPending()) return env.Undefined();
  const listening::Opened opened = listening::open(options);
  Napi::Object result = Napi::Object::New(env);
  result.Set("fd", opened.fd);
  result.Set("error", opened.error);
  result.Set("call", opened.call);
  return result;
}

Napi::Value lock_folder(const Napi::CallbackInfo& info) {
  const bool is_text = info.Length() > 0 && info[0].IsString();
  if (!is_text) throw_type_error(info.Env(), "lockFolder: the path must be a string");
  const int result = is_text ? listening::lock_folder(info[0].As<Napi::String>()) : 0;
  return Napi::Number::New(info.Env(), result);
}

/// Checks an inherited listener and returns its address.
Napi::Value register_listener(const Napi::CallbackInfo& info) {
  const int fd = descriptor_argument(info);
  const auto number = [&](size_t at) {
    const bool is_number = info.Length() > at && info[at].IsNumber();
    return is_number ? info[at].As<Napi::Number>().Uint32Value() : 0;
  };
  const listening::Inherited listener = listening::register_fd(fd, number(1), number(2));
  Napi::Object result = Napi::Object::New(info.Env());
  result.Set("error", listener.error);
  result.Set("call", listener.call);
  result.Set("host", listener.host);
  result.Set("port", listener.port);
  result.Set("isUnix", listener.is_unix);
  return result;
}

Napi::Value listen_on(const Napi::CallbackInfo& info) {
  const int fd = descriptor_argument(info);
  const uint32_t backlog =
      info.Length() > 1 && info[1].IsNumber() ? info[1].As<Napi::Number>().Uint32Value() : 0;
  return Napi::Number::New(info.Env(), listening::listen(fd, backlog));
}

void shut_down_listener(const Napi::CallbackInfo& info) {
  listening::shut_down(descriptor_argument(info));
}

void close_descriptor(const Napi::CallbackInfo& info) {
  const int fd = descriptor_argument(info);
  if (fd > 2) sys::close(fd);
}

Napi::Value listener_port(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), listening::port(descriptor_argument(info)));
}

Napi::Value steer(const Napi::CallbackInfo& info) {
  const int fd = descriptor_argument(info);
  if (info.Length() < 2 || !info[1].IsTypedArray() ||
      info[1].As<Napi::TypedArray>().TypedArrayType() != napi_uint32_array) {
    return Napi::Number::New(info.Env(), listening::stop_steering(fd));
  }
  const auto weights = info[1].As<Napi::Uint32Array>();
  const uint32_t* first = weights.Data();
  return Napi::Number::New(
      info.Env(),
      listening::steer(fd, std::vector<uint32_t>(first, first + weights.ElementLength())));
}

Napi::Value run_worker_here(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), run_worker());
}

Napi::Value run_dialer_here(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), run_dialer());
}

/// The first function of OpenSSL that this build of Node does not export; "" if it has all.
Napi::Value missing_openssl_tls(const Napi::CallbackInfo& info) {
  return Napi::String::New(info.Env(), missing_openssl_tls_function());
}

Napi::Value missing_openssl(const Napi::CallbackInfo& info) {
  return Napi::String::New(info.Env(), missing_openssl_function());
}

void trim_heap(const Napi::CallbackInfo&) {
  sys::trim_heap();
}

void forbid_new_privileges(const Napi::CallbackInfo&) {
  sys::forbid_new_privileges();
}

void forbid_tracing(const Napi::CallbackInfo&) {
  sys::forbid_tracing();
}

Napi::Value guard_spawn(const Napi::CallbackInfo& info) {
  const bool drops_capabilities = info.Length() > 0 && info[0].ToBoolean().Value();
  return Napi::Number::New(info.Env(), sys::guard_spawn(drops_capabilities));
}

void end_spawn(const Napi::CallbackInfo& info) {
  sys::end_spawn(info.Length() > 0 ? info[0].ToNumber().Int32Value() : -1);
}

Napi::Value drop_capabilities(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), sys::drop_capabilities());
}

/// Sends lines to the init system: sd_notify(3). Arguments: the name of its socket, the lines.
Napi::Value notify(const Napi::CallbackInfo& info) {
  if (info.Length() < 2 || !info[0].IsString() || !info[1].IsString()) {
    throw_type_error(info.Env(), "notify: the socket name and the text must be strings");
    return info.Env().Undefined();
  }
  const int error = sys::send_datagram(info[0].As<Napi::String>().Utf8Value(),
                                       info[1].As<Napi::String>().Utf8Value());
  return Napi::Number::New(info.Env(), error);
}

Napi::Value describe_counters(Napi::Env env) {
  Napi::Array list = Napi::Array::New(env);
  for (uint32_t index = 0; index < kCounterCount; ++index) {
    const CounterInfo& info = counter_infos()[index];
    Napi::Object entry = Napi::Object::New(env);
    entry.Set("name", info.name);
    entry.Set("kind", info.kind == CounterKind::kGauge ? "gauge" : "total");
    entry.Set("help", info.help);
    list.Set(index, entry);
  }
  return list;
}

/// Sizes of the stats segment and of histograms. lib/base/native-constants.ts has the others.
Napi::Value describe_sizes(Napi::Env env) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("blockWords", static_cast<double>(kBlockWords));
  object.Set("lagBuckets", static_cast<double>(kLagBuckets));
  object.Set("histogramSteps", Histogram::kSteps);
  return object;
}

Napi::Object init(Napi::Env env, Napi::Object exports) {
  exports.Set("version", MEGACOMET_VERSION);
  exports.Set("layoutHash", Napi::BigInt::New(env, layout_hash()));
  exports.Set("counters", describe_counters(env));
  exports.Set("framesFingerprint", frames_fingerprint(kFramesText));
  exports.Set("loadFramesFingerprint", frames_fingerprint(kLoadFramesText));
  exports.Set("sizes", describe_sizes(env));
  exports.Set("Segment", SegmentHandle::define(env));
  exports.Set("openListener", Napi::Function::New(env, open_listener));
  exports.Set("registerListener", Napi::Function::New(env, register_listener));
  exports.Set("lockFolder", Napi::Function::New(env, lock_folder));
  exports.Set("listenOn", Napi::Function::New(env, listen_on));
  exports.Set("shutDownListener", Napi::Function::New(env, shut_down_listener));
  exports.Set("closeDescriptor", Napi::Function::New(env, close_descriptor));
  exports.Set("listenerPort", Napi::Function::New(env, listener_port));
  exports.Set("steer", Napi::Function::New(env, steer));
  exports.Set("forbidNewPrivileges", Napi::Function::New(env, forbid_new_privileges));
  exports.Set("forbidTracing", Napi::Function::New(env, forbid_tracing));
  exports.Set("guardSpawn", Napi::Function::New(env, guard_spawn));
  exports.Set("endSpawn", Napi::Function::New(env, end_spawn));
  exports.Set("dropCapabilities", Napi::Function::New(env, drop_capabilities));
  exports.Set("missingOpensslFunction", Napi::Function::New(env, missing_openssl));
  exports.Set("missingOpensslTlsFunction", Napi::Function::New(env, missing_openssl_tls));
  exports.Set("trimHeap", Napi::Function::New(env, trim_heap));
  exports.Set("notify", Napi::Function::New(env, notify));
  exports.Set("runWorker", Napi::Function::New(env, run_worker_here));
  exports.Set("runDialer", Napi::Function::New(env, run_dialer_here));
  return exports;
}

}  // namespace

}  // namespace megacomet

static Napi::Object init_addon(Napi::Env env, Napi::Object exports) {
  return megacomet::init(env, exports);
}

NODE_API_MODULE(megacomet, init_addon)
