// What a person sees on stderr while work is under way: a bar on a terminal, else a plain line now and then.
#ifndef NASHSWARM_CLIENT_CLI_PROGRESS_H_
#define NASHSWARM_CLIENT_CLI_PROGRESS_H_

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <iosfwd>
#include <optional>
#include <string>
#include <utility>

namespace nashswarm::cli {

// Bytes are shown by their thousands (sizes.h), all else by its name.
inline constexpr char kBytes[] = "bytes";

struct ProgressState {
  std::string stage;  // "upload", "encode"
  int64_t done = 0;
  int64_t total = 0;  // 0: unknown
  std::string unit = kBytes;          // what is counted, as it is shown: "weights"; "": nobody has said
  std::string detail;                 // the file or tensor under way
  std::optional<double> eta_seconds;  // when someone else knows better than the rate does
};

// Pure: one line without line ends. `rate` in units a second, 0 for unknown. The bar is exactly `width` columns or
// less; the plain line has no limit.
std::string RenderBar(const ProgressState& state, double rate, int width, bool color);
std::string RenderLine(const ProgressState& state, double rate);

// Units a second over the last ten seconds.
class RateMeter {
 public:
  using Time = std::chrono::steady_clock::time_point;
  void Add(Time now, int64_t done);
  double Rate() const;  // 0 while unknown
  void Reset();

 private:
  std::deque<std::pair<Time, int64_t>> samples_;
};

// Used by one thread.
class Progress {
 public:
  enum class Style { kNone, kLines, kBar };
  using Clock = std::function<std::chrono::steady_clock::time_point()>;

  Progress(
      std::ostream& out, Style style, bool color, int width,
      Clock clock = [] { return std::chrono::steady_clock::now(); });
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void Update(const ProgressState& state);
  // Nothing has moved, but a plain line may be due.
  void Tick();
  // A line that stays; not shown in style kNone.
  void Note(const std::string& text);
  // Ends the current stage: the bar goes away, the line of a finished stage is shown.
  void Done();

 private:
  void Draw(std::chrono::steady_clock::time_point now, bool forced);
  void Clear();

  std::ostream& out_;
  const Style style_;
  const bool color_;
  const int width_;
  const Clock clock_;
  bool active_ = false;
  bool drawn_ = false;  // a bar stands on the terminal's current line
  ProgressState state_;
  RateMeter rate_;
  std::chrono::steady_clock::time_point last_draw_;
};

// Columns of the terminal behind `fd`; 80 when it does not say.
int TerminalWidth(int fd);

}  // namespace nashswarm::cli

#endif  // NASHSWARM_CLIENT_CLI_PROGRESS_H_
