#include "client/cli/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <ostream>

#include "client/cli/sizes.h"

namespace nashswarm::cli {
namespace {

constexpr std::chrono::seconds kLineEvery(10);
// Faster than the eye, slow enough to cost nothing.
constexpr std::chrono::milliseconds kBarEvery(100);
constexpr std::chrono::seconds kRateWindow(10);
constexpr int kBarColumns = 24;
constexpr int kStageColumns = 9;

double Share(const ProgressState& state) {
  if (state.total <= 0) return 0;
  return std::clamp(static_cast<double>(state.done) / static_cast<double>(state.total), 0.0, 1.0);
}

// Control characters of a file or tensor name, or of what a server says, must not reach the terminal.
std::string Printable(std::string text) {
  std::replace_if(
      text.begin(), text.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; }, '?');
  return text;
}

// " weights"
std::string UnitAfter(const ProgressState& state) { return state.unit.empty() ? "" : " " + Printable(state.unit); }

std::string FormatRate(const ProgressState& state, double rate) {
  if (rate <= 0) return "";
  if (state.unit == kBytes) return FormatBytes(rate) + "/s";
  return FormatCount(rate) + UnitAfter(state) + "/s";
}

std::string FormatLeft(const ProgressState& state, double rate) {
  if (state.eta_seconds) return FormatDuration(*state.eta_seconds) + " left";
  if (rate <= 0 || state.total <= 0 || state.done >= state.total) return "";
  return FormatDuration(static_cast<double>(state.total - state.done) / rate) + " left";
}

std::string Amount(const ProgressState& state) {
  const bool bytes = state.unit == kBytes;
  const auto format = [&](int64_t n) {
    return bytes ? FormatBytes(static_cast<double>(n)) : FormatCount(static_cast<double>(n));
  };
  const std::string unit = bytes ? "" : UnitAfter(state);
  if (state.total <= 0) return state.done > 0 ? format(state.done) + unit : "";
  return format(state.done) + " of " + format(state.total) + unit;
}

void Append(std::string* line, const std::string& part, const char* separator) {
  if (part.empty()) return;
  if (!line->empty()) *line += separator;
  *line += part;
}

}  // namespace

std::string RenderBar(const ProgressState& state, double rate, int width, bool color) {
  std::string stage = state.stage;
  stage.resize(std::max<size_t>(stage.size(), kStageColumns), ' ');
  std::string tail;
  Append(&tail, FormatRate(state, rate), "  ");
  Append(&tail, FormatLeft(state, rate), "  ");
  Append(&tail, Printable(state.detail), "  ");

  std::string bar;
  std::string percent;
  if (state.total > 0) {
    const int filled = static_cast<int>(std::floor(Share(state) * kBarColumns));
    bar = "[" + std::string(filled, '#') + std::string(kBarColumns - filled, '.') + "]";
    percent = std::to_string(static_cast<int>(std::floor(Share(state) * 100))) + "%";
    percent.insert(0, std::max<size_t>(percent.size(), 4) - percent.size(), ' ');
  }
  std::string plain = stage;
  Append(&plain, bar, " ");
  Append(&plain, percent, " ");
  Append(&plain, tail, "  ");
  if (static_cast<int>(plain.size()) > width) plain.resize(std::max(width, 0));
  const size_t begin = plain.find('[');
  if (!color || bar.empty() || begin == std::string::npos || begin + bar.size() > plain.size()) return plain;
  plain.insert(begin + bar.size(), "\x1b[0m");
  plain.insert(begin, "\x1b[36m");
  return plain;
}

std::string RenderLine(const ProgressState& state, double rate) {
  std::string facts;
  if (state.total > 0) Append(&facts, std::to_string(static_cast<int>(std::floor(Share(state) * 100))) + "%", ", ");
  Append(&facts, Amount(state), ", ");
  Append(&facts, FormatRate(state, rate), ", ");
  Append(&facts, FormatLeft(state, rate), ", ");
  Append(&facts, Printable(state.detail), ", ");
  return facts.empty() ? state.stage : state.stage + ": " + facts;
}

void RateMeter::Add(Time now, int64_t done) {
  if (!samples_.empty() && done < samples_.back().second) samples_.clear();  // started over
  samples_.emplace_back(now, done);
  while (samples_.size() > 2 && now - samples_[1].first > kRateWindow) samples_.pop_front();
}

double RateMeter::Rate() const {
  if (samples_.size() < 2) return 0;
  const std::chrono::duration<double> time = samples_.back().first - samples_.front().first;
  // The first tenth of a second says nothing yet.
  if (time.count() < 0.1) return 0;
  return static_cast<double>(samples_.back().second - samples_.front().second) / time.count();
}

void RateMeter::Reset() { samples_.clear(); }

Progress::Progress(std::ostream& out, Style style, bool color, int width, Clock clock)
    : out_(out), style_(style), color_(color), width_(width), clock_(std::move(clock)) {}

Progress::~Progress() { Clear(); }

void Progress::Update(const ProgressState& state) {
  if (style_ == Style::kNone) return;
  const auto now = clock_();
  const bool new_stage = !active_ || state.stage != state_.stage;
  if (new_stage) rate_.Reset();
  active_ = true;
  state_ = state;
  rate_.Add(now, state.done);
  Draw(now, new_stage);
}

void Progress::Tick() {
  if (style_ == Style::kNone || !active_) return;
  Draw(clock_(), false);
}

void Progress::Note(const std::string& text) {
  if (style_ == Style::kNone) return;
  Clear();
  out_ << text << '\n';
  out_.flush();
}

void Progress::Done() {
  if (style_ == Style::kLines && active_ && state_.total > 0 && state_.done >= state_.total) {
    out_ << RenderLine(state_, rate_.Rate()) << '\n';
    out_.flush();
  }
  Clear();
  active_ = false;
}

void Progress::Draw(std::chrono::steady_clock::time_point now, bool forced) {
  if (style_ == Style::kLines) {
    if (!forced && now - last_draw_ < kLineEvery) return;
    out_ << RenderLine(state_, rate_.Rate()) << '\n';
  } else {
    if (!forced && now - last_draw_ < kBarEvery) return;
    // The last column stays free: writing it would move some terminals to the next line.
    out_ << '\r' << RenderBar(state_, rate_.Rate(), width_ - 1, color_) << "\x1b[K";
    drawn_ = true;
  }
  last_draw_ = now;
  out_.flush();
}

void Progress::Clear() {
  if (!drawn_) return;
  out_ << "\r\x1b[K";
  out_.flush();
  drawn_ = false;
}

int TerminalWidth(int fd) {
  winsize size = {};
  return ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

}  // namespace nashswarm::cli
