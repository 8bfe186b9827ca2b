#include "core/engine/progress_line.h"

#include <unistd.h>

#include <algorithm>
#include <iostream>

#include "absl/strings/str_format.h"

namespace nashswarm::engine {
namespace {

constexpr int kBarWidth = 30;
constexpr std::chrono::milliseconds kTerminalPeriod(100);
constexpr std::chrono::seconds kLogPeriod(10);

}  // namespace

ProgressLine::ProgressLine()
    : terminal_(isatty(STDERR_FILENO) == 1), start_(std::chrono::steady_clock::now()), last_(start_) {}

ProgressLine::~ProgressLine() {
  if (terminal_ && shown_) std::cerr << "\r\x1b[K" << std::flush;
}

std::string ProgressLine::Text(const std::string& what, uint64_t done, uint64_t total) const {
  const double share = total == 0 ? 0 : static_cast<double>(done) / static_cast<double>(total);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  std::string text = absl::StrFormat("%s %3.0f %%", what, 100 * share);
  if (terminal_) {
    const int filled = static_cast<int>(share * kBarWidth);
    text = absl::StrFormat("%s [%s%s] %3.0f %%", what, std::string(filled, '#'), std::string(kBarWidth - filled, '.'), 100 * share);
  }
  if (share > 0.02 && share < 1) text += absl::StrFormat(", %.0f s left", seconds * (1 - share) / share);
  return text;
}

void ProgressLine::Show(const std::string& what, uint64_t done, uint64_t total) {
  const auto now = std::chrono::steady_clock::now();
  if (what != what_) {  // another step: its time is its own
    what_ = what;
    start_ = now;
  }
  if (terminal_) {
    if (shown_ && now - last_ < kTerminalPeriod && done < total) return;
    std::cerr << "\r\x1b[K" << Text(what, done, total) << std::flush;
  } else {
    if (now - last_ < kLogPeriod) return;
    std::cerr << Text(what, done, total) << "\n";
  }
  shown_ = true;
  last_ = now;
}

}  // namespace nashswarm::engine
