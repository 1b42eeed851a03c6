#include "dispatcher.h"

#include <algorithm>

#include "../boundary/errors.h"

namespace wengert {

Dispatcher& Dispatcher::Of(Instance& instance) {
  if (!instance.threads) instance.threads = std::make_shared<Dispatcher>(instance);
  return *static_cast<Dispatcher*>(instance.threads.get());
}

Dispatcher::Dispatcher(Instance& instance) : instance_(instance) {
  const napi_env env = instance.env();
  napi_value name;
  Check(env, napi_create_string_utf8(env, "wengert", NAPI_AUTO_LENGTH, &name));
  Check(env,
        napi_create_threadsafe_function(env, nullptr, nullptr, name, 0, 1, nullptr, nullptr, this, Call, &function_));
  Check(env, napi_unref_threadsafe_function(env, function_));
  // Hooks run in reverse order: this one before those of the function just made, so that no thread is left to call it.
  Check(env, napi_add_env_cleanup_hook(env, CleanUp, this));
}

void Dispatcher::Begin(std::shared_ptr<Pending> work) {
  running_.insert(std::move(work));
  if (running_.size() == 1) napi_ref_threadsafe_function(instance_.env(), function_);
}

void Dispatcher::Forget(Pending* work) {
  const auto same = [work](const std::shared_ptr<Pending>& other) { return other.get() == work; };
  const auto found = std::find_if(running_.begin(), running_.end(), same);
  if (found == running_.end()) return;
  const std::shared_ptr<Pending> last = *found;
  running_.erase(found);
  if (running_.empty() && !instance_.closing()) napi_unref_threadsafe_function(instance_.env(), function_);
}

// On the JavaScript thread. Without an environment there is nothing left to settle.
void Dispatcher::Call(napi_env env, napi_value, void* context, void* data) {
  if (env == nullptr) return;
  Dispatcher& self = *static_cast<Dispatcher*>(context);
  Pending* const work = static_cast<Pending*>(data);
  const auto same = [work](const std::shared_ptr<Pending>& other) { return other.get() == work; };
  const auto found = std::find_if(self.running_.begin(), self.running_.end(), same);
  if (found == self.running_.end()) return;
  const std::shared_ptr<Pending> kept = *found;
  self.Forget(work);
  Guard(env, [&]() -> napi_value {
    kept->Settle(env);
    return nullptr;
  });
}

void Dispatcher::CleanUp(void* argument) {
  Dispatcher& self = *static_cast<Dispatcher*>(argument);
  for (const std::shared_ptr<Pending>& work : self.running_) work->Abandon();
  self.running_.clear();
}

}  // namespace wengert
