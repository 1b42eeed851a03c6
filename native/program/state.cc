#include "state.h"

#include <cstring>

#include "binding.h"

namespace wengert {

State::State(std::size_t bytes, const double* numbers, std::size_t count) {
  Words words("state", numbers, count);
  while (words.left() > 0) {
    const std::int64_t offset = words.Count("the offset of a floating range");
    const std::int64_t length = words.Count("the length of a floating range");
    const Dtype dtype = static_cast<Dtype>(words.Count("a floating dtype", 1));
    const std::int64_t size = static_cast<std::int64_t>(SizeOf(dtype));
    const std::int64_t limit = static_cast<std::int64_t>(bytes);
    if (offset % size != 0 || offset > limit || length > (limit - offset) / size) {
      Malform("state", "floating ranges inside " + std::to_string(bytes) + " bytes",
              std::to_string(length) + " elements at " + std::to_string(offset));
    }
    floats_.push_back({static_cast<std::size_t>(offset), length, dtype});
  }
  block_ = Memory(bytes);
}

void State::Write(std::size_t offset, const void* source, std::size_t bytes) {
  if (bytes > 0) std::memcpy(block_.data() + offset, source, bytes);
  Changed();
}

std::uint64_t State::Read(const std::vector<Copy>& copies) {
  std::unique_lock<std::mutex> lock(exchange_, std::defer_lock);
  if (busy_) lock.lock();
  const char* const from = busy_ && shown_ ? front_.data() : block_.data();
  for (const Copy& copy : copies) {
    if (copy.bytes > 0) std::memcpy(copy.target, from + copy.offset, copy.bytes);
  }
  return version();
}

void State::Changed() { version_.fetch_add(1, std::memory_order_relaxed); }

void State::DropRunner() {
  if (--runners_ > 0 || busy_) return;
  front_ = Memory();
  back_ = Memory();
}

void State::Begin() {
  if (!front_) front_ = Memory(block_.bytes());
  if (!back_) back_ = Memory(block_.bytes());
  good_ = false;
  shown_ = false;
  busy_ = true;
}

void State::End() {
  busy_ = false;
  Changed();
  if (runners_ == 0) {
    front_ = Memory();
    back_ = Memory();
  }
}

bool State::Finite() const {
  for (const FloatRange& range : floats_) {
    if (!AllFinite(block_.data() + range.offset, range.length, range.dtype)) return false;
  }
  return true;
}

bool State::Publish() {
  const bool finite = Finite();
  if (!finite && good_) return false;
  std::memcpy(back_.data(), block_.data(), block_.bytes());
  {
    std::lock_guard<std::mutex> lock(exchange_);
    std::swap(front_, back_);
    good_ = finite;
    shown_ = true;
    version_.fetch_add(1, std::memory_order_relaxed);
  }
  return finite;
}

void State::Restore() {
  // The front is exchanged by this thread alone, so it may be read without the lock.
  if (good_) std::memcpy(block_.data(), front_.data(), block_.bytes());
}

}  // namespace wengert
