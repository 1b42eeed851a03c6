#include "world.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#if !defined(_WIN32)
#include <csignal>
#include <unistd.h>
#endif
#include <system_error>

namespace wengert {

namespace {

constexpr int kMultiple = 3;  // MPI_THREAD_MULTIPLE
constexpr int kNoteTag = 7;
constexpr int kExchangeTag = 8;
enum NoteKind : std::int32_t { kWaits = 0, kElsewhere = 1, kLeft = 2 };

constexpr std::int64_t kMostElements = std::int64_t{1} << 28;
constexpr std::size_t kMostBytes = std::size_t{1} << 30;
constexpr std::chrono::milliseconds kRead{250};
constexpr std::chrono::milliseconds kLook{100};
constexpr double kLeftSeconds = 2;  // for one that has left
constexpr std::chrono::milliseconds kAnswer{800};  // for the others' notes
constexpr std::chrono::milliseconds kAbort{2000};  // in which MPI has to have ended this process
constexpr std::chrono::seconds kFinalize{10};  // likewise, once all ranks have come to their end
constexpr std::chrono::milliseconds kInstead{1500};  // until another rank ends the world in the place of the first

std::int64_t Now() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

void Say(const std::string& text) {
#if defined(_WIN32)
  std::fputs(text.c_str(), stderr);
#else
  std::size_t at = 0;
  while (at < text.size()) {
    const ssize_t wrote = write(2, text.data() + at, text.size() - at);
    if (wrote <= 0) return;
    at += static_cast<std::size_t>(wrote);
  }
#endif
}

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

// Never destroyed: threads may use it while the process exits.
World& World::instance() {
  static World* const world = new World();
  return *world;
}

bool World::Begin(const std::vector<std::string>& files, std::vector<std::string>& failures) {
  if (begun()) return true;
  if (!mpi_.Open(files, failures)) return false;
  int before = 0;
  mpi_.Initialized(&before);
  if (before != 0) {
    failures.push_back(mpi_.file + ": MPI was begun by something else in this process");
    return false;
  }
  int level = 0;
  mpi_.InitThread(nullptr, nullptr, kMultiple, &level);
  concurrent_ = level >= kMultiple;
  mpi_.CommRank(mpi_.world, &rank_);
  mpi_.CommSize(mpi_.world, &size_);
  for (MpiHandle& comm : comms_) mpi_.CommDup(mpi_.world, &comm);
  mpi_.CommDup(mpi_.world, &notes_);
  begun_.store(true, std::memory_order_release);
  return true;
}

void World::Watch(std::vector<std::string> hosts, double stall_seconds, bool yields) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    hosts_ = std::move(hosts);
  }
  yields_.store(yields);
  if (size_ == 1) return;
  if (!hosts_.empty()) LayTables();
  if (watching_.joinable()) return;
  // MPI holds on to what is being sent: these never move.
  sent_.reserve(static_cast<std::size_t>(size_) * 8);
  sends_.reserve(sent_.capacity());
  heard_.assign(static_cast<std::size_t>(size_), Note{-1, -1, -1, 0, -1});
#if !defined(_WIN32)
  // Signals are the main thread's.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
#endif
  watching_ = std::thread([this, stall_seconds] { Live(stall_seconds); });
  if (concurrent_) corresponding_ = std::thread([this] { Correspond(); });
#if !defined(_WIN32)
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
#endif
}

// All on one host add up in each other's memory. All ranks come here.
void World::LayTables() {
  const char* const wanted = std::getenv("WENGERT_SHARED_MEMORY");
  const bool may = (wanted == nullptr || std::strcmp(wanted, "0") != 0) &&
                   std::all_of(hosts_.begin(), hosts_.end(), [this](const std::string& host) { return host == hosts_.front(); });
  const auto agree = [this](bool own) {
    double refused = own ? 0 : 1;
    return Sum(kControl, &refused, 1, true) && refused == 0;
  };
  const auto announce = [this](SharedPlace& place) { return Broadcast(kControl, &place, sizeof(place), 0); };
  if (!agree(may)) return;
  bool all = true;
  for (const Channel channel : {kTraining, kUser}) all = tables_[channel].Lay(rank_, size_, announce, agree) && all;
  shares_.store(all, std::memory_order_release);
}

std::string World::Version() const {
  char text[8192] = {};
  int length = 0;
  if (mpi_.LibraryVersion != nullptr) mpi_.LibraryVersion(text, &length);
  const char* const end = std::find_if(text, text + sizeof(text) - 1, [](char c) { return c == '\n' || c == '\0'; });
  return std::string(text, static_cast<std::size_t>(end - text));
}

bool World::Gather(Channel channel) {
  std::vector<MpiHandle> requests(1);
  mpi_.Ibarrier(comms_[channel], &requests[0]);
  return Complete(requests);
}

bool World::Complete(std::vector<MpiHandle>& requests) {
  for (int polls = 0;; polls++) {
    while (!requests.empty()) {
      int done = 0;
      mpi_.Test(&requests.back(), &done, mpi_.no_status);
      if (done == 0) break;
      requests.pop_back();
    }
    if (requests.empty()) return true;
    if (leaving_.load(std::memory_order_relaxed)) return false;
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
  if ((channel != kTraining || yields_) && !Gather(channel)) return false;
  char* at = static_cast<char*>(data);
  for (std::int64_t left = length; left > 0;) {
    const std::int64_t count = std::min(left, kMostElements);
    mpi_.Allreduce(mpi_.in_place, at, static_cast<int>(count), doubles ? mpi_.float64 : mpi_.float32, mpi_.sum, comms_[channel]);
    at += static_cast<std::size_t>(count) * (doubles ? 8 : 4);
    left -= count;
  }
  return true;
}

bool World::Broadcast(Channel channel, void* data, std::size_t bytes, int root) {
  if (size_ == 1) return true;
  const Waiting waiting(*this, channel);
  if (!Gather(channel)) return false;
  char* at = static_cast<char*>(data);
  for (std::size_t left = bytes; left > 0;) {
    const std::size_t count = std::min(left, kMostBytes);
    mpi_.Bcast(at, static_cast<int>(count), mpi_.byte, root, comms_[channel]);
    at += count;
    left -= count;
  }
  return true;
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

bool World::waiting() const {
  return std::any_of(std::begin(since_), std::end(since_), [](const auto& since) { return since.load() != 0; });
}

std::string World::Name(int rank) {
  std::lock_guard<std::mutex> lock(mutex_);
  const std::size_t at = static_cast<std::size_t>(rank);
  return "rank " + std::to_string(rank) + (at < hosts_.size() ? " on " + hosts_[at] : "");
}

void World::Abort(const std::string& reason, int code) {
  // Over a network that is gone MPI may try for ever, and whoever reads stderr may have ended.
  try {
    std::thread([code] {
      std::this_thread::sleep_for(kRead + kAbort);
      std::_Exit(code);
    }).detach();
  } catch (const std::system_error&) {
#if !defined(_WIN32)
    std::signal(SIGALRM, SIG_DFL);
    alarm(std::chrono::ceil<std::chrono::seconds>(kRead + kAbort).count());
#endif
  }
  if (!ended_.exchange(true)) {
    Say("wengert: " + reason + "; all " + std::to_string(size_) + " ranks are ended\n");
    // Launchers drop what they have not yet read when they end the others.
    std::this_thread::sleep_for(kRead);
  }
  mpi_.Abort(mpi_.world, code);
  std::_Exit(code);
}

void World::Finalize(bool ends) {
  if (!begun() || finalized_) return;
  finalized_ = true;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  if (watching_.joinable()) watching_.join();
  if (corresponding_.joinable()) {
    corresponding_.join();
    Part();
  }
  // MPICH over UCX may wait for a connection that its other end has already closed.
  static std::atomic<bool> finished{false};
  if (ends) {
    const std::string name = Name(rank_);
    try {
      std::thread([name] {
        std::this_thread::sleep_for(kFinalize);
        if (finished.load()) return;
        Say("wengert: " + name + " leaves without MPI, which does not finalize; all ranks had come to their end\n");
        std::_Exit(0);
      }).detach();
    } catch (const std::system_error&) {
      // Then it is waited for.
    }
  }
  mpi_.Finalize();
  finished.store(true);
}

// Tells the others that nothing more comes from here, and waits until they have said so: a note that nobody has taken would be
// complained about by MPI.
void World::Part() {
  left_ = true;
  sends_.clear();
  sends_.reserve(static_cast<std::size_t>(size_));
  const Note note{rank_, kLeft, -1, 0, -1};
  for (int to = 0; to < size_; to++) {
    if (to == rank_) continue;
    sends_.push_back(0);
    mpi_.Isend(&note, sizeof(Note), mpi_.byte, to, kNoteTag, notes_, &sends_.back());
  }
  for (int polls = 0;; polls++) {
    Receive();
    bool all = true;
    for (MpiHandle& send : sends_) {
      int done = 0;
      mpi_.Test(&send, &done, mpi_.no_status);
      all = all && done != 0;
    }
    {
      std::lock_guard<std::mutex> lock(mutex_);
      for (int r = 0; r < size_; r++) all = all && (r == rank_ || heard_[static_cast<std::size_t>(r)].kind == kLeft);
    }
    if (all) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(polls < 100 ? 1 : 10));
  }
}

bool World::Pause() {
  std::unique_lock<std::mutex> lock(mutex_);
  return wake_.wait_for(lock, kLook, [this] { return stop_; });
}

// On the watching thread, which calls MPI to abort alone.
void World::Live(double stall_seconds) {
  std::int64_t asked[kChannels] = {};  // the call that was asked about
  std::int64_t asked_at[kChannels] = {};
  while (!Pause()) {
    bool left = false;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      left = std::any_of(heard_.begin(), heard_.end(), [](const Note& note) { return note.kind == kLeft; });
    }
    const double patience = left ? std::min(stall_seconds, kLeftSeconds) : stall_seconds;
    for (int c = 0; c < kChannels; c++) {
      const Channel channel = static_cast<Channel>(c);
      const std::int64_t call = calls(channel);
      const std::int64_t since = since_[c].load();
      const std::int64_t now = Now();
      if (since == 0 || static_cast<double>(now - since) < patience * 1e9) continue;
      if (asked[c] != call) {
        asked[c] = call;
        asked_at[c] = now;
        wanted_[c].store(call);
        continue;
      }
      const std::chrono::nanoseconds gone(now - asked_at[c]);
      if (gone < kAnswer) continue;
      bool first = true;
      const std::string absent = Absent(channel, call, first);
      if (since_[c].load() != since || (!first && gone < kAnswer + kInstead)) continue;
      const double seconds = static_cast<double>(now - since) / 1e9;
      char text[32];
      std::snprintf(text, sizeof(text), "%.0f s", seconds);
      Abort(absent + " (" + Name(rank_) + " has waited for " + text + ")", 1);
    }
  }
}

// On the corresponding thread.
void World::Correspond() {
  std::int64_t asked[kChannels] = {};
  do {
    Receive();
    for (int c = 0; c < kChannels; c++) {
      const std::int64_t call = wanted_[c].load();
      if (call == asked[c]) continue;
      asked[c] = call;
      Ask(static_cast<Channel>(c), call);
    }
  } while (!Pause());
}

// Tells the others that this rank waits.
void World::Ask(Channel channel, std::int64_t call) {
  for (int to = 0; to < size_; to++) {
    if (to == rank_ || sent_.size() == sent_.capacity()) continue;
    sent_.push_back({rank_, kWaits, channel, 0, call});
    sends_.push_back(0);
    mpi_.Isend(&sent_.back(), sizeof(Note), mpi_.byte, to, kNoteTag, notes_, &sends_.back());
  }
}

// Takes the notes of others; to who waits for this rank it is said that there is life here.
void World::Receive() {
  for (;;) {
    int there = 0;
    mpi_.Iprobe(mpi_.any_source, kNoteTag, notes_, &there, mpi_.no_status);
    if (there == 0) return;
    Note note{};
    mpi_.Recv(&note, sizeof(Note), mpi_.byte, mpi_.any_source, kNoteTag, notes_, mpi_.no_status);
    if (note.rank < 0 || note.rank >= size_) continue;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      heard_[static_cast<std::size_t>(note.rank)] = note;
    }
    if (note.kind != kWaits || note.channel < 0 || note.channel >= kChannels) continue;
    const bool same = since_[note.channel].load() != 0 && calls_[note.channel].load() == note.call;
    if (same || left_ || sent_.size() == sent_.capacity()) continue;
    sent_.push_back({rank_, kElsewhere, note.channel, 0, note.call});
    sends_.push_back(0);
    mpi_.Isend(&sent_.back(), sizeof(Note), mpi_.byte, note.rank, kNoteTag, notes_, &sends_.back());
  }
}

// Who has not come, and whether this rank is the first of those that have.
std::string World::Absent(Channel channel, std::int64_t call, bool& first) {
  std::string names;
  for (int r = 0; r < size_; r++) {
    if (r == rank_) continue;
    Note note{};
    {
      std::lock_guard<std::mutex> lock(mutex_);
      note = heard_[static_cast<std::size_t>(r)];
    }
    const bool about = note.channel == channel && note.call == call;
    if (about && note.kind == kWaits) {
      if (r < rank_) first = false;
      continue;
    }
    const char* const how = !concurrent_ ? " may be stalled"
                            : note.kind == kLeft ? " has come to its end while others go on"
                            : about      ? " does something else: a loop without end, a promise never kept, a long callback"
                                         : " does not answer: it is stopped, or cannot be reached";
    names += (names.empty() ? "" : "; ") + Name(r) + how;
  }
  return names.empty() ? "all ranks have come, but MPI does not go on" : names;
}

}  // namespace wengert
