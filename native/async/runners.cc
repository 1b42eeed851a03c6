// Runners as JavaScript uses them.
#include <napi.h>

#include <system_error>

#include "../boundary/boundary.h"
#include "../boundary/errors.h"
#include "../boundary/values.h"
#include "async.h"
#include "dispatcher.h"
#include "training_thread.h"

namespace wengert {

namespace {

const char* const kWhat = "runner";

Napi::Object FailureObject(napi_env env, const Failure& failure) {
  Napi::Object object = Napi::Object::New(env);
  const auto set = [&](const char* name, std::int64_t value) { object.Set(name, static_cast<double>(value)); };
  object.Set("kind", failure.index ? "index" : failure.elsewhere ? "elsewhere" : "nonfinite");
  set("program", static_cast<std::int64_t>(failure.program));
  set("epoch", failure.epoch);
  set("run", failure.run);
  set("step", failure.step);
  if (failure.index) {
    set("position", failure.bad.position);
    object.Set("value", failure.bad.value);
    set("size", failure.bad.size);
  }
  return object;
}

Napi::Object ResultObject(napi_env env, const Runner& runner) {
  const BlockResult& result = runner.result();
  const char* const status = result.status == BlockStatus::kDone        ? "done"
                             : result.status == BlockStatus::kCancelled ? "cancelled"
                                                                        : "failed";
  const std::size_t entries = static_cast<std::size_t>(result.rows) * runner.report_entries();
  Napi::Float64Array report = Napi::Float64Array::New(env, entries);
  std::copy(runner.report(), runner.report() + entries, report.Data());
  Napi::Object object = Napi::Object::New(env);
  object.Set("status", status);
  object.Set("epochs", static_cast<double>(result.epochs));
  object.Set("runs", static_cast<double>(result.runs));
  object.Set("kept", static_cast<double>(result.kept));
  object.Set("report", report);
  if (result.status == BlockStatus::kFailed) object.Set("failure", FailureObject(env, result.failure));
  return object;
}

// A runner with its thread. Belongs to the JavaScript thread; while a block runs, the dispatcher keeps it alive too, so
// a runner that JavaScript forgets finishes its block first.
class RunnerHost final : public Pending, public std::enable_shared_from_this<RunnerHost> {
 public:
  RunnerHost(Instance& instance, std::shared_ptr<State> state, std::vector<std::shared_ptr<const Program>> programs,
             std::vector<RunnerArray> arrays)
      : accounting_(instance), runner_(std::move(state), std::move(programs), std::move(arrays)) {
    Account();
  }

  ~RunnerHost() override { Release(); }

  // Keeps an array over shared memory alive as long as the runner.
  void Borrow(napi_value array) {
    napi_ref reference;
    Check(env(), napi_create_reference(env(), array, 1, &reference));
    borrowed_.push_back(reference);
  }

  napi_value Run(Block block) {
    if (closed_) Malform(kWhat, "an open runner", "a closed one");
    if (runner_.state().busy()) {
      throw Coded("ERR_BUSY", "runner: another runner is working on this state; wait until it has ended");
    }
    Dispatcher& dispatcher = Dispatcher::Of(accounting_.instance());
    if (!thread_) StartThread();
    runner_.Begin(std::move(block));
    napi_value promise;
    const napi_status status = napi_create_promise(env(), &deferred_, &promise);
    if (status != napi_ok) {
      runner_.End();
      Check(env(), status);
    }
    dispatcher_ = &dispatcher;
    running_ = true;
    Account();
    dispatcher.Begin(shared_from_this());
    thread_->Start();
    return promise;
  }

  void Settle(napi_env env) override {
    running_ = false;
    runner_.End();
    napi_value value = nullptr;
    bool fulfilled = true;
    try {
      value = ResultObject(env, runner_);
    } catch (...) {
      fulfilled = false;
      value = CurrentError(env);
    }
    runner_.ReleaseReport();
    if (closed_) Release();
    Account();
    if (value != nullptr) {
      Check(env,
            fulfilled ? napi_resolve_deferred(env, deferred_, value) : napi_reject_deferred(env, deferred_, value));
    }
  }

  void Abandon() override { thread_->Stop(); }

  void Cancel() { runner_.Cancel(); }

  void Close() {
    closed_ = true;
    runner_.Cancel();
    if (running_) return;
    Release();
    Account();
  }

  Runner::Progress progress() const { return runner_.progress(); }

 private:
  napi_env env() const { return accounting_.instance().env(); }

  void StartThread() {
    const auto finished = [](void* argument) {
      RunnerHost* const self = static_cast<RunnerHost*>(argument);
      self->dispatcher_->Finished(self);
    };
    try {
      thread_ = std::make_unique<TrainingThread>(runner_, finished, this);
    } catch (const std::system_error& error) {
      throw Coded("ERR_MEMORY", std::string("runner: a thread could not be started: ") + error.what());
    }
  }

  void Account() {
    if (closed_ && !running_) return accounting_.Set(0);
    const std::size_t snapshots = thread_ ? 2 * runner_.state().bytes() : 0;
    accounting_.Set(runner_.footprint() + snapshots);
  }

  // Joins the thread (idle, or abandoned) and lets go of the arrays.
  void Release() {
    thread_.reset();
    if (!running_) runner_.Free();
    if (!accounting_.instance().closing()) {
      for (const napi_ref reference : borrowed_) napi_delete_reference(env(), reference);
    }
    borrowed_.clear();
  }

  Accounting accounting_;
  Runner runner_;
  std::vector<napi_ref> borrowed_;
  Dispatcher* dispatcher_ = nullptr;
  napi_deferred deferred_ = nullptr;
  bool running_ = false;
  bool closed_ = false;
  std::unique_ptr<TrainingThread> thread_;  // last: it is the first to go
};

class RunnerHandle : public Handle {
 public:
  RunnerHandle(Instance& instance, std::shared_ptr<RunnerHost> host)
      : Handle(instance, HandleKind::kRunner), host(std::move(host)) {}

  std::shared_ptr<RunnerHost> host;
};

RunnerHost& TakeRunner(napi_env env, napi_value value) {
  return *static_cast<RunnerHandle&>(Handle::Take(Instance::Of(env), value, HandleKind::kRunner)).host;
}

}  // namespace

napi_value CreateRunner(napi_env env, napi_callback_info info) {
  return Guard(env, [&]() -> napi_value {
    const Args args(env, info);
    Instance& instance = Instance::Of(env);
    const std::shared_ptr<State>& state = TakeState(instance, args[0]).state;
    std::vector<std::shared_ptr<const Program>> programs;
    std::uint32_t count = 0;
    if (napi_get_array_length(env, args[1], &count) != napi_ok)
      Malform(kWhat, "an array of programs", "something else");
    for (std::uint32_t i = 0; i < count; i++) {
      napi_value value;
      Check(env, napi_get_element(env, args[1], i, &value));
      programs.push_back(TakeProgram(instance, value).program);
    }
    std::vector<RunnerArray> arrays;
    std::vector<napi_value> shared;
    for (std::size_t i = 2; i < args.count(); i++) {
      if (IsUndefined(env, args[i])) {
        arrays.emplace_back();
        continue;
      }
      const Span span = SpanOf(env, args[i], kWhat);
      if (IsShared(env, args[i])) {
        arrays.push_back(RunnerArray::Borrowed(span.dtype, span.length, span.data));
        shared.push_back(args[i]);
      } else {
        arrays.push_back(RunnerArray::Copied(span.dtype, span.length, span.data));
      }
    }
    auto host = std::make_shared<RunnerHost>(instance, state, std::move(programs), std::move(arrays));
    for (const napi_value array : shared) host->Borrow(array);
    return Handle::Give(env, std::make_unique<RunnerHandle>(instance, std::move(host)));
  });
}

napi_value RunBlock(napi_env env, napi_callback_info info) {
  return Guard(env, [&]() -> napi_value {
    const Args args(env, info);
    RunnerHost& host = TakeRunner(env, args[0]);
    const Span words = WordsOf(env, args[1]);
    Block block = Block::Parse(static_cast<const double*>(words.data), static_cast<std::size_t>(words.length));
    for (std::size_t i = 2; i < args.count(); i++) {
      block.windows.emplace_back();
      if (IsUndefined(env, args[i])) continue;
      const Span span = SpanOf(env, args[i], kWhat);
      block.windows.back() = RunnerArray::Copied(span.dtype, span.length, span.data);
    }
    return host.Run(std::move(block));
  });
}

napi_value CancelRunner(napi_env env, napi_callback_info info) {
  return Guard(env, [&]() -> napi_value {
    const Args args(env, info);
    TakeRunner(env, args[0]).Cancel();
    return nullptr;
  });
}

napi_value RunnerProgress(napi_env env, napi_callback_info info) {
  return Guard(env, [&]() -> napi_value {
    const Args args(env, info);
    const Runner::Progress progress = TakeRunner(env, args[0]).progress();
    const Span out = SpanOf(env, args[1], kWhat);
    if (out.dtype != Dtype::kFloat64 || out.length < 3) Malform(kWhat, "a Float64Array of 3 elements", "another array");
    double* const to = static_cast<double*>(out.data);
    to[0] = static_cast<double>(progress.runs);
    to[1] = static_cast<double>(progress.epochs);
    to[2] = progress.cost;
    return nullptr;
  });
}

napi_value AbandonAll(napi_env env, napi_callback_info) {
  return Guard(env, [&]() -> napi_value {
    TrainingThread::AbandonAll();
    return nullptr;
  });
}

napi_value CloseRunner(napi_env env, napi_callback_info info) {
  return Guard(env, [&]() -> napi_value {
    const Args args(env, info);
    TakeRunner(env, args[0]).Close();
    return nullptr;
  });
}

}  // namespace wengert
