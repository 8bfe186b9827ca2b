#include "server/worker/engine_protocol.h"

#include "core/base/status.h"
#include "core/base/utf8.h"

namespace nashswarm::server {
namespace {

absl::Status ProtocolError(std::string_view what) {
  return MakeError(absl::StatusCode::kInternal, "ENGINE_PROTOCOL",
                   absl::StrCat("the engine broke the protocol: ", ToAbsl(what)),
                   "check that nashswarmd and nashswarm-engine are of the same version");
}

// What the engine says ends up in jobs, lists and watches, whose messages must stay below 4 MiB; names and texts in it may come
// from a checkpoint.
constexpr size_t kMaxName = 1000, kMaxText = 16000;

std::string Text(const Json& event, const char* key, size_t count, const char* otherwise = "") {
  return Shortened(ValidUtf8(JsonString(event, key, otherwise)), count);
}

absl::StatusCode ToCode(int64_t code) {
  if (code < 1 || code > static_cast<int64_t>(absl::StatusCode::kUnauthenticated)) return absl::StatusCode::kUnknown;
  return static_cast<absl::StatusCode>(code);
}

}  // namespace

absl::StatusOr<EngineEvent> ParseEngineLine(std::string_view line) {
  const absl::StatusOr<Json> parsed = ParseJson(line, "engine output");
  if (!parsed.ok()) return ProtocolError(absl::StrCat("not JSON: ", ToAbsl(line.substr(0, 200))));
  const Json& event = *parsed;
  const std::string kind = JsonString(event, "event");
  if (kind == "progress") {
    const int64_t done = JsonInt(event, "done", -1), total = JsonInt(event, "total", -1);
    if (done < 0 || total < done) return ProtocolError("progress without 0 <= done <= total");
    return EngineProgress{done, total, Text(event, "tensor", kMaxName)};
  }
  if (kind == "tensor") {
    return EngineTensor{Text(event, "tensor", kMaxName), Text(event, "format", kMaxName),
                        JsonDouble(event, "bits_per_weight", 0), JsonDouble(event, "relative_error", 0)};
  }
  if (kind == "log") return EngineLog{Text(event, "severity", kMaxName, "info"), Text(event, "text", kMaxText)};
  if (kind == "result") return EngineSuccess{event};
  if (kind == "error") {
    return EngineError{MakeError(ToCode(JsonInt(event, "code", 0)), Text(event, "reason", kMaxName, "ENGINE_ERROR"),
                                 Text(event, "message", kMaxText, "the engine gave no message"),
                                 Text(event, "hint", kMaxText))};
  }
  return ProtocolError(absl::StrCat("unknown event '", kind.substr(0, 100), "'"));
}

bool IsRetriable(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kAborted:
    case absl::StatusCode::kResourceExhausted:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kInternal:
    case absl::StatusCode::kUnknown:
      return true;
    default:
      return false;
  }
}

absl::Status LineReader::Feed(std::string_view bytes, const std::function<absl::Status(std::string_view)>& sink) {
  while (!bytes.empty()) {
    const size_t newline = bytes.find('\n');
    const std::string_view piece = bytes.substr(0, newline);
    if (rest_.size() + piece.size() > limit_) {
      if (!split_long_) {
        return MakeError(absl::StatusCode::kInternal, "LINE_TOO_LONG",
                         absl::StrCat("a line is longer than ", limit_, " bytes"));
      }
      const size_t fits = limit_ - rest_.size();
      rest_.append(piece.substr(0, fits));
      bytes.remove_prefix(fits);
      NS_RETURN_IF_ERROR(sink(rest_));
      rest_.clear();
      continue;
    }
    rest_.append(piece);
    if (newline == std::string_view::npos) return absl::OkStatus();
    bytes.remove_prefix(newline + 1);
    const std::string line = std::move(rest_);
    rest_.clear();
    if (!line.empty()) NS_RETURN_IF_ERROR(sink(line));
  }
  return absl::OkStatus();
}

absl::Status LineReader::Finish(const std::function<absl::Status(std::string_view)>& sink) {
  const std::string line = std::move(rest_);
  rest_.clear();
  return line.empty() ? absl::OkStatus() : sink(line);
}

}  // namespace nashswarm::server
