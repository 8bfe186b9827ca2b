#include "server/auth/token_command.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <ostream>

#include "CLI/CLI.hpp"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "core/base/hash.h"
#include "core/base/status.h"
#include "server/auth/caller.h"
#include "server/auth/random_token.h"

namespace nashswarm::server {
namespace {

constexpr int kFailed = 1;
constexpr int kUsageError = 2;

struct TokenRequest {
  std::string tenant, subject, expires, append;
  bool admin = false;
};

// "720h" from now, or a time.
absl::StatusOr<absl::Time> ParseExpiry(const std::string& text) {
  if (absl::Duration duration; absl::ParseDuration(text, &duration) && duration > absl::ZeroDuration()) {
    return absl::Now() + duration;
  }
  absl::Time time;
  if (absl::ParseTime(absl::RFC3339_full, text, &time, nullptr) && time < absl::InfiniteFuture()) return time;
  return MakeError(absl::StatusCode::kInvalidArgument, "USAGE",
                   absl::StrCat("--expires ", text,
                                ": not a duration such as 720h, nor a time such as "
                                "2027-01-01T00:00:00Z"));
}

absl::StatusOr<std::string> LineOf(const TokenRequest& request, const std::string& token) {
  if (!IsTenantName(request.tenant)) {
    return MakeError(
        absl::StatusCode::kInvalidArgument, "USAGE",
        absl::StrCat("--tenant ", request.tenant, ": 1 to 63 letters, digits, '.', '_' and '-' are needed"));
  }
  if (!IsSubject(request.subject) || request.subject.front() == '#') {
    return MakeError(absl::StatusCode::kInvalidArgument, "USAGE",
                     "--subject: 1 to 128 printable characters without spaces are needed");
  }
  std::string line = absl::StrCat(request.tenant, " ", request.subject, " sha256:", ToHex(Sha256Of(token)));
  if (!request.expires.empty()) {
    NS_ASSIGN_OR_RETURN(const absl::Time expires, ParseExpiry(request.expires));
    absl::StrAppend(&line, " expires=", absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", expires, absl::UTCTimeZone()));
  }
  if (request.admin) line += " admin";
  return line + "\n";
}

// One write at the end of the file: a server that looks meanwhile sees the line or does not.
absl::Status AppendLine(const std::string& path, const std::string& line) {
  const int fd = open(path.c_str(), O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return ErrnoError(errno, path);
  const off_t end = lseek(fd, 0, SEEK_END);
  char last = '\n';
  if (end > 0 && pread(fd, &last, 1, end - 1) != 1) last = '\n';
  const std::string text = last == '\n' ? line : "\n" + line;
  absl::Status status;
  if (write(fd, text.data(), text.size()) != static_cast<ssize_t>(text.size()) || fsync(fd) != 0) {
    status = ErrnoError(errno, path);
  }
  close(fd);
  return status;
}

absl::Status MakeToken(const TokenRequest& request, std::ostream& out, std::ostream& err) {
  NS_ASSIGN_OR_RETURN(const std::string token, NewToken());
  NS_ASSIGN_OR_RETURN(const std::string line, LineOf(request, token));
  if (request.append.empty()) {
    err << "add this line to the file of --tokens:\n" << line;
  } else {
    NS_RETURN_IF_ERROR(AppendLine(request.append, line));
  }
  out << token << std::endl;
  return absl::OkStatus();
}

}  // namespace

int RunTokenCommand(const std::vector<std::string>& arguments, std::ostream& out, std::ostream& err) {
  TokenRequest request;
  CLI::App app("Makes a token. It is printed once, on stdout; the server keeps only its hash.", "nashswarmd token");
  app.add_option("--tenant", request.tenant, "Whose models and jobs the token reaches")->required();
  app.add_option("--subject", request.subject, "Who holds it, for the log")->required();
  app.add_option("--expires", request.expires, "When it ends: 720h from now, or 2027-01-01T00:00:00Z (default: never)");
  app.add_flag("--admin", request.admin, "Its holder is an administrator");
  app.add_option("--append", request.append, "Add its line to this --tokens file (default: print it on stderr)");
  std::vector<std::string> reversed(arguments.rbegin(), arguments.rend());
  try {
    app.parse(reversed);
  } catch (const CLI::CallForHelp&) {
    out << app.help();
    return 0;
  } catch (const CLI::ParseError& error) {
    err << "nashswarmd token: " << error.what() << "\nRun nashswarmd token --help for the flags.\n";
    return kUsageError;
  }
  const absl::Status status = MakeToken(request, out, err);
  if (status.ok()) return 0;
  err << "nashswarmd token: " << status.message() << "\n";
  return ReasonOf(status) == "USAGE" ? kUsageError : kFailed;
}

}  // namespace nashswarm::server
