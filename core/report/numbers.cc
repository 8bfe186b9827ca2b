#include "core/report/numbers.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <string_view>

namespace nashswarm::report {
namespace {

constexpr std::string_view kMinus = "−";

std::string Chars(double value, std::chars_format format, int precision) {
  char buffer[400];  // the longest: 1.8e308 in full, and its decimals
  const auto result = std::to_chars(buffer, buffer + sizeof(buffer), value, format, precision);
  return std::string(buffer, result.ptr);
}

// Digits with "," between thousands of the whole part.
std::string Group(std::string digits) {
  const size_t point = std::min(digits.find('.'), digits.size());
  for (size_t i = point; i > 3; i -= 3) digits.insert(i - 3, ",");
  return digits;
}

std::string WithUnit(const std::string& number, const char* unit) { return number + kNoBreak + unit; }

}  // namespace

std::string Fixed(double value, int decimals) {
  if (!std::isfinite(value)) return kNothing;
  // Halves go up, as readers expect: 2.625 is 2.63. The factor is below what any digit shown can tell.
  const double size = std::abs(value);
  std::string digits = Chars(size < 1e300 ? size * (1 + 1e-15) : size, std::chars_format::fixed, decimals);
  const bool zero = digits.find_first_not_of("0.") == std::string::npos;
  return (value < 0 && !zero ? std::string(kMinus) : "") + Group(std::move(digits));
}

std::string PowerOfTen(int exponent) {
  constexpr std::string_view kDigits[] = {"⁰", "¹", "²", "³", "⁴", "⁵", "⁶", "⁷", "⁸", "⁹"};
  std::string out = exponent < 0 ? "10⁻" : "10";
  for (const char digit : std::to_string(std::abs(exponent))) out += kDigits[digit - '0'];
  return out;
}

std::string Significant(double value, int digits) {
  if (!std::isfinite(value)) return kNothing;
  if (value == 0) return "0";
  // The exponent after rounding: 0.09996 is 0.100, not 0.1000.
  const std::string rounded = Chars(std::abs(value), std::chars_format::scientific, digits - 1);
  const size_t e = rounded.find('e');
  int exponent = 0;
  const char* begin = rounded.data() + e + 1 + (rounded[e + 1] == '+');
  std::from_chars(begin, rounded.data() + rounded.size(), exponent);
  if (exponent >= -4 && exponent < 7) return Fixed(value, std::max(0, digits - 1 - exponent));
  return (value < 0 ? std::string(kMinus) : "") + rounded.substr(0, e) + "×" + PowerOfTen(exponent);
}

std::string Grouped(uint64_t value) { return Group(std::to_string(value)); }

ByteUnit UnitFor(double bytes) {
  constexpr ByteUnit kUnits[] = {{1e15, "PB"}, {1e12, "TB"}, {1e9, "GB"}, {1e6, "MB"}, {1e3, "KB"}};
  for (const ByteUnit& unit : kUnits) {
    if (bytes >= unit.bytes * 0.9995) return unit;  // 999,950 rounds to 1.00 MB
  }
  return {1, "B"};
}

std::string Bytes(uint64_t bytes) {
  const ByteUnit unit = UnitFor(static_cast<double>(bytes));
  if (unit.bytes == 1) return WithUnit(std::to_string(bytes), unit.name);
  return WithUnit(Significant(bytes / unit.bytes, 3), unit.name);
}

std::string BytesAndBits(uint64_t bytes, uint64_t parameters) {
  if (parameters == 0) return Bytes(bytes);
  return Bytes(bytes) + ", " + Fixed(8 * static_cast<double>(bytes) / static_cast<double>(parameters), 2) + " bits per weight";
}

std::string ExactBytes(uint64_t bytes) { return WithUnit(Grouped(bytes), bytes == 1 ? "byte" : "bytes"); }

std::string Count(uint64_t value) {
  constexpr std::pair<double, const char*> kUnits[] = {{1e12, "T"}, {1e9, "B"}, {1e6, "M"}};
  for (const auto& [size, name] : kUnits) {
    if (value >= size) return WithUnit(Fixed(value / size, 1), name);
  }
  return Grouped(value);
}

std::string Percent(double share, int decimals) {
  return std::isfinite(share) ? WithUnit(Fixed(100 * share, decimals), "%") : kNothing;
}

std::string SignedPercent(double share) {
  if (!std::isfinite(share)) return kNothing;
  if (share >= 999) return "over ×1,000";  // broken: by how much says nothing
  if (share >= 9) return "×" + Significant(1 + share);
  const std::string digits = Fixed(100 * share, std::abs(share) < 0.1 ? 2 : 1);
  const bool zero = digits.find_first_not_of("0.") == std::string::npos;
  return WithUnit((share > 0 && !zero ? "+" : "") + digits, "%");
}

std::string Seconds(double seconds) {
  if (!std::isfinite(seconds) || seconds < 0) return kNothing;
  if (seconds < 0.0095) return WithUnit("under 0.01", "s");
  if (seconds < 9.995) return WithUnit(Fixed(seconds, 2), "s");
  if (seconds < 59.95) return WithUnit(Fixed(seconds, 1), "s");
  if (seconds >= 3.6e12) return WithUnit(Significant(seconds / 3600), "h");
  const auto two = [](uint64_t n) { return (n < 10 ? "0" : "") + std::to_string(n); };
  const uint64_t whole = static_cast<uint64_t>(std::llround(seconds));
  if (whole < 3600) return WithUnit(std::to_string(whole / 60), "min ") + WithUnit(two(whole % 60), "s");
  const uint64_t minutes = (whole + 30) / 60;
  return WithUnit(Grouped(minutes / 60), "h ") + WithUnit(two(minutes % 60), "min");
}

std::string Coord(double value) {
  if (!std::isfinite(value)) value = 0;
  std::string digits = Chars(std::clamp(value, -1e6, 1e6), std::chars_format::fixed, 1);
  if (digits.ends_with(".0")) digits.resize(digits.size() - 2);
  return digits == "-0" ? "0" : digits;
}

}  // namespace nashswarm::report
