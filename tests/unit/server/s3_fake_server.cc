#include "tests/unit/server/s3_fake_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace nashswarm::server {
namespace {

// One request with its body, or "" when the connection ended.
std::string ReadRequest(int connection) {
  std::string text;
  char buffer[65536];
  size_t wanted = std::string::npos;
  while (text.size() < wanted) {
    const ssize_t n = recv(connection, buffer, sizeof(buffer), 0);
    if (n <= 0) return "";
    text.append(buffer, static_cast<size_t>(n));
    const size_t end = text.find("\r\n\r\n");
    if (wanted != std::string::npos || end == std::string::npos) continue;
    const std::string head = absl::AsciiStrToLower(text.substr(0, end));
    const size_t length = head.find("content-length: ");
    wanted = end + 4 + (length == std::string::npos ? 0 : std::stoul(head.substr(length + 16)));
  }
  return text;
}

}  // namespace

FakeHttpServer::Answer FakeHttpServer::Of(int status, const std::string& body, const std::string& headers) {
  return {absl::StrCat("HTTP/1.1 ", status, " X\r\nContent-Length: ", body.size(), "\r\nConnection: close\r\n", headers,
                       "\r\n", body)};
}

FakeHttpServer::FakeHttpServer(std::vector<Answer> script) : script_(std::move(script)) {
  listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  bind(listener_, reinterpret_cast<sockaddr*>(&address), size);
  listen(listener_, 16);
  getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
  port_ = ntohs(address.sin_port);
  thread_ = std::thread([this] { Serve(); });
}

FakeHttpServer::~FakeHttpServer() {
  shutdown(listener_, SHUT_RDWR);
  thread_.join();
  close(listener_);
}

std::vector<std::string> FakeHttpServer::requests() {
  std::lock_guard<std::mutex> lock(mutex_);
  return requests_;
}

void FakeHttpServer::Serve() {
  for (size_t next = 0;;) {
    const int connection = accept(listener_, nullptr, nullptr);
    if (connection < 0) return;
    for (bool open = true; open;) {
      const std::string request = ReadRequest(connection);
      if (request.empty()) break;
      {
        std::lock_guard<std::mutex> lock(mutex_);
        requests_.push_back(request);
      }
      const Answer answer = next < script_.size() ? script_[next] : Of(418, "");
      ++next;
      send(connection, answer.text.data(), answer.text.size(), MSG_NOSIGNAL);
      open = !answer.close;
    }
    close(connection);
  }
}

}  // namespace nashswarm::server
