// Compiling programs, and running them in one call on the JavaScript thread.
#include <algorithm>
#include <limits>

#include "../mpi/world.h"
#include "../program/pool.h"
#include "boundary.h"
#include "errors.h"
#include "values.h"

namespace wengert {

namespace {

const char* const kWhat = "program";

// Nobody abandons a synchronous run.
const std::atomic<bool> kNever{false};

// The state's block, checked to be one that the program can run on now; null where none is given and none is needed.
State* StateFor(const Program& program, Instance& instance, napi_value value) {
  if (IsUndefined(instance.env(), value)) {
    if (program.state_bytes > 0) Malform(kWhat, "a state of " + std::to_string(program.state_bytes) + " bytes", "none");
    return nullptr;
  }
  State& state = *TakeState(instance, value).state;
  if (state.bytes() < static_cast<std::size_t>(program.state_bytes)) {
    Malform(kWhat, "a state of " + std::to_string(program.state_bytes) + " bytes or more",
            std::to_string(state.bytes()));
  }
  if (state.busy()) {
    throw Coded("ERR_BUSY", "program: a runner is working on this state; wait until it has ended");
  }
  return &state;
}

// Checks the inputs given (from argument `first` on) and notes their memory.
void AttachArrays(napi_env env, const Program& program, const Args& args, std::size_t first,
                  std::vector<void*>& arrays) {
  const std::size_t given = args.count() > first ? args.count() - first : 0;
  if (given != program.inputs.size()) {
    Malform(kWhat, std::to_string(program.inputs.size()) + " inputs", std::to_string(given));
  }
  arrays.clear();
  std::vector<Span> spans;
  bool writes = false;
  for (const ProgramInput& input : program.inputs) writes = writes || input.writable;
  for (std::size_t i = 0; i < given; i++) {
    const ProgramInput& input = program.inputs[i];
    const Span span = SpanOf(env, args[first + i], kWhat);
    if (span.dtype != input.dtype) Malform(kWhat, "input " + std::to_string(i) + " of its type", "another");
    if (span.length < input.length) {
      Malform(kWhat, std::to_string(input.length) + " elements or more for input " + std::to_string(i),
              std::to_string(span.length));
    }
    arrays.push_back(span.data);
    if (writes) spans.push_back(span);
  }
  for (std::size_t w = 0; w < spans.size(); w++) {
    if (!program.inputs[w].writable) continue;
    const std::uintptr_t start = reinterpret_cast<std::uintptr_t>(spans[w].data);
    for (std::size_t i = 0; i < spans.size(); i++) {
      const std::uintptr_t other = reinterpret_cast<std::uintptr_t>(spans[i].data);
      if (i != w && start < other + spans[i].bytes() && other < start + spans[w].bytes()) {
        Malform(kWhat, "the writable input " + std::to_string(w) + " apart from the others",
                "memory of input " + std::to_string(i));
      }
    }
  }
}

void MakeReady(ProgramHandle& handle) {
  if (handle.binding) return;
  const Program& program = *handle.program;
  const bool shared = program.meets && World::instance().shares();
  if (!handle.arena) handle.arena = shared ? Memory::Shared(program.scratch_bytes()) : Memory(program.scratch_bytes());
  handle.row.resize(static_cast<std::size_t>(program.report));
  handle.binding = std::make_unique<Binding>(handle.program, handle.arena.data(), handle.row.data(), &Pool::instance());
  handle.Account(handle.arena.bytes());
}

}  // namespace

napi_value CompileProgram(napi_env env, napi_callback_info info) {
  return Guard(env, [&]() -> napi_value {
    const Args args(env, info);
    const Span words = WordsOf(env, args[0]);
    auto program = Program::Parse(static_cast<const double*>(words.data), static_cast<std::size_t>(words.length));
    return Handle::Give(env, std::make_unique<ProgramHandle>(Instance::Of(env), std::move(program)));
  });
}

napi_value RunProgram(napi_env env, napi_callback_info info) {
  return Guard(env, [&]() -> napi_value {
    const Args args(env, info);
    Instance& instance = Instance::Of(env);
    ProgramHandle& handle = TakeProgram(instance, args[0]);
    const Program& program = *handle.program;
    State* const state = StateFor(program, instance, args[1]);
    double* report = nullptr;
    if (!IsUndefined(env, args[2])) {
      const Span span = SpanOf(env, args[2], kWhat);
      if (span.dtype != Dtype::kFloat64 || span.length < program.report) {
        Malform(kWhat, "a report of " + std::to_string(program.report) + " float64 entries",
                std::to_string(span.length));
      }
      report = static_cast<double*>(span.data);
    }
    AttachArrays(env, program, args, 3, handle.arrays);
    MakeReady(handle);
    Binding& binding = *handle.binding;
    if (state != nullptr) binding.AttachState(state->data());
    binding.AttachInputs(handle.arrays.data(), nullptr);
    std::fill(handle.row.begin(), handle.row.end(), 0.0);
    const RunOutcome outcome = binding.Run(kNever);
    if (state != nullptr) state->Changed();
    if (outcome == RunOutcome::kBadIndex) {
      const std::size_t step = binding.stopped_at();
      const char* const kernel = KernelName(program.steps[step].kernel);
      throw IndexError(std::string(kernel) + " (step " + std::to_string(step) + ")", binding.bad_index());
    }
    if (outcome == RunOutcome::kElsewhere) {
      throw Coded("ERR_DISTRIBUTED", "another rank could not make its part of this update, which is made by none");
    }
    if (report != nullptr) {
      for (std::size_t i = 0; i < handle.row.size(); i++) report[i] += handle.row[i];
    }
    if (outcome == RunOutcome::kNonFinite) {
      Coded error("ERR_DIVERGED", "program: expected a finite cost, got " + TextOf(handle.row[0]));
      error.actual = handle.row[0];
      throw error;
    }
    return nullptr;
  });
}

napi_value ReleaseProgram(napi_env env, napi_callback_info info) {
  return Guard(env, [&]() -> napi_value {
    const Args args(env, info);
    TakeProgram(Instance::Of(env), args[0]).Release();
    return nullptr;
  });
}

}  // namespace wengert
