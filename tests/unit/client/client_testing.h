// What the tests of the client share: a temporary directory, a session on a fake server, the app in a box.
#ifndef NASHSWARM_TESTS_UNIT_CLIENT_CLIENT_TESTING_H_
#define NASHSWARM_TESTS_UNIT_CLIENT_CLIENT_TESTING_H_

#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "client/cli/app.h"
#include "client/cli/rpc.h"
#include "tests/unit/client/fake_server.h"

namespace nashswarm::cli {

class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::string pattern = (std::filesystem::temp_directory_path() / "nashswarm-test-XXXXXX").string();
    path_ = mkdtemp(pattern.data());
  }
  ~TemporaryDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  std::string path() const { return path_; }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

  void Write(const std::string& name, const std::string& content) const {
    std::filesystem::create_directories(std::filesystem::path(path_ + "/" + name).parent_path());
    std::ofstream(path_ + "/" + name, std::ios::binary) << content;
  }
  std::string Read(const std::string& name) const {
    std::ifstream file(path_ + "/" + name, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  std::vector<std::string> List() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(path_)) {
      if (!entry.is_directory()) names.push_back(std::filesystem::relative(entry.path(), path_).string());
    }
    std::sort(names.begin(), names.end());
    return names;
  }

 private:
  std::string path_;
};

// Bytes without a pattern a mistake could hide in.
inline std::string SomeBytes(size_t size, uint32_t seed = 1) {
  std::string bytes(size, '\0');
  for (char& byte : bytes) {
    seed = seed * 1664525u + 1013904223u;
    byte = static_cast<char>(seed >> 24);
  }
  return bytes;
}

// Short enough that a test of giving up takes no time.
constexpr Patience kNoPatience = {.first_delay = std::chrono::milliseconds(1),
                                  .longest_delay = std::chrono::milliseconds(2),
                                  .give_up_after = std::chrono::milliseconds(20)};

struct ClientUnderTest {
  explicit ClientUnderTest(const std::string& address)
      : progress(log, Progress::Style::kLines, false, 80), connection(address) {}

  std::ostringstream log;
  Progress progress;
  Interrupt interrupt;
  Connection connection;
  Session session = {.server = connection, .interrupt = interrupt, .progress = progress, .transfer = kNoPatience};
};

struct RunResult {
  int exit_code = 0;
  std::string out;
  std::string err;
};

// The program without its main().
inline RunResult RunCli(const std::vector<std::string>& arguments,
                        const std::map<std::string, std::string>& environment = {}) {
  std::ostringstream out;
  std::ostringstream err;
  Interrupt interrupt;
  const Surroundings surroundings = {.out = out, .err = err, .getenv = [&](const char* name) -> const char* {
                                       const auto found = environment.find(name);
                                       return found == environment.end() ? nullptr : found->second.c_str();
                                     }};
  const int exit_code = App(surroundings, interrupt).Run(arguments);
  return {exit_code, out.str(), err.str()};
}

}  // namespace nashswarm::cli

#endif  // NASHSWARM_TESTS_UNIT_CLIENT_CLIENT_TESTING_H_
