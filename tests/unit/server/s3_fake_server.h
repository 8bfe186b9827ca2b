// A scripted HTTP server for the S3 client's tests: answers each request with the next line of a script.
#ifndef NASHSWARM_TESTS_UNIT_SERVER_S3_FAKE_SERVER_H_
#define NASHSWARM_TESTS_UNIT_SERVER_S3_FAKE_SERVER_H_

#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace nashswarm::server {

class FakeHttpServer {
 public:
  struct Answer {
    std::string text;   // all that is sent: status line, headers, body
    bool close = true;  // the connection, afterwards
  };
  // "HTTP/1.1 200 OK" with headers "a: b\r\n" and the right Content-Length.
  static Answer Of(int status, const std::string& body, const std::string& headers = {});

  // Listens on a free loopback port. A request beyond the script gets 418.
  explicit FakeHttpServer(std::vector<Answer> script);
  ~FakeHttpServer();
  int port() const { return port_; }
  // Head and body of every request so far.
  std::vector<std::string> requests();

 private:
  void Serve();

  std::vector<Answer> script_;
  int listener_ = -1, port_ = 0;
  std::mutex mutex_;
  std::vector<std::string> requests_;
  std::thread thread_;
};

}  // namespace nashswarm::server

#endif  // NASHSWARM_TESTS_UNIT_SERVER_S3_FAKE_SERVER_H_
