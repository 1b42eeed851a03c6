// The processes that train together: one world a process, which MPI makes. Plain C++, no Node headers.
//
// A collective is made by all ranks in the same order, channel by channel: the channels are communicators of their own, so
// that trainings, what fits agree on between their blocks, and the user's own calls do not meet. A thread of the world's
// own watches the clock: where a rank has waited for the others for too long, another thread asks who else waits, the first
// names who does not, and ends them all. It never calls MPI, which may hold its caller for ever where a host is cut off.
// Whoever ends the world says why on stderr; MPI ends the other processes, and this one ends by itself where MPI cannot.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "launcher.h"
#include "library.h"
#include "table.h"

namespace wengert {

class World {
 public:
  enum Channel { kTraining = 0, kControl = 1, kUser = 2, kChannels = 3 };

  static World& instance();

  // On the main thread. Opens a library and begins, where the process has not; the files' failures where there is none.
  bool Begin(const std::vector<std::string>& files, std::vector<std::string>& failures);
  // On the main thread, and again once the ranks know each other. `hosts` names each rank's; ranks that share processors
  // wait without spinning where `yields`.
  void Watch(std::vector<std::string> hosts, double stall_seconds, bool yields);
  // Whether ranks reach what others of them share: all are on one host, and the system lets them.
  bool shares() const { return shares_.load(std::memory_order_acquire); }
  // Of how many bytes the pieces are, at least, whose sums begin while others are still made; 0: none does. The same on all ranks.
  std::int64_t least_piece() const { return least_piece_.load(std::memory_order_acquire); }
  bool begun() const { return begun_.load(std::memory_order_acquire); }

  int rank() const { return rank_; }
  int size() const { return size_; }
  // Whether threads may call MPI at once, as watching needs it.
  bool concurrent() const { return concurrent_; }
  const MpiLibrary& library() const { return mpi_; }
  std::string Version() const;

  // In place, from any thread, one at a time for each channel. False where the world was left in the meantime.
  bool Sum(Channel channel, void* data, std::int64_t length, bool doubles);
  // A sum in several parts: each is begun in place, then Poll has MPI go on with them, and Finish begins the last and waits for
  // all. Other collectives of the channel may come in between. On one thread.
  void Start(Channel channel, void* data, std::int64_t length, bool doubles);
  void Poll(Channel channel);
  bool Finish(Channel channel, void* data, std::int64_t length, bool doubles);
  bool Broadcast(Channel channel, void* data, std::size_t bytes, int root);
  bool Barrier(Channel channel);
  // Every rank's bytes for each of the others, one rank's after the other's: so many go to each, so many come from each. Where
  // the world was left, MPI may still write to `to`.
  bool Exchange(Channel channel, const char* from, const std::vector<std::size_t>& going, char* to,
                const std::vector<std::size_t>& coming);
  // Counts the collectives of this rank.
  std::int64_t calls(Channel channel) const { return calls_[channel].load(std::memory_order_relaxed); }

  // Says why, and ends all ranks with an exit code other than 0. Never returns.
  [[noreturn]] void Abort(const std::string& reason, int code);
  // On the main thread: waits for the others, and leaves MPI. Where the process ends and MPI does not let it, it ends without.
  void Finalize(bool ends);
  // Whether a collective is under way, from which this process cannot leave alone.
  bool waiting() const;
  // Whether MPI may still write to what it was given to add up.
  bool afloat() const;
  // Lets collectives that wait for the others give up: the process exits.
  void Leave() { leaving_.store(true); }

 private:
  static std::int64_t Now() {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch()).count();
  }
  struct Note {
    std::int32_t rank, kind, channel, unused;
    std::int64_t call;
  };
  class Waiting;

  // collectives.cc. Waits until all have come, without spinning for long.
  bool Gather(Channel channel);
  // Waits until all of these are done, likewise; spinning where that is wanted.
  bool Complete(std::vector<MpiHandle>& requests, bool spins = false);
  // Begins a sum, in as many requests as it takes.
  void Add(MpiHandle comm, void* data, std::int64_t length, bool doubles, std::vector<MpiHandle>& requests);
  void LayTables();
  void SettlePieces();
  // watch.cc.
  void Live(double stall_seconds);
  void Correspond();
  void Part();
  void Guard();
  std::vector<int> Silent(bool asked);
  void Ask(Channel channel, std::int64_t call);
  // True once the watch is over; else after a while.
  bool Pause();
  void Receive();
  std::string Absent(Channel channel, std::int64_t call, bool& first);
  std::string Name(int rank);

  MpiLibrary mpi_;
  LauncherConnection launcher_;
  std::atomic<bool> begun_{false};
  bool finalized_ = false;
  bool concurrent_ = false;
  std::atomic<bool> yields_{false};
  int rank_ = 0;
  int size_ = 1;
  std::vector<std::string> hosts_;
  Table tables_[kChannels];
  std::atomic<bool> shares_{false};
  std::atomic<std::int64_t> least_piece_{0};
  MpiHandle comms_[kChannels] = {};
  // For sums in parts, which other collectives of the channel come between in another order on each rank.
  MpiHandle started_comms_[kChannels] = {};
  std::vector<MpiHandle> started_[kChannels];
  std::atomic<int> afloat_[kChannels] = {};  // sums under way
  MpiHandle notes_ = 0;
  std::mutex one_[kChannels];
  std::atomic<std::int64_t> since_[kChannels] = {};  // of the collective under way, by the clock; 0: none
  std::atomic<std::int64_t> calls_[kChannels] = {};
  std::atomic<bool> leaving_{false};
  std::atomic<bool> ended_{false};

  // What the watching thread wants the corresponding one to ask about: a call, 0 for none.
  std::atomic<std::int64_t> wanted_[kChannels] = {};
  std::mutex mutex_;  // of what follows, and of the hosts
  std::condition_variable wake_;
  bool stop_ = false;
  std::vector<Note> heard_;
  // The corresponding thread's.
  std::vector<Note> sent_;
  std::vector<MpiHandle> sends_;
  bool left_ = false;  // and its last note is that
  // How long a rank may be silent, since when this one parts, when it last heard of all, how often it has asked, and whether it is done.
  double stall_seconds_ = 0;
  std::int64_t parted_at_ = 0;
  std::atomic<std::int64_t> heard_all_{0}, round_{0};
  std::atomic<bool> parted_{false};
  std::thread watching_, corresponding_;
};

}  // namespace wengert
