// PostgresRelay: connects the EventHubs of many processes through LISTEN and NOTIFY. A hint, nothing more: messages may
// be lost, and whoever waits looks at the store every now and then anyway.
#ifndef NASHSWARM_SERVER_EVENTS_POSTGRES_RELAY_H_
#define NASHSWARM_SERVER_EVENTS_POSTGRES_RELAY_H_

#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>

#include "server/events/event_hub.h"

namespace nashswarm::server {

class PostgresRelay {
 public:
  // Sets itself as the hub's relay and starts its thread, which connects and, when the connection is lost, connects
  // again. `hub` outlives it, and nobody calls the hub any more when it is destroyed.
  PostgresRelay(std::string url, EventHub* hub);
  ~PostgresRelay();
  PostgresRelay(const PostgresRelay&) = delete;
  PostgresRelay& operator=(const PostgresRelay&) = delete;

 private:
  void Send(std::string message);
  void Loop();
  void Converse();  // one connection, until it is lost or we stop
  std::set<std::string> TakePending();

  const std::string url_;
  EventHub* hub_;
  int wake_fd_;
  std::mutex mutex_;
  std::set<std::string> pending_;  // the same news twice is one message
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_EVENTS_POSTGRES_RELAY_H_
