// The world as JavaScript uses it. What waits for other processes runs on threads of their own, one a channel, in the
// order in which it was asked for.
#include "../mpi/world.h"

#include <napi.h>

#include <cmath>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <system_error>

#include "../boundary/boundary.h"
#include "../boundary/errors.h"
#include "../boundary/values.h"
#include "../program/thread.h"
#include "async.h"
#include "dispatcher.h"

namespace wengert {

namespace {

const char* const kWhat = "world";

enum CollectiveKind { kBarrier = 0, kSum = 1, kBroadcast = 2, kExchange = 3 };

class Collective;

// Works off the collectives of one channel.
class Queue {
 public:
  void Add(std::shared_ptr<Collective> work);
  void Stop();

 private:
  void Live();
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::shared_ptr<Collective>> waiting_;
  bool stop_ = false;
  Thread thread_;
};

Queue& QueueOf(World::Channel channel) {
  // Never destroyed: their threads may run while the process exits.
  static Queue* const queues = new Queue[World::kChannels];
  return queues[channel];
}

class Collective final : public Pending {
 public:
  Collective(Dispatcher& dispatcher, CollectiveKind kind, World::Channel channel, int root, const Span& span)
      : dispatcher_(dispatcher), kind_(kind), channel_(channel), root_(root), dtype_(span.dtype), length_(span.length) {
    const char* const from = static_cast<const char*>(span.data);
    values_.assign(from, from + span.bytes());
  }

  // Of an exchange: how many bytes go to each rank and come from each.
  void Part(std::vector<std::size_t> going, std::vector<std::size_t> coming) {
    going_ = std::move(going);
    coming_ = std::move(coming);
    std::size_t bytes = 0;
    for (const std::size_t count : coming_) bytes += count;
    received_.resize(bytes);
  }

  napi_value Promise(napi_env env) {
    napi_value promise;
    Check(env, napi_create_promise(env, &deferred_, &promise));
    return promise;
  }

  // On the channel's thread.
  void Work() {
    World& world = World::instance();
    bool done = false;
    if (kind_ == kBarrier) done = world.Barrier(channel_);
    if (kind_ == kSum) done = world.Sum(channel_, values_.data(), length_, dtype_ == Dtype::kFloat64);
    if (kind_ == kBroadcast) done = world.Broadcast(channel_, values_.data(), values_.size(), root_);
    if (kind_ == kExchange) {
      done = world.Exchange(channel_, values_.data(), going_, received_.data(), coming_);
      if (done) {
        values_ = std::move(received_);
        length_ = static_cast<std::int64_t>(values_.size());
      }
    }
    if (done) return dispatcher_.Finished(this);
    // Messages may still be under way.
    Left().push_back({std::move(values_), std::move(received_)});
  }

  void Settle(napi_env env) override {
    Napi::Env here(env);
    Napi::ArrayBuffer buffer = Napi::ArrayBuffer::New(here, values_.size());
    if (!values_.empty()) std::memcpy(buffer.Data(), values_.data(), values_.size());
    const std::size_t n = static_cast<std::size_t>(length_);
    Napi::Value array;
    switch (dtype_) {
      case Dtype::kFloat32: array = Napi::Float32Array::New(here, n, buffer, 0); break;
      case Dtype::kFloat64: array = Napi::Float64Array::New(here, n, buffer, 0); break;
      case Dtype::kInt32: array = Napi::Int32Array::New(here, n, buffer, 0); break;
      default: array = Napi::Uint8Array::New(here, n, buffer, 0);
    }
    Check(env, napi_resolve_deferred(env, deferred_, array));
  }

  void Abandon() override {
    World::instance().Leave();
    QueueOf(channel_).Stop();
  }

 private:
  // Never freed: the process exits.
  static std::vector<std::vector<std::vector<char>>>& Left() {
    static auto* const left = new std::vector<std::vector<std::vector<char>>>();
    return *left;
  }

  Dispatcher& dispatcher_;
  napi_deferred deferred_ = nullptr;
  CollectiveKind kind_;
  World::Channel channel_;
  int root_;
  Dtype dtype_;
  std::int64_t length_;
  std::vector<char> values_;
  std::vector<char> received_;
  std::vector<std::size_t> going_, coming_;
};

// Some of the counts of an exchange. ERR_PROGRAM for what are none.
std::vector<std::size_t> CountsFrom(const Span& counts, std::size_t from, std::size_t n) {
  constexpr double kMost = 9007199254740992.0;
  std::vector<std::size_t> out;
  for (std::size_t i = 0; i < n; i++) {
    const double count = static_cast<const double*>(counts.data)[from + i];
    if (!(count >= 0) || count > kMost || count != std::floor(count)) Malform(kWhat, "counts of bytes", "others");
    out.push_back(static_cast<std::size_t>(count));
  }
  return out;
}

void Queue::Add(std::shared_ptr<Collective> work) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (!thread_.joinable()) {
      stop_ = false;
      thread_ = Thread("wengert-world", [this] { Live(); });
    }
    waiting_.push_back(std::move(work));
  }
  wake_.notify_one();
}

void Queue::Stop() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stop_ = true;
  }
  wake_.notify_one();
  if (thread_.joinable()) thread_.join();
}

void Queue::Live() {
  for (;;) {
    std::shared_ptr<Collective> work;
    {
      std::unique_lock<std::mutex> lock(mutex_);
      wake_.wait(lock, [this] { return stop_ || !waiting_.empty(); });
      if (stop_) return;
      work = std::move(waiting_.front());
      waiting_.pop_front();
    }
    work->Work();
  }
}

std::string StringOf(napi_env env, napi_value value) {
  const Napi::Value text(env, value);
  if (!text.IsString()) Malform(kWhat, "a string", "something else");
  return text.As<Napi::String>().Utf8Value();
}

std::vector<std::string> StringsOf(napi_env env, napi_value value) {
  std::uint32_t count = 0;
  if (napi_get_array_length(env, value, &count) != napi_ok) Malform(kWhat, "an array of strings", "something else");
  std::vector<std::string> texts;
  for (std::uint32_t i = 0; i < count; i++) {
    napi_value element;
    Check(env, napi_get_element(env, value, i, &element));
    texts.push_back(StringOf(env, element));
  }
  return texts;
}

}  // namespace

napi_value WorldBegin(napi_env env, napi_callback_info info) {
  return Guard(env, [&]() -> napi_value {
    const Args args(env, info);
    World& world = World::instance();
    std::vector<std::string> failures;
    const bool begun = world.Begin(StringsOf(env, args[0]), failures);
    Napi::Object object = Napi::Object::New(env);
    object.Set("rank", begun ? world.rank() : 0);
    object.Set("size", begun ? world.size() : 0);
    object.Set("family", begun ? world.library().family : "");
    object.Set("file", begun ? world.library().file : "");
    object.Set("version", begun ? world.Version() : "");
    object.Set("concurrent", begun && world.concurrent());
    Napi::Array said = Napi::Array::New(env, failures.size());
    for (std::size_t i = 0; i < failures.size(); i++) said.Set(static_cast<std::uint32_t>(i), failures[i]);
    object.Set("failures", said);
    return object;
  });
}

napi_value WorldWatch(napi_env env, napi_callback_info info) {
  return Guard(env, [&]() -> napi_value {
    const Args args(env, info);
    double seconds = 0;
    if (napi_get_value_double(env, args[1], &seconds) != napi_ok || !(seconds > 0))
      Malform(kWhat, "seconds above 0", "something else");
    World::instance().Watch(StringsOf(env, args[0]), seconds, Napi::Value(env, args[2]).ToBoolean());
    return nullptr;
  });
}

napi_value WorldCollective(napi_env env, napi_callback_info info) {
  return Guard(env, [&]() -> napi_value {
    const Args args(env, info);
    World& world = World::instance();
    const auto kind = static_cast<CollectiveKind>(CountOf(env, args[0], kWhat, 3));
    const auto channel = static_cast<World::Channel>(CountOf(env, args[1], kWhat, World::kChannels - 1));
    const int root = static_cast<int>(CountOf(env, args[2], kWhat, world.size() - 1));
    const Span span = SpanOf(env, args[3], kWhat);
    if (kind == kSum && span.dtype != Dtype::kFloat32 && span.dtype != Dtype::kFloat64)
      Malform(kWhat, "floating values", "others");
    Dispatcher& dispatcher = Dispatcher::Of(Instance::Of(env));
    auto work = std::make_shared<Collective>(dispatcher, kind, channel, root, span);
    if (kind == kExchange) {
      const std::size_t ranks = static_cast<std::size_t>(world.size());
      const Span counts = WordsOf(env, args[4]);
      if (span.dtype != Dtype::kBool || counts.length != 2 * world.size()) Malform(kWhat, "bytes and two counts a rank", "others");
      std::vector<std::size_t> going = CountsFrom(counts, 0, ranks);
      std::vector<std::size_t> coming = CountsFrom(counts, ranks, ranks);
      std::size_t bytes = 0;
      for (const std::size_t count : going) bytes += count;
      const std::size_t own = static_cast<std::size_t>(world.rank());
      if (bytes != span.bytes() || going[own] != coming[own]) Malform(kWhat, "as many bytes as the counts say", "others");
      work->Part(std::move(going), std::move(coming));
    }
    const napi_value promise = work->Promise(env);
    dispatcher.Begin(work);
    try {
      QueueOf(channel).Add(work);
    } catch (const std::system_error& error) {
      dispatcher.Forget(work.get());
      throw Coded("ERR_MEMORY", std::string("world: a thread could not be started: ") + error.what());
    }
    return promise;
  });
}

napi_value WorldAbort(napi_env env, napi_callback_info info) {
  return Guard(env, [&]() -> napi_value {
    const Args args(env, info);
    World& world = World::instance();
    if (!world.begun()) return nullptr;
    world.Abort(StringOf(env, args[0]), static_cast<int>(CountOf(env, args[1], kWhat, 255)));
  });
}

napi_value WorldFinalize(napi_env env, napi_callback_info info) {
  return Guard(env, [&]() -> napi_value {
    const Args args(env, info);
    World::instance().Finalize(Napi::Value(env, args[0]).ToBoolean());
    return nullptr;
  });
}

napi_value WorldWaits(napi_env env, napi_callback_info) {
  return Guard(env, [&]() -> napi_value { return Napi::Boolean::New(env, World::instance().waiting()); });
}

}  // namespace wengert
