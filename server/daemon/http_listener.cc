#include "server/daemon/http_listener.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "server/log/log.h"

namespace nashswarm::server {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

// Probes and scrapers send a few hundred bytes.
constexpr size_t kMaxRequestBytes = 8 << 10;
// When the process is out of descriptors or memory: others give some back meanwhile.
constexpr milliseconds kPauseWhenExhausted{100};
// For the other side to read the answer and close.
constexpr milliseconds kEndTimeout{1000};
// What one that goes on sending may have of the loop's thread before the others have their turn.
constexpr int kReadsATurn = 16;

const char* ReasonPhrase(int code) {
  switch (code) {
    case 200:
      return "OK";
    case 400:
      return "Bad Request";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 431:
      return "Request Header Fields Too Large";
    default:
      return "Service Unavailable";
  }
}

bool RequestIsWhole(const std::string& request) {
  return request.find("\r\n\r\n") != std::string::npos || request.find("\n\n") != std::string::npos;
}

}  // namespace

bool ReadAndForget(int fd) {
  char ignored[4096];
  for (int i = 0; i < kReadsATurn; ++i) {
    const ssize_t got = recv(fd, ignored, sizeof(ignored), 0);
    if (got <= 0) return got < 0 && (errno == EAGAIN || errno == EINTR);
  }
  return true;
}

absl::StatusOr<std::unique_ptr<HttpListener>> HttpListener::Start(const std::string& address, Pages pages,
                                                                  Options options) {
  absl::StatusOr<Listeners> listeners = Listeners::Open(address);
  if (!listeners.ok()) return listeners.status();
  return std::unique_ptr<HttpListener>(new HttpListener(*std::move(listeners), std::move(pages), options));
}

HttpListener::HttpListener(Listeners listeners, Pages pages, Options options)
    : listeners_(std::move(listeners)),
      pages_(std::move(pages)),
      options_(options),
      wake_fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  slow_thread_ = std::thread([this] { SlowLoop(); });
  thread_ = std::thread([this] { Loop(); });
}

HttpListener::~HttpListener() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stop_ = true;
  }
  asked_.notify_all();
  Wake();
  thread_.join();
  slow_thread_.join();
  for (const Connection& connection : connections_) close(connection.fd);
  close(wake_fd_);
}

void HttpListener::Wake() {
  const uint64_t one = 1;
  if (write(wake_fd_, &one, sizeof(one)) != sizeof(one)) Log(LogLevel::kError, "eventfd", {{"errno", errno}});
}

void HttpListener::Loop() {
  std::vector<pollfd> polled;
  std::vector<Connections::iterator> owners;
  for (;;) {
    auto now = steady_clock::now();
    auto wake_up = now + std::chrono::hours(1);
    polled = {{wake_fd_, POLLIN, 0}};
    const bool accepting = now >= accept_again_;
    if (!accepting) wake_up = accept_again_;
    for (const int fd : listeners_.fds()) polled.push_back({fd, static_cast<short>(accepting ? POLLIN : 0), 0});
    const size_t first = polled.size();
    owners.clear();
    for (auto it = connections_.begin(); it != connections_.end(); ++it) {
      const short events = it->state == Connection::State::kWriting ? POLLOUT : POLLIN;
      polled.push_back({it->fd, static_cast<short>(it->state == Connection::State::kWaiting ? 0 : events), 0});
      owners.push_back(it);
      wake_up = std::min(wake_up, it->deadline);
    }
    const auto timeout = std::max(std::chrono::ceil<milliseconds>(wake_up - now), milliseconds(0));
    if (poll(polled.data(), polled.size(), static_cast<int>(timeout.count())) < 0 && errno != EINTR) {
      Log(LogLevel::kError, "poll", {{"errno", errno}});
      return;
    }
    now = steady_clock::now();
    uint64_t wakes = 0;
    if (polled.front().revents != 0 && read(wake_fd_, &wakes, sizeof(wakes)) < 0 && errno != EAGAIN) return;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      if (stop_) return;
    }
    for (size_t i = 0; i < owners.size(); ++i) {
      const bool over = polled[first + i].revents != 0 && !Advance(*owners[i], now);
      if (over || now >= owners[i]->deadline) Close(owners[i]);
    }
    Deliver(now);
    for (size_t i = 1; i < first; ++i) {
      if (polled[i].revents != 0) Accept(polled[i].fd, now);
    }
  }
}

void HttpListener::Accept(int listener, Time now) {
  for (;;) {
    const int fd = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) {
      if (errno == EINTR || errno == ECONNABORTED) continue;
      if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
        MakeRoom();
        accept_again_ = now + kPauseWhenExhausted;
      }
      return;
    }
    if (connections_.size() >= options_.max_connections) MakeRoom();
    Connection& connection = connections_.emplace_back();
    connection.fd = fd;
    connection.id = ++last_id_;
    connection.deadline = now + options_.request_timeout;
    ++open_;
    // Most requests are there already.
    if (!Read(connection, now)) Close(std::prev(connections_.end()));
  }
}

void HttpListener::MakeRoom() {
  if (connections_.empty()) return;
  const auto silent = std::find_if(connections_.begin(), connections_.end(),
                                   [](const Connection& c) { return c.state == Connection::State::kReading; });
  Close(silent != connections_.end() ? silent : connections_.begin());
}

void HttpListener::Close(Connections::iterator connection) {
  close(connection->fd);
  connections_.erase(connection);
  --open_;
}

bool HttpListener::Advance(Connection& connection, Time now) {
  switch (connection.state) {
    case Connection::State::kReading:
      return Read(connection, now);
    case Connection::State::kWriting:
      return Write(connection, now);
    case Connection::State::kWaiting:
      return false;  // only errors are polled for
    case Connection::State::kEnding:
      return ReadAndForget(connection.fd);  // until the deadline
  }
  return false;
}

bool HttpListener::Read(Connection& connection, Time now) {
  char bytes[4096];
  for (;;) {
    const ssize_t got = recv(connection.fd, bytes, sizeof(bytes), 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) return true;
    if (got <= 0) return false;
    connection.request.append(bytes, static_cast<size_t>(got));
    if (RequestIsWhole(connection.request)) return Respond(connection, now);
    if (connection.request.size() > kMaxRequestBytes) {
      Answer(connection, {431, "the request is too large\n"}, now);
      return Write(connection, now);
    }
  }
}

bool HttpListener::Respond(Connection& connection, Time now) {
  const std::string line = connection.request.substr(0, connection.request.find_first_of("\r\n"));
  const std::vector<std::string> words = absl::StrSplit(line, ' ');
  connection.request.clear();
  if (words.size() != 3 || words[2].compare(0, 7, "HTTP/1.") != 0) {
    Answer(connection, {400, "not a request of HTTP/1\n"}, now);
    return Write(connection, now);
  }
  connection.head = words[0] == "HEAD";
  if (words[0] != "GET" && !connection.head) {
    Answer(connection, {405, "only GET and HEAD\n"}, now);
    return Write(connection, now);
  }
  const auto page = pages_.find(words[1].substr(0, words[1].find('?')));
  if (page == pages_.end()) {
    Answer(connection, {404, "there is no such page\n"}, now);
    return Write(connection, now);
  }
  if (page->second.slow) {
    connection.state = Connection::State::kWaiting;
    connection.deadline = now + options_.answer_timeout;
    AskLater(page->second, connection.id);
    return true;
  }
  Answer(connection, page->second.answer(), now);
  return Write(connection, now);
}

void HttpListener::Answer(Connection& connection, const HttpAnswer& answer, Time now) {
  connection.answer = absl::StrCat("HTTP/1.1 ", answer.code, " ", ReasonPhrase(answer.code),
                                   "\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: ",
                                   answer.text.size(), "\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n",
                                   connection.head ? "" : answer.text);
  connection.state = Connection::State::kWriting;
  connection.deadline = now + options_.write_timeout;
}

bool HttpListener::Write(Connection& connection, Time now) {
  while (connection.written < connection.answer.size()) {
    const ssize_t sent = send(connection.fd, connection.answer.data() + connection.written,
                              connection.answer.size() - connection.written, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) return errno == EAGAIN;
    connection.written += static_cast<size_t>(sent);
  }
  // Closed at once with bytes of theirs unread, it would be reset and the answer lost.
  shutdown(connection.fd, SHUT_WR);
  connection.answer.clear();
  connection.state = Connection::State::kEnding;
  connection.deadline = now + kEndTimeout;
  return true;
}

void HttpListener::AskLater(const HttpPage& page, uint64_t connection) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    const auto same = std::find_if(waiting_.begin(), waiting_.end(), [&](const Waiting& w) { return w.page == &page; });
    if (same != waiting_.end()) {
      same->connections.push_back(connection);
    } else {
      waiting_.push_back({&page, {connection}});
    }
  }
  asked_.notify_all();
}

size_t HttpListener::waiting() {
  std::lock_guard<std::mutex> lock(mutex_);
  size_t connections = 0;
  for (const Waiting& page : waiting_) connections += page.connections.size();
  return connections;
}

void HttpListener::SlowLoop() {
  std::unique_lock<std::mutex> lock(mutex_);
  for (;;) {
    asked_.wait(lock, [this] { return stop_ || !waiting_.empty(); });
    if (stop_) return;
    const Waiting next = std::move(waiting_.front());
    waiting_.erase(waiting_.begin());
    lock.unlock();
    const auto answer = std::make_shared<const HttpAnswer>(next.page->answer());
    lock.lock();
    for (const uint64_t connection : next.connections) answered_[connection] = answer;
    Wake();
  }
}

void HttpListener::Deliver(Time now) {
  std::map<uint64_t, std::shared_ptr<const HttpAnswer>> answered;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    answered.swap(answered_);
  }
  if (answered.empty()) return;
  for (auto it = connections_.begin(); it != connections_.end();) {
    const auto connection = it++;
    const auto answer = answered.find(connection->id);
    if (answer == answered.end()) continue;
    Answer(*connection, *answer->second, now);
    if (!Write(*connection, now)) Close(connection);
  }
}

}  // namespace nashswarm::server
