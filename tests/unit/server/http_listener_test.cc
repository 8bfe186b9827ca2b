// HttpListener among clients that say nothing, half of it, too much, or do not read.
#include "server/daemon/http_listener.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <future>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/server/store_fixtures.h"

namespace nashswarm::server {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr std::chrono::seconds kLong{60};

class HttpListenerTest : public ::testing::Test {
 protected:
  void Serve(HttpListener::Options options = {.request_timeout = kLong}) {
    HttpListener::Pages pages;
    pages["/fast"] = {.answer = [] { return HttpAnswer{200, "fast\n"}; }};
    pages["/not-ready"] = {.answer = [] { return HttpAnswer{503, "not yet\n"}; }};
    pages["/slow"] = {.answer =
                          [this] {
                            ++asked_;
                            released_.wait();
                            return HttpAnswer{200, "slow\n"};
                          },
                      .slow = true};
    pages["/large"] = {.answer = [] { return HttpAnswer{200, std::string(32 << 20, 'x')}; }};
    listener_ = Must(HttpListener::Start("127.0.0.1:0", std::move(pages), options));
  }
  ~HttpListenerTest() override {
    Release();
    listener_.reset();
    for (const int fd : open_) close(fd);
  }
  void Release() {
    if (!std::exchange(was_released_, true)) release_.set_value();
  }

  int Connect() {
    const std::string& address = listener_->address();
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(static_cast<uint16_t>(std::stoi(address.substr(address.rfind(':') + 1))));
    inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
    EXPECT_EQ(connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof(to)), 0);
    const timeval limit = {.tv_sec = 30, .tv_usec = 0};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    open_.push_back(fd);
    return fd;
  }
  static void Say(int fd, const std::string& text) {
    EXPECT_EQ(send(fd, text.data(), text.size(), MSG_NOSIGNAL), static_cast<ssize_t>(text.size()));
  }
  static std::string Hear(int fd) {
    std::string all;
    char bytes[1 << 16];
    ssize_t got = 0;
    while ((got = recv(fd, bytes, sizeof(bytes), 0)) > 0) all.append(bytes, static_cast<size_t>(got));
    return got == 0 ? all : all + " (not closed)";
  }
  std::string Ask(const std::string& request) {
    const int fd = Connect();
    Say(fd, request);
    const std::string answer = Hear(fd);
    open_.pop_back();
    close(fd);
    return answer;
  }
  std::string Get(const std::string& page) { return Ask("GET " + page + " HTTP/1.1\r\nHost: x\r\n\r\n"); }

  std::unique_ptr<HttpListener> listener_;
  std::atomic<int> asked_{0};
  std::promise<void> release_;
  std::shared_future<void> released_{release_.get_future()};
  bool was_released_ = false;
  std::vector<int> open_;
};

TEST_F(HttpListenerTest, AnswersPagesAndRefusesTheRest) {
  Serve();
  EXPECT_THAT(Get("/fast"), StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(Get("/fast?x=1"), HasSubstr("\r\nContent-Length: 5\r\nCache-Control: no-store\r\nConnection: close\r\n\r\nfast\n"));
  EXPECT_THAT(Get("/not-ready"), AllOf(StartsWith("HTTP/1.1 503 "), HasSubstr("not yet")));
  EXPECT_THAT(Get("/fast/"), StartsWith("HTTP/1.1 404 "));
  EXPECT_THAT(Ask("POST /fast HTTP/1.1\r\n\r\n"), StartsWith("HTTP/1.1 405 "));
  EXPECT_THAT(Ask("hello\r\n\r\n"), StartsWith("HTTP/1.1 400 "));
  EXPECT_THAT(Ask("GET /fast HTTP/1.1\r\nX: " + std::string(9000, 'x')), StartsWith("HTTP/1.1 431 "));
  const std::string head = Ask("HEAD /fast HTTP/1.1\r\n\r\n");
  EXPECT_THAT(head, HasSubstr("Content-Length: 5\r\n"));
  EXPECT_THAT(head, ::testing::EndsWith("\r\n\r\n"));
}

TEST_F(HttpListenerTest, SilentConnectionsAndHalfRequestsKeepNobodyWaiting) {
  Serve();
  for (int i = 0; i < 200; ++i) Connect();
  for (int i = 0; i < 100; ++i) Say(Connect(), "GET /fast HTT");
  EXPECT_THAT(Get("/fast"), HasSubstr("fast\n"));
}

TEST_F(HttpListenerTest, SilentConnectionsAndHalfRequestsEndSoon) {
  Serve({.request_timeout = milliseconds(50)});
  const int silent = Connect(), half = Connect();
  Say(half, "GET /fast HTTP/1.1\r\n");
  EXPECT_EQ(Hear(silent), "");
  EXPECT_EQ(Hear(half), "");
}

TEST_F(HttpListenerTest, BeyondTheBoundTheOldestSilentConnectionMakesRoom) {
  Serve({.request_timeout = kLong, .max_connections = 3});
  const int oldest = Connect();
  for (int i = 0; i < 2; ++i) Connect();
  EXPECT_THAT(Get("/fast"), HasSubstr("fast\n"));
  EXPECT_EQ(Hear(oldest), "");
}

TEST_F(HttpListenerTest, ASlowPageKeepsNobodyWaitingAndIsAskedOnceForAllWhoWait) {
  Serve();
  const std::string request = "GET /slow HTTP/1.1\r\n\r\n";
  const int first = Connect();
  Say(first, request);
  while (asked_ == 0) std::this_thread::yield();
  const int second = Connect(), third = Connect();
  Say(second, request);
  Say(third, request);
  EXPECT_THAT(Get("/fast"), HasSubstr("fast\n"));
  while (listener_->waiting() < 2) std::this_thread::yield();
  Release();
  for (const int fd : {first, second, third}) EXPECT_THAT(Hear(fd), HasSubstr("slow\n"));
  EXPECT_EQ(asked_, 2) << "for the first, and for both who came while it was asked";
}

TEST_F(HttpListenerTest, WhoDoesNotReadTheAnswerKeepsNobodyWaiting) {
  Serve({.write_timeout = kLong});
  EXPECT_GT(Get("/large").size(), size_t{32} << 20) << "whoever reads gets it whole";
  Serve({.write_timeout = milliseconds(50)});
  const int lazy = Connect();
  Say(lazy, "GET /large HTTP/1.1\r\n\r\n");
  EXPECT_THAT(Get("/fast"), HasSubstr("fast\n"));
  while (listener_->connections() > 0) std::this_thread::yield();
  EXPECT_LT(Hear(lazy).size(), size_t{32} << 20) << "and was given up";
}

// It was read for as long as it sent, on the thread that answers everybody.
TEST(ReadAndForgetTest, LeavesTheRestOfWhatCameForTheNextTurn) {
  int ends[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
  const std::string bytes(96 << 10, 'x');
  ASSERT_EQ(send(ends[0], bytes.data(), bytes.size(), MSG_NOSIGNAL), static_cast<ssize_t>(bytes.size()));
  EXPECT_TRUE(ReadAndForget(ends[1]));
  int left = 0;
  ASSERT_EQ(ioctl(ends[1], FIONREAD, &left), 0);
  EXPECT_GT(left, 0);
  EXPECT_LT(left, 96 << 10);
  EXPECT_TRUE(ReadAndForget(ends[1])) << "the rest";
  EXPECT_TRUE(ReadAndForget(ends[1])) << "nothing yet";
  close(ends[0]);
  EXPECT_FALSE(ReadAndForget(ends[1]));
  close(ends[1]);
}

TEST_F(HttpListenerTest, AnAddressInUseIsAnError) {
  Serve();
  EXPECT_EQ(ReasonOf(HttpListener::Start(listener_->address(), {}, {}).status()), "LISTEN_FAILED");
}

}  // namespace
}  // namespace nashswarm::server
