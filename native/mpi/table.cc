#include "table.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <thread>

#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>
#endif

namespace wengert {

namespace {

constexpr std::size_t kSettings = 4;
constexpr std::size_t kLine = 64;
constexpr std::int64_t kBlock = 1024;  // numbers that are added up at a time
constexpr int kSpins = 1000;
constexpr int kYields = 2000;

void Spin() {
#if defined(__x86_64__) || defined(__i386__)
  _mm_pause();
#endif
}

// Numbers `from` … `to` − 1 of all ranks' arrays become their sums.
template <class T>
void AddUp(const std::vector<char*>& arrays, std::int64_t from, std::int64_t to) {
  T sums[kBlock];
  for (std::int64_t at = from; at < to; at += kBlock) {
    const std::int64_t n = std::min(kBlock, to - at);
    const auto array = [&](std::size_t r) { return reinterpret_cast<T*>(arrays[r]) + at; };
    const T* const a = array(0);
    const T* const b = array(1);
    for (std::int64_t i = 0; i < n; i++) sums[i] = a[i] + b[i];
    for (std::size_t r = 2; r < arrays.size(); r++) {
      const T* const c = array(r);
      for (std::int64_t i = 0; i < n; i++) sums[i] += c[i];
    }
    for (std::size_t r = 0; r < arrays.size(); r++) std::memcpy(array(r), sums, static_cast<std::size_t>(n) * sizeof(T));
  }
}

}  // namespace

struct Table::Seat {
  alignas(2 * kLine) std::atomic<std::uint64_t> met;
  // Of the sum that it has come for; written before it meets the others.
  SharedPlace place;
  std::int64_t length;
  bool doubles, lost;
};

bool Table::Lay(int rank, int ranks, const Announce& announce, const Agree& agree) {
  static_assert(std::atomic<std::uint64_t>::is_always_lock_free, "processes cannot share a lock");
  rank_ = static_cast<std::size_t>(rank);
  ranks_ = static_cast<std::size_t>(ranks);
  const std::size_t bytes = ranks_ * sizeof(Seat);
  SharedPlace place;
  if (rank == 0) {
    seats_ = static_cast<Seat*>(ShareMemory(bytes));
    if (seats_ != nullptr) place = PlaceOf(seats_, bytes);
  }
  if (!announce(place)) return false;
  if (rank != 0 && place.block != 0 && place.bytes == bytes) seats_ = reinterpret_cast<Seat*>(MapShared(place));
  if (!agree(seats_ != nullptr)) seats_ = nullptr;
  return seats_ != nullptr;
}

bool Table::Meet(bool yields, const std::atomic<bool>& leaving) {
  met_++;
  seats_[rank_].met.store(met_, std::memory_order_release);
  int polls = yields ? kSpins : 0;
  for (std::size_t r = 0; r < ranks_; r++) {
    for (; seats_[r].met.load(std::memory_order_acquire) < met_; polls++) {
      if (leaving.load(std::memory_order_relaxed)) return false;
      if (polls < kSpins) {
        Spin();
      } else if (polls < kSpins + kYields) {
        std::this_thread::yield();
      } else {
        std::this_thread::sleep_for(std::chrono::microseconds(50));
      }
    }
  }
  return true;
}

void Table::Clear(Setting& setting) {
  for (std::size_t r = 0; r < ranks_; r++)
    if (r != rank_ && setting.blocks[r] != nullptr) UnmapShared(setting.blocks[r], setting.places[r].bytes);
}

// The blocks of all ranks in this process's memory.
const Table::Setting* Table::SettingOf(const std::vector<SharedPlace>& places, bool& fresh) {
  const auto same = [&](const Setting& one) {
    return std::equal(places.begin(), places.end(), one.places.begin(), [](const auto& a, const auto& b) { return a.block == b.block; });
  };
  const auto found = std::find_if(settings_.begin(), settings_.end(), same);
  fresh = found == settings_.end();
  if (!fresh) {
    std::rotate(settings_.begin(), found, found + 1);
    return &settings_.front();
  }
  if (settings_.size() == kSettings) {
    Clear(settings_.back());
    settings_.pop_back();
  }
  Setting made{places, std::vector<char*>(ranks_)};
  bool whole = true;
  for (std::size_t r = 0; r < ranks_; r++) {
    if (r == rank_) continue;
    made.blocks[r] = MapShared(places[r]);
    whole = whole && made.blocks[r] != nullptr;
  }
  settings_.insert(settings_.begin(), std::move(made));
  return whole ? &settings_.front() : nullptr;
}

Table::Outcome Table::Sum(void* data, std::int64_t length, bool doubles, bool yields, const std::atomic<bool>& leaving) {
  if (seats_ == nullptr) return Outcome::kElsewhere;
  const std::size_t width = doubles ? sizeof(double) : sizeof(float);
  Seat& own = seats_[rank_];
  own.place = PlaceOf(data, static_cast<std::size_t>(length) * width);
  own.length = length;
  own.doubles = doubles;
  own.lost = false;
  if (!Meet(yields, leaving)) return Outcome::kLeft;
  // What follows every rank sees alike, so that all go the same way.
  std::vector<SharedPlace> places(ranks_);
  for (std::size_t r = 0; r < ranks_; r++) {
    const Seat& seat = seats_[r];
    places[r] = seat.place;
    if (seat.place.block == 0 || seat.length != length || seat.doubles != doubles) return Outcome::kElsewhere;
  }
  bool fresh = false;
  const Setting* const setting = SettingOf(places, fresh);
  if (fresh) {
    own.lost = setting == nullptr;
    if (!Meet(yields, leaving)) return Outcome::kLeft;
    bool lost = false;
    for (std::size_t r = 0; r < ranks_; r++) lost = lost || seats_[r].lost;
    if (lost) {
      // For good: one that could not be reached will not be.
      seats_ = nullptr;
      return Outcome::kElsewhere;
    }
  }
  std::vector<char*> arrays(ranks_);
  for (std::size_t r = 0; r < ranks_; r++) {
    arrays[r] = r == rank_ ? static_cast<char*>(data) : setting->blocks[r] + places[r].offset;
  }
  const std::int64_t step = static_cast<std::int64_t>(kLine / width);
  const auto begin = [&](std::size_t r) {
    const std::int64_t lines = (length + step - 1) / step;
    return std::min(length, lines * static_cast<std::int64_t>(r) / static_cast<std::int64_t>(ranks_) * step);
  };
  if (doubles) {
    AddUp<double>(arrays, begin(rank_), begin(rank_ + 1));
  } else {
    AddUp<float>(arrays, begin(rank_), begin(rank_ + 1));
  }
  return Meet(yields, leaving) ? Outcome::kDone : Outcome::kLeft;
}

}  // namespace wengert
