// Brings finished blocks from the training threads to the JavaScript thread of one environment, through one thread-safe
// function. While a block runs, it keeps the process alive; else it does not.
//
// All but Finished belongs to the JavaScript thread.
#pragma once

#include <node_api.h>

#include <memory>
#include <unordered_set>

#include "../boundary/handles.h"

namespace wengert {

// A piece of work that ends on the JavaScript thread.
class Pending {
 public:
  virtual ~Pending() = default;
  // On the JavaScript thread, once for each time that Finished was told.
  virtual void Settle(napi_env env) = 0;
  // On the JavaScript thread: the environment goes down. Stops the thread; nothing is settled any more.
  virtual void Abandon() = 0;
};

class Dispatcher {
 public:
  // The environment's own; made at first use.
  static Dispatcher& Of(Instance& instance);

  explicit Dispatcher(Instance& instance);

  // Keeps the work alive until it has settled.
  void Begin(std::shared_ptr<Pending> work);
  // Takes back Begin.
  void Forget(Pending* work);

  // On any thread: the work has come to its end.
  void Finished(Pending* work) { napi_call_threadsafe_function(function_, work, napi_tsfn_nonblocking); }

 private:
  static void Call(napi_env env, napi_value callback, void* context, void* data);
  static void CleanUp(void* argument);

  Instance& instance_;
  napi_threadsafe_function function_ = nullptr;
  std::unordered_set<std::shared_ptr<Pending>> running_;
};

}  // namespace wengert
