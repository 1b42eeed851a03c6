// What JavaScript holds of C++ objects: an external whose pointer counts only while it is in its environment's list of
// the living, so that no other external, and no dead one, is ever looked into.
//
// Everything here belongs to the JavaScript thread of its environment.
#pragma once

#include <node_api.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <unordered_set>

namespace wengert {

class Handle;
class EagerCache;

// What the addon keeps for one environment (the main thread, or one worker).
class Instance : public std::enable_shared_from_this<Instance> {
 public:
  explicit Instance(napi_env env);
  ~Instance();
  static Instance& Of(napi_env env);
  // Makes the instance of a fresh environment, and has it shut down with it.
  static void Create(napi_env env);

  napi_env env() const { return env_; }
  // Once the environment goes down nothing of it may be called.
  bool closing() const { return closing_; }
  std::unordered_set<const void*>& living() { return living_; }
  EagerCache& eager() { return *eager_; }

  // Room for the part that runs threads: made by whoever needs it first.
  std::shared_ptr<void> threads;

 private:
  static void CleanUp(void* argument);

  napi_env env_;
  bool closing_ = false;
  std::unordered_set<const void*> living_;
  std::unique_ptr<EagerCache> eager_;
};

// Tells the collector how many bytes outside its heap are held.
class Accounting {
 public:
  explicit Accounting(Instance& instance) : instance_(instance.shared_from_this()) {}
  ~Accounting() { Set(0); }
  Accounting(const Accounting&) = delete;
  Accounting& operator=(const Accounting&) = delete;

  void Set(std::size_t bytes);
  Instance& instance() const { return *instance_; }

 private:
  std::shared_ptr<Instance> instance_;
  std::int64_t bytes_ = 0;
};

enum class HandleKind { kProgram, kState, kRunner };

class Handle {
 public:
  Handle(Instance& instance, HandleKind kind);
  virtual ~Handle();
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;

  HandleKind kind() const { return kind_; }
  Instance& instance() const { return accounting_.instance(); }
  // What this object holds outside the collector's heap.
  void Account(std::size_t bytes) { accounting_.Set(bytes); }
  // Frees what the object holds now, without waiting for the collector: no call takes it any more. What a runner still uses of
  // it lives on with the runner.
  void Release();

  // Gives the object to JavaScript; it is deleted with the value.
  static napi_value Give(napi_env env, std::unique_ptr<Handle> handle);
  // ERR_PROGRAM where the value is no living handle of the kind.
  static Handle& Take(Instance& instance, napi_value value, HandleKind kind);

 protected:
  virtual void Free() {}

 private:
  Accounting accounting_;
  HandleKind kind_;
};

}  // namespace wengert
