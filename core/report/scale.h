// From data to drawing: scales, and where their ticks go.
#ifndef NASHSWARM_CORE_REPORT_SCALE_H_
#define NASHSWARM_CORE_REPORT_SCALE_H_

#include <string>
#include <vector>

namespace nashswarm::report {

// The least and the greatest of the values added; non-finite ones are passed over.
struct Range {
  double low = 0, high = 0;
  bool empty = true;
  void Add(double value);
};

// True when a logarithm serves the reader better: all values above 0 and spread over more than a factor of 20.
bool WantsLog(const Range& range);

// Maps [low, high] of the data to [from, to] of the drawing. A range of no width maps to the middle.
class Scale {
 public:
  // Linear, with `padding` (a share of the range) added on both sides; not below 0 when no value is.
  static Scale Linear(const Range& range, double padding, double from, double to);
  // Linear from 0.
  static Scale FromZero(const Range& range, double padding, double from, double to);
  // Logarithmic; range.low > 0. The padding is a share of the range in decades.
  static Scale Log(const Range& range, double padding, double from, double to);

  double operator()(double value) const;
  double low() const { return low_; }
  double high() const { return high_; }
  bool log() const { return log_; }

 private:
  Scale(double low, double high, double from, double to, bool log) : low_(low), high_(high), from_(from), to_(to), log_(log) {}
  double low_, high_, from_, to_;
  bool log_;
};

struct Tick {
  double value;
  std::string label;
};

// Multiples of 1, 2, 2.5 or 5 times a power of ten inside [low, high], the step chosen for about `count` of them; labels
// with the decimals the step needs.
std::vector<Tick> LinearTicks(double low, double high, int count);
// Powers of ten inside [low, high], at most `count` of them; with 2 and 5 between them where there are fewer than three.
std::vector<Tick> LogTicks(double low, double high, int count);
// LinearTicks for whole numbers.
std::vector<Tick> WholeTicks(double low, double high, int count);
// LinearTicks or LogTicks, as the scale is.
std::vector<Tick> TicksFor(const Scale& scale, int count);

}  // namespace nashswarm::report

#endif  // NASHSWARM_CORE_REPORT_SCALE_H_
