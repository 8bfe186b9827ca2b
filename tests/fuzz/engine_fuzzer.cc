// What an engine writes on its standard output: lines come out whole and alike however the bytes arrive, and each of them is
// an event within its bounds or an error. First byte: the limit of a line; second: bytes of a piece; third: split long lines.
#include <algorithm>
#include <cstdlib>
#include <string>
#include <vector>

#include "server/worker/engine_protocol.h"

namespace {

using namespace nashswarm::server;

void Require(bool condition) {
  if (!condition) std::abort();
}

// False: a line was too long.
bool Lines(std::string_view bytes, size_t limit, bool split, size_t piece, std::vector<std::string>* lines) {
  LineReader reader(limit, split);
  const auto sink = [&](std::string_view line) {
    Require(!line.empty() && line.size() <= limit && line.find('\n') == line.npos);
    lines->emplace_back(line);
    return absl::OkStatus();
  };
  for (; !bytes.empty(); bytes.remove_prefix(std::min(piece, bytes.size()))) {
    if (!reader.Feed(bytes.substr(0, piece), sink).ok()) return false;
  }
  return reader.Finish(sink).ok();
}

void TryLine(const std::string& line) {
  const auto event = ParseEngineLine(line);
  if (!event.ok()) return;
  if (const auto* progress = std::get_if<EngineProgress>(&*event)) Require(progress->done >= 0 && progress->total >= progress->done);
  if (const auto* error = std::get_if<EngineError>(&*event)) {
    Require(!error->status.ok());
    (void)IsRetriable(error->status);
  }
  if (const auto* success = std::get_if<EngineSuccess>(&*event)) Require(success->result.is_object());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 3) return 0;
  const size_t limit = data[0] == 0 ? 1 << 20 : data[0], piece = std::max<size_t>(1, data[1]);
  const bool split = data[2] % 2 != 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 3, size - 3);
  std::vector<std::string> whole, pieces;
  const bool ok = Lines(bytes, limit, split, bytes.size(), &whole);
  Require(Lines(bytes, limit, split, piece, &pieces) == ok && whole == pieces);
  if (split) Require(ok);
  if (ok) {
    std::string said, sent(bytes);
    for (const std::string& line : whole) said += line;
    sent.erase(std::remove(sent.begin(), sent.end(), '\n'), sent.end());
    Require(said == sent);
  }
  for (const std::string& line : whole) TryLine(line);
  return 0;
}
