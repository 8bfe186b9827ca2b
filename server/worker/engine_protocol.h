// The lines a nashswarm-engine task writes on standard output; core/engine/README.md is their specification.
#ifndef NASHSWARM_SERVER_WORKER_ENGINE_PROTOCOL_H_
#define NASHSWARM_SERVER_WORKER_ENGINE_PROTOCOL_H_

#include <functional>
#include <string>
#include <string_view>
#include <variant>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "core/base/json.h"

namespace nashswarm::server {

struct EngineProgress {
  int64_t done = 0, total = 0;  // weights, or tokens in calibrate and evaluate
  std::string tensor;
};
struct EngineTensor {
  std::string tensor, format;
  double bits_per_weight = 0, relative_error = 0;
};
struct EngineLog {
  std::string severity, text;
};
struct EngineSuccess {
  Json result;
};
struct EngineError {
  absl::Status status;
};
using EngineEvent = std::variant<EngineProgress, EngineTensor, EngineLog, EngineSuccess, EngineError>;

// INTERNAL / ENGINE_PROTOCOL for a line that is no event.
absl::StatusOr<EngineEvent> ParseEngineLine(std::string_view line);

// Whether another attempt may end otherwise: what the input caused will happen again, what the machine caused may not.
bool IsRetriable(const absl::Status& status);

// Cuts a byte stream into lines. A line longer than `limit` is an error (when `split_long` is false) or is delivered
// in pieces (when it is true).
class LineReader {
 public:
  LineReader(size_t limit, bool split_long) : limit_(limit), split_long_(split_long) {}
  // INTERNAL / LINE_TOO_LONG, or the first error of `sink`.
  absl::Status Feed(std::string_view bytes, const std::function<absl::Status(std::string_view)>& sink);
  // Delivers a last line that has no newline.
  absl::Status Finish(const std::function<absl::Status(std::string_view)>& sink);

 private:
  size_t limit_;
  bool split_long_;
  std::string rest_;
};

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_WORKER_ENGINE_PROTOCOL_H_
