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

constexpr std::int64_t kLeastPiece = 128 * 1024;  // bytes: worth a message's latency many times over
constexpr int kMultiple = 3;  // MPI_THREAD_MULTIPLE
constexpr std::chrono::milliseconds kRead{250};
constexpr std::chrono::milliseconds kAbort{2000};  // in which MPI has to have ended this process
constexpr std::chrono::seconds kFinalize{10};  // likewise, once all ranks have come to their end

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
  launcher_.Find();
  int level = 0;
  mpi_.InitThread(nullptr, nullptr, kMultiple, &level);
  concurrent_ = level >= kMultiple;
  mpi_.CommRank(mpi_.world, &rank_);
  mpi_.CommSize(mpi_.world, &size_);
  for (MpiHandle& comm : comms_) mpi_.CommDup(mpi_.world, &comm);
  for (MpiHandle& comm : started_comms_) mpi_.CommDup(mpi_.world, &comm);
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
  stall_seconds_ = stall_seconds;
  if (size_ == 1) return;
  if (!hosts_.empty()) {
    LayTables();
    SettlePieces();
  }
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

// What the first rank's environment says, for all of them; else between hosts with Open MPI. With MPICH a sum in pieces takes as long.
void World::SettlePieces() {
  const char* const wanted = std::getenv("WENGERT_OVERLAP");
  const bool apart = std::any_of(hosts_.begin(), hosts_.end(), [this](const std::string& host) { return host != hosts_.front(); }) && mpi_.family == "Open MPI";
  std::int64_t least = wanted != nullptr && *wanted != '\0' ? std::max(std::strtoll(wanted, nullptr, 10), 0LL) : apart ? kLeastPiece : 0;
  if (Broadcast(kControl, &least, sizeof(least), 0) && concurrent_ && !shares()) least_piece_.store(least, std::memory_order_release);
}

std::string World::Version() const {
  char text[8192] = {};
  int length = 0;
  if (mpi_.LibraryVersion != nullptr) mpi_.LibraryVersion(text, &length);
  const char* const end = std::find_if(text, text + sizeof(text) - 1, [](char c) { return c == '\n' || c == '\0'; });
  return std::string(text, static_cast<std::size_t>(end - text));
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
      std::thread([this, name] {
        std::this_thread::sleep_for(kFinalize);
        if (finished.load()) return;
        Say("wengert: " + name + " leaves without MPI, which does not finalize; all ranks had come to their end\n");
        // A launcher drops what it has not yet read.
        std::this_thread::sleep_for(kRead);
        launcher_.EndAll();
        std::_Exit(0);
      }).detach();
    } catch (const std::system_error&) {
      // Then it is waited for.
    }
  }
  mpi_.Finalize();
  finished.store(true);
}

}  // namespace wengert
