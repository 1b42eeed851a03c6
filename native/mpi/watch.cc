// The watch over collectives: one thread looks at the clock, another writes to the other ranks who waits, and where.
#include <algorithm>
#include <cstdio>
#include <deque>
#include <system_error>

#include "world.h"

namespace wengert {

namespace {

constexpr int kNoteTag = 7;
enum NoteKind : std::int32_t { kWaits = 0, kElsewhere = 1, kLeft = 2 };

constexpr std::chrono::milliseconds kLook{100};
constexpr double kLeftSeconds = 2;  // for one that has left
constexpr std::chrono::milliseconds kAnswer{800};  // for the others' notes
constexpr std::chrono::milliseconds kInstead{1500};  // until another rank ends the world in the place of the first

}  // namespace

bool World::waiting() const {
  return afloat() || std::any_of(std::begin(since_), std::end(since_), [](const auto& since) { return since.load() != 0; });
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
      // Who has left may still ask.
      Note& heard = heard_[static_cast<std::size_t>(note.rank)];
      if (heard.kind != kLeft) heard = note;
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

// Tells the others that nothing more comes from here, and waits until they have said so: a note that nobody has taken would be
// complained about by MPI. Who is still at work says so when asked; who does not answer ends all.
void World::Part() {
  left_ = true;
  std::deque<Note> notes;  // MPI holds on to what is being sent: these do not move
  std::vector<MpiHandle> sends;
  const auto send = [&](int to, const Note& note) {
    notes.push_back(note);
    sends.push_back(0);
    mpi_.Isend(&notes.back(), sizeof(Note), mpi_.byte, to, kNoteTag, notes_, &sends.back());
  };
  parted_at_ = Now();
  heard_all_.store(parted_at_);
  std::thread guard;
  try {
    guard = std::thread([this] { Guard(); });
  } catch (const std::system_error&) {
    // Then nobody sees to it that it ends.
  }
  for (int to = 0; to < size_; to++) {
    if (to != rank_) send(to, {rank_, kLeft, -1, 0, -1});
  }
  bool asking = false;
  for (int polls = 0; !parted_.load(); polls++) {
    Receive();
    bool parted = true;
    for (MpiHandle& one : sends) {
      int done = 0;
      mpi_.Test(&one, &done, mpi_.no_status);
      parted = parted && done != 0;
    }
    const std::vector<int> others = Silent(false);
    parted_.store(parted && others.empty());
    if (asking && Silent(true).empty()) {
      asking = false;
      heard_all_.store(Now());
    }
    if (!asking && static_cast<double>(Now() - heard_all_.load()) >= stall_seconds_ * 1e9) {
      asking = true;
      round_.fetch_add(1);
      for (const int to : others) send(to, {rank_, kWaits, kControl, 0, -round_.load()});
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(polls < 100 ? 1 : 10));
  }
  if (guard.joinable()) guard.join();
}

// The ranks that have not left; of these, those that have not answered when they were last asked.
std::vector<int> World::Silent(bool asked) {
  std::vector<int> ranks;
  std::lock_guard<std::mutex> lock(mutex_);
  for (int r = 0; r < size_; r++) {
    const Note& note = heard_[static_cast<std::size_t>(r)];
    if (r == rank_ || note.kind == kLeft) continue;
    if (!asked || note.kind != kElsewhere || note.call != -round_.load()) ranks.push_back(r);
  }
  return ranks;
}

// Beside Part, which MPI may hold for ever.
void World::Guard() {
  while (!parted_.load()) {
    std::this_thread::sleep_for(kLook);
    const std::vector<int> silent = Silent(true);
    if (silent.empty()) continue;
    bool first = true;
    for (int r = 0; r < rank_; r++) first = first && std::find(silent.begin(), silent.end(), r) != silent.end();
    const std::int64_t now = Now();
    const std::chrono::duration<double> patience = std::chrono::duration<double>(stall_seconds_) + kAnswer + (first ? kAnswer * 0 : kInstead);
    if (std::chrono::nanoseconds(now - heard_all_.load()) < patience || parted_.load()) continue;
    std::string names;
    for (const int r : silent) names += (names.empty() ? "" : "; ") + Name(r) + " does not answer: it is stopped, or cannot be reached";
    char text[32];
    std::snprintf(text, sizeof(text), "%.0f s", static_cast<double>(now - parted_at_) / 1e9);
    Abort(names + " (" + Name(rank_) + " has come to its end and waited for " + text + ")", 1);
  }
}

}  // namespace wengert
