// HttpListener: a plaintext HTTP/1 listener for a few pages that anybody may ask for (GET and HEAD, one request a connection). One
// thread holds every connection and waits for none of them, so that those who say nothing, or half of it, keep nobody from an
// answer. They are closed soon; beyond a number of connections the one that has said nothing for longest is.
#ifndef NASHSWARM_SERVER_DAEMON_HTTP_LISTENER_H_
#define NASHSWARM_SERVER_DAEMON_HTTP_LISTENER_H_

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "server/daemon/listeners.h"

namespace nashswarm::server {

struct HttpAnswer {
  int code = 200;
  std::string text;
};

struct HttpPage {
  std::function<HttpAnswer()> answer;
  // It may wait for somebody: asked on a thread of its own, once for all who wait for it. Other pages must not wait.
  bool slow = false;
};

// Reads, and throws away, some of what the other side sends, but not for as long as it sends. False when there will be no more.
bool ReadAndForget(int fd);

class HttpListener {
 public:
  struct Options {
    std::chrono::milliseconds request_timeout{1500};  // from the connection to the end of the request
    std::chrono::milliseconds answer_timeout{30000};  // of slow pages
    std::chrono::milliseconds write_timeout{5000};
    size_t max_connections = 512;
  };
  using Pages = std::map<std::string, HttpPage>;  // by path

  // "HOST:PORT"; port 0 picks one. UNAVAILABLE / LISTEN_FAILED.
  static absl::StatusOr<std::unique_ptr<HttpListener>> Start(const std::string& address, Pages pages, Options options);
  ~HttpListener();
  HttpListener(const HttpListener&) = delete;
  HttpListener& operator=(const HttpListener&) = delete;

  const std::string& address() const { return listeners_.address(); }  // with the real port
  // For tests: connections that are open, and of these, those for whom a slow page is yet to be asked.
  size_t connections() const { return open_; }
  size_t waiting();

 private:
  using Time = std::chrono::steady_clock::time_point;
  struct Connection {
    enum class State { kReading, kWaiting, kWriting, kEnding };
    int fd = -1;
    uint64_t id = 0;
    State state = State::kReading;
    Time deadline;
    std::string request, answer;
    size_t written = 0;
    bool head = false;
  };
  using Connections = std::list<Connection>;  // the oldest first
  struct Waiting {
    const HttpPage* page;
    std::vector<uint64_t> connections;
  };

  HttpListener(Listeners listeners, Pages pages, Options options);
  void Loop();
  void Accept(int listener, Time now);
  void MakeRoom();
  void Deliver(Time now);
  // False when the connection is over.
  bool Advance(Connection& connection, Time now);
  bool Read(Connection& connection, Time now);
  bool Respond(Connection& connection, Time now);
  void Answer(Connection& connection, const HttpAnswer& answer, Time now);
  bool Write(Connection& connection, Time now);
  void Close(Connections::iterator connection);
  void AskLater(const HttpPage& page, uint64_t connection);
  void SlowLoop();
  void Wake();

  const Listeners listeners_;
  const Pages pages_;
  const Options options_;
  const int wake_fd_;
  Connections connections_;  // of the loop's thread
  std::atomic<size_t> open_{0};  // their number
  uint64_t last_id_ = 0;
  Time accept_again_;  // after the process ran out of descriptors

  std::mutex mutex_;  // guards what follows
  std::condition_variable asked_;
  bool stop_ = false;
  std::vector<Waiting> waiting_;
  std::map<uint64_t, std::shared_ptr<const HttpAnswer>> answered_;
  std::thread slow_thread_, thread_;
};

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_DAEMON_HTTP_LISTENER_H_
