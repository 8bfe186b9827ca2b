// The Landlock rules of an engine: which files it may open. Best effort: a kernel or a container without Landlock leaves the
// engine with what file permissions allow.
#ifndef NASHSWARM_SERVER_WORKER_FILE_RULES_H_
#define NASHSWARM_SERVER_WORKER_FILE_RULES_H_

#include <cstdint>
#include <string>
#include <vector>

namespace nashswarm::server {

class FileRules {
 public:
  // Version of the kernel's Landlock interface; 0 without Landlock.
  static int AbiVersion();

  // A path that does not exist is left out when the rules are installed. A file or a directory with all below it.
  void AllowRead(std::string path) { rules_.push_back({std::move(path), Access::kRead}); }
  void AllowRun(std::string path) { rules_.push_back({std::move(path), Access::kRun}); }  // and read
  void AllowWrite(std::string path) { rules_.push_back({std::move(path), Access::kWrite}); }  // and read, create, remove

  // In the child, after PR_SET_NO_NEW_PRIVS; async-signal-safe. Everything else becomes EACCES; from version 4 on TCP too,
  // and from 6 on signals to processes outside. The rules stay over exec. Returns 0 or errno.
  int Install() const;

 private:
  enum class Access { kRead, kRun, kWrite };
  struct Rule {
    std::string path;
    Access access;
  };
  std::vector<Rule> rules_;
  int abi_ = AbiVersion();
};

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_WORKER_FILE_RULES_H_
