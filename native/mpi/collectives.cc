// What the ranks do together, channel by channel.
#include <algorithm>
#include <cstring>

#include "world.h"

namespace wengert {

namespace {

constexpr int kExchangeTag = 8;
constexpr std::int64_t kMostElements = std::int64_t{1} << 28;
constexpr std::size_t kMostBytes = std::size_t{1} << 30;

}  // namespace

// Notes for the watching thread that a collective is under way.
class World::Waiting {
 public:
  Waiting(World& world, Channel channel) : lock_(world.one_[channel]), since_(world.since_[channel]) {
    world.calls_[channel].fetch_add(1);
    since_.store(Now());
  }
  ~Waiting() { since_.store(0); }

 private:
  std::lock_guard<std::mutex> lock_;
  std::atomic<std::int64_t>& since_;
};

bool World::Gather(Channel channel) {
  std::vector<MpiHandle> requests(1);
  mpi_.Ibarrier(comms_[channel], &requests[0]);
  return Complete(requests);
}

bool World::Complete(std::vector<MpiHandle>& requests, bool spins) {
  for (int polls = 0;; polls++) {
    while (!requests.empty()) {
      int done = 0;
      mpi_.Test(&requests.back(), &done, mpi_.no_status);
      if (done == 0) break;
      requests.pop_back();
    }
    if (requests.empty()) return true;
    if (leaving_.load(std::memory_order_relaxed)) return false;
    if (spins) continue;
    if (polls < 64) {
      std::this_thread::yield();
    } else {
      std::this_thread::sleep_for(std::chrono::microseconds(polls < 256 ? 50 : 500));
    }
  }
}

bool World::Sum(Channel channel, void* data, std::int64_t length, bool doubles) {
  if (size_ == 1) return true;
  const Waiting waiting(*this, channel);
  if (shares()) {
    const Table::Outcome outcome = tables_[channel].Sum(data, length, doubles, yields_, leaving_);
    if (outcome != Table::Outcome::kElsewhere) return outcome == Table::Outcome::kDone;
  }
  // Trainings wait by spinning, which is fastest, unless that takes the processor from whom they wait for.
  if (channel != kTraining || yields_) {
    std::vector<MpiHandle> requests;
    afloat_[channel].fetch_add(1);
    Add(comms_[channel], data, length, doubles, requests);
    if (!Complete(requests)) return false;
    afloat_[channel].fetch_sub(1);
    return true;
  }
  char* at = static_cast<char*>(data);
  for (std::int64_t left = length; left > 0;) {
    const std::int64_t count = std::min(left, kMostElements);
    mpi_.Allreduce(mpi_.in_place, at, static_cast<int>(count), doubles ? mpi_.float64 : mpi_.float32, mpi_.sum, comms_[channel]);
    at += static_cast<std::size_t>(count) * (doubles ? 8 : 4);
    left -= count;
  }
  return true;
}

void World::Add(MpiHandle comm, void* data, std::int64_t length, bool doubles, std::vector<MpiHandle>& requests) {
  char* at = static_cast<char*>(data);
  for (std::int64_t left = length; left > 0;) {
    const std::int64_t count = std::min(left, kMostElements);
    requests.push_back(0);
    mpi_.Iallreduce(mpi_.in_place, at, static_cast<int>(count), doubles ? mpi_.float64 : mpi_.float32, mpi_.sum, comm, &requests.back());
    at += static_cast<std::size_t>(count) * (doubles ? 8 : 4);
    left -= count;
  }
}

void World::Start(Channel channel, void* data, std::int64_t length, bool doubles) {
  if (started_[channel].empty()) afloat_[channel].fetch_add(1);
  Add(started_comms_[channel], data, length, doubles, started_[channel]);
}

bool World::Finish(Channel channel, void* data, std::int64_t length, bool doubles) {
  const Waiting waiting(*this, channel);
  Start(channel, data, length, doubles);
  if (!Complete(started_[channel], !yields_)) return false;
  afloat_[channel].fetch_sub(1);
  return true;
}

void World::Poll(Channel channel) {
  std::vector<MpiHandle>& started = started_[channel];
  int done = 0;
  if (!started.empty()) mpi_.Test(&started.back(), &done, mpi_.no_status);
  if (done != 0 && started.size() > 1) started.pop_back();
}

bool World::afloat() const {
  return std::any_of(std::begin(afloat_), std::end(afloat_), [](const auto& afloat) { return afloat.load() > 0; });
}

bool World::Broadcast(Channel channel, void* data, std::size_t bytes, int root) {
  if (size_ == 1) return true;
  const Waiting waiting(*this, channel);
  std::vector<MpiHandle> requests;
  char* at = static_cast<char*>(data);
  for (std::size_t left = bytes; left > 0;) {
    const std::size_t count = std::min(left, kMostBytes);
    requests.push_back(0);
    mpi_.Ibcast(at, static_cast<int>(count), mpi_.byte, root, comms_[channel], &requests.back());
    at += count;
    left -= count;
  }
  return Complete(requests);
}

bool World::Barrier(Channel channel) {
  if (size_ == 1) return true;
  const Waiting waiting(*this, channel);
  return Gather(channel);
}

bool World::Exchange(Channel channel, const char* from, const std::vector<std::size_t>& going, char* to,
                     const std::vector<std::size_t>& coming) {
  const std::size_t ranks = static_cast<std::size_t>(size_);
  const std::size_t own = static_cast<std::size_t>(rank_);
  std::vector<std::size_t> sent(ranks), received(ranks);  // where each rank's bytes begin
  for (std::size_t r = 1; r < ranks; r++) {
    sent[r] = sent[r - 1] + going[r - 1];
    received[r] = received[r - 1] + coming[r - 1];
  }
  if (going[own] > 0) std::memcpy(to + received[own], from + sent[own], going[own]);
  if (size_ == 1) return true;
  const Waiting waiting(*this, channel);
  if (!Gather(channel)) return false;
  std::vector<MpiHandle> requests;
  // Each begins with its neighbour, so that not all send to the same one. Receives come first: what arrives has a place.
  for (const bool sends : {false, true}) {
    for (std::size_t step = 1; step < ranks; step++) {
      const std::size_t peer = (sends ? own + step : own + ranks - step) % ranks;
      const std::size_t begin = sends ? sent[peer] : received[peer];
      const std::size_t end = begin + (sends ? going[peer] : coming[peer]);
      for (std::size_t at = begin; at < end; at += kMostBytes) {
        const int count = static_cast<int>(std::min(end - at, kMostBytes));
        requests.push_back(0);
        if (sends) {
          mpi_.Isend(from + at, count, mpi_.byte, static_cast<int>(peer), kExchangeTag, comms_[channel], &requests.back());
        } else {
          mpi_.Irecv(to + at, count, mpi_.byte, static_cast<int>(peer), kExchangeTag, comms_[channel], &requests.back());
        }
      }
    }
  }
  return Complete(requests);
}

}  // namespace wengert
