#include "eager.h"

#include <cstring>

#include "../program/memory.h"
#include "../program/pool.h"
#include "boundary.h"
#include "errors.h"
#include "values.h"

namespace wengert {

namespace {

constexpr std::size_t kHead = 5;

std::uint64_t HashOf(const std::vector<double>& key) {
  std::uint64_t hash = 0x9e3779b97f4a7c15u;
  for (const double& value : key) {
    std::uint64_t bits;
    std::memcpy(&bits, &value, sizeof(bits));
    hash = (hash ^ bits ^ bits >> 29) * 0xbf58476d1ce4e5b9u;
    hash ^= hash >> 32;
  }
  return hash;
}

bool SameBits(const std::vector<double>& a, const std::vector<double>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(double)) == 0;
}

}  // namespace

const EagerCache::Prepared& EagerCache::Find(const double* numbers, std::size_t count,
                                             const std::vector<Operand>& operands) {
  Words head("call", numbers, count);
  head.Numbers("its kernel and operands", 3);
  const std::size_t length = head.Items("ints", 1) + head.Items("scalars", 1);
  // The key is the call from here on: shared memory may change while it is read.
  head.Numbers("ints and scalars", length);
  key_.assign(numbers, numbers + kHead + length);
  for (const Operand& operand : operands) {
    key_.push_back(static_cast<double>(operand.length));
    key_.push_back(static_cast<double>(operand.dtype));
  }
  const std::uint64_t hash = HashOf(key_);
  const auto found = kept_.find(hash);
  if (found != kept_.end() && SameBits(found->second.key, key_)) return found->second;

  Words words("call", key_.data(), kHead + length);
  const std::size_t kernel =
      static_cast<std::size_t>(words.Count("a kernel", static_cast<std::int64_t>(kKernelCount) - 1));
  const char* const name = kKernels[kernel].name;
  const std::size_t outputs = static_cast<std::size_t>(words.Count("outputs", kLargestInteger));
  const std::size_t inputs = static_cast<std::size_t>(words.Count("inputs", kLargestInteger));
  const std::size_t int_count = words.Items("ints", 1);
  const std::size_t scalar_count = words.Items("scalars", 1);
  if (outputs > operands.size() || inputs != operands.size() - outputs) {
    Malform(name, std::to_string(outputs) + " outputs and " + std::to_string(inputs) + " inputs",
            std::to_string(operands.size()) + " arrays");
  }
  words.Integers("ints", int_count, ints_);
  const double* const scalars = words.Numbers("scalars", scalar_count);
  const Call call{operands.data(), outputs,     operands.data() + outputs, inputs, ints_.data(), int_count,
                  scalars,         scalar_count};
  Prepared prepared{key_, name, outputs, kKernels[kernel].prepare(call)};
  if (key_.size() > kLongest) {
    passing_ = std::move(prepared);
    return passing_;
  }
  if (kept_.size() >= kMost) kept_.clear();
  return kept_.insert_or_assign(hash, std::move(prepared)).first->second;
}

napi_value EagerCall(napi_env env, napi_callback_info info) {
  return Guard(env, [&]() -> napi_value {
    const Args args(env, info);
    const Span words = WordsOf(env, args[0]);
    EagerCache& cache = Instance::Of(env).eager();
    const std::size_t count = args.count() > 0 ? args.count() - 1 : 0;
    cache.operands.clear();
    cache.extents.clear();
    cache.pointers.clear();
    for (std::size_t i = 0; i < count; i++) {
      const Span span = SpanOf(env, args[i + 1], "call");
      const Operand operand{span.dtype, span.length};
      cache.operands.push_back(operand);
      cache.extents.push_back({0, reinterpret_cast<std::uintptr_t>(span.data), span.bytes(), operand});
      cache.pointers.push_back(span.data);
    }
    const double* const numbers = static_cast<const double*>(words.data);
    const EagerCache::Prepared& call = cache.Find(numbers, static_cast<std::size_t>(words.length), cache.operands);
    const std::size_t outputs = call.outputs;
    CheckOverlap(call.kernel, *call.instruction, cache.extents.data(), outputs, cache.extents.data() + outputs,
                 count - outputs);
    Context context;
    context.pool = &Pool::instance();
    const std::size_t scratch = call.instruction->Workspace();
    const Memory workspace = scratch > 0 ? Memory(scratch) : Memory();
    context.workspace = workspace.data();
    if (!call.instruction->Run(cache.pointers.data(), context)) throw IndexError(call.kernel, context.bad_index);
    return nullptr;
  });
}

}  // namespace wengert
