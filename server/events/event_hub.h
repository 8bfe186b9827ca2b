// EventHub: "something changed, look again" between the threads of one process. It carries no data: the store is the
// truth, and whoever is woken reads it. Waiting is on versions, so a change between reading and waiting is not lost.
#ifndef NASHSWARM_SERVER_EVENTS_EVENT_HUB_H_
#define NASHSWARM_SERVER_EVENTS_EVENT_HUB_H_

#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <set>
#include <string>
#include <string_view>

namespace nashswarm::server {

// Thread-safe.
class EventHub {
 public:
  // A job's state, progress or events changed: wakes its watchers.
  void JobChanged(const std::string& job_id);
  uint64_t JobVersion(const std::string& job_id);
  // Returns once the version differs from `seen`, the time is over, or the hub drains.
  void WaitForJob(const std::string& job_id, uint64_t seen, std::chrono::milliseconds timeout);

  // A task may be claimable: wakes idle workers.
  void WorkAvailable();
  uint64_t WorkVersion();
  void WaitForWork(uint64_t seen, std::chrono::milliseconds timeout);

  // A running task may have to stop: makes every registered eventfd readable. The fd is the caller's.
  void WakeRunning();
  void AddWaker(int event_fd);
  void RemoveWaker(int event_fd);

  // Passes what happens here on to other processes, as text; `relay` must not block. Set before any thread uses the hub.
  void SetRelay(std::function<void(std::string message)> relay) { relay_ = std::move(relay); }
  // What another process's relay sent: wakes those who wait here, and is not passed on. Unknown text wakes nobody.
  void Receive(std::string_view message);

  // Ends every wait, now and later: the server is going away.
  void Drain();
  bool draining() const { return draining_; }

 private:
  struct Slot {
    std::mutex mutex;
    std::condition_variable changed;
    uint64_t version = 0;
  };
  void Bump(Slot& slot);
  void WakeWakers();
  void Relay(std::string message);
  uint64_t VersionOf(Slot& slot);
  void Wait(Slot& slot, uint64_t seen, std::chrono::milliseconds timeout);
  Slot& SlotOf(const std::string& job_id);

  // Jobs share slots by hash: a neighbour's change wakes a watcher for nothing, and nothing ever has to be freed.
  std::array<Slot, 256> jobs_;
  Slot work_;
  std::mutex wakers_mutex_;
  std::set<int> wakers_;
  std::function<void(std::string)> relay_;
  std::atomic<bool> draining_{false};
};

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_EVENTS_EVENT_HUB_H_
