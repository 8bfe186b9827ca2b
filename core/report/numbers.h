// Numbers as a reader wants them. Independent of any locale: "." for decimals, "," between thousands, a true minus sign,
// sizes in decimal units, and "–" for what is not a number.
#ifndef NASHSWARM_CORE_REPORT_NUMBERS_H_
#define NASHSWARM_CORE_REPORT_NUMBERS_H_

#include <cstdint>
#include <string>

namespace nashswarm::report {

inline constexpr char kNothing[] = "–";
inline constexpr char kNoBreak[] = "\u00A0";  // between a number and its unit

std::string Fixed(double value, int decimals);
// `digits` significant ones: "0.0213", "41.8", "1,204"; below 1e-4 and from 1e7 on "1.23×10⁻⁵".
std::string Significant(double value, int digits = 3);
std::string Grouped(uint64_t value);             // 54,412,345
std::string Bytes(uint64_t bytes);               // 54.4 MB
// 54.4 MB, 3.50 bits per weight; the size alone when `parameters` is 0.
std::string BytesAndBits(uint64_t bytes, uint64_t parameters);
std::string ExactBytes(uint64_t bytes);          // 54,412,345 bytes
std::string Count(uint64_t value);               // 124.4 M
std::string Percent(double share, int decimals = 1);         // 0.891: 89.1 %
std::string SignedPercent(double share);                     // 0.0193: +1.93 %; tenfold and more: ×12.3, at last "over ×1,000"
std::string Seconds(double seconds);             // under 0.01 s, 0.42 s, 12.3 s, 3 min 20 s, 1 h 05 min
std::string PowerOfTen(int exponent);            // 10⁻⁵

// The largest decimal unit not above `bytes`.
struct ByteUnit {
  double bytes;
  const char* name;
};
ByteUnit UnitFor(double bytes);

// A coordinate of a drawing: at most one decimal, no trailing zero, always with "-" and "."; finite.
std::string Coord(double value);

}  // namespace nashswarm::report

#endif  // NASHSWARM_CORE_REPORT_NUMBERS_H_
