#include "handles.h"

#include <atomic>

#include "../program/pool.h"
#include "../program/words.h"
#include "eager.h"
#include "errors.h"

namespace wengert {

namespace {

// Environments that may use the pool; the last to go takes its threads along, since the library may then be unloaded.
std::atomic<int> environments{0};

const char* NameOf(HandleKind kind) {
  switch (kind) {
    case HandleKind::kProgram: return "a compiled program";
    case HandleKind::kState: return "a state";
    default: return "a runner";
  }
}

using Kept = std::shared_ptr<Instance>;

}  // namespace

Instance::Instance(napi_env env) : env_(env), eager_(std::make_unique<EagerCache>()) {}

Instance::~Instance() = default;

void Instance::CleanUp(void* argument) {
  static_cast<Instance*>(argument)->closing_ = true;
  if (environments.fetch_sub(1) == 1) Pool::instance().Stop();
}

void Instance::Create(napi_env env) {
  auto kept = std::make_unique<Kept>(std::make_shared<Instance>(env));
  Instance* const instance = kept->get();
  const auto forget = [](napi_env, void* data, void*) { delete static_cast<Kept*>(data); };
  Check(env, napi_set_instance_data(env, kept.get(), forget, nullptr));
  kept.release();
  environments.fetch_add(1);
  Check(env, napi_add_env_cleanup_hook(env, CleanUp, instance));
}

Instance& Instance::Of(napi_env env) {
  void* data = nullptr;
  if (napi_get_instance_data(env, &data) != napi_ok || data == nullptr) {
    throw Coded("ERR_BACKEND", "native: this environment (a process or a worker) is ending");
  }
  return **static_cast<Kept*>(data);
}

void Accounting::Set(std::size_t bytes) {
  const std::int64_t change = static_cast<std::int64_t>(bytes) - bytes_;
  if (change == 0 || instance_->closing()) return;
  bytes_ += change;
  std::int64_t total;
  napi_adjust_external_memory(instance_->env(), change, &total);
}

Handle::Handle(Instance& instance, HandleKind kind) : accounting_(instance), kind_(kind) {
  instance.living().insert(this);
}

Handle::~Handle() { instance().living().erase(this); }

void Handle::Release() {
  instance().living().erase(this);
  Free();
  Account(0);
}

napi_value Handle::Give(napi_env env, std::unique_ptr<Handle> handle) {
  napi_value value;
  const auto forget = [](napi_env, void* data, void*) { delete static_cast<Handle*>(data); };
  Check(env, napi_create_external(env, handle.get(), forget, nullptr, &value));
  handle.release();
  return value;
}

Handle& Handle::Take(Instance& instance, napi_value value, HandleKind kind) {
  void* data = nullptr;
  if (napi_get_value_external(instance.env(), value, &data) == napi_ok && instance.living().count(data) > 0) {
    Handle& handle = *static_cast<Handle*>(data);
    if (handle.kind() == kind) return handle;
  }
  Malform("native", NameOf(kind), "something else");
}

}  // namespace wengert
