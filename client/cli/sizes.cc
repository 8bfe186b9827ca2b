#include "client/cli/sizes.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <optional>
#include <utility>

#include "client/cli/errors.h"

namespace nashswarm::cli {
namespace {

// 2^62: far above any checkpoint, and safe from overflow when sizes are added.
constexpr double kLargestSize = 4611686018427387904.0;

struct Unit {
  const char* name;
  double factor;
};
constexpr std::array<Unit, 14> kUnits = {{{"", 1},
                                          {"b", 1},
                                          {"k", 1e3},
                                          {"kb", 1e3},
                                          {"kib", 1024.0},
                                          {"m", 1e6},
                                          {"mb", 1e6},
                                          {"mib", 1048576.0},
                                          {"g", 1e9},
                                          {"gb", 1e9},
                                          {"gib", 1073741824.0},
                                          {"t", 1e12},
                                          {"tb", 1e12},
                                          {"tib", 1099511627776.0}}};

// A number and what follows it, in lower case and without spaces; nullopt when there is no finite number.
std::optional<std::pair<double, std::string>> SplitNumber(std::string_view text) {
  std::string compact;
  for (const char c : text) {
    if (!std::isspace(static_cast<unsigned char>(c))) {
      compact.push_back(static_cast<char>(std::tolower(static_cast<unsigned char>(c))));
    }
  }
  double value = 0;
  const char* const last = compact.data() + compact.size();
  const auto [end, error] = std::from_chars(compact.data(), last, value);
  if (error != std::errc() || !std::isfinite(value)) return std::nullopt;
  return std::make_pair(value, std::string(end, last));
}

std::string Format(const char* format, double value) {
  std::array<char, 64> buffer;
  std::snprintf(buffer.data(), buffer.size(), format, value);
  return buffer.data();
}

std::string Scaled(double value, const std::array<const char*, 5>& units) {
  size_t unit = 0;
  // 999.5 would be printed as "1000".
  while (std::abs(value) >= 999.5 && unit + 1 < units.size()) {
    value /= 1000;
    ++unit;
  }
  const int decimals = unit == 0 ? 0 : value < 9.995 ? 2 : value < 99.95 ? 1 : 0;
  const std::string number = FormatFixed(value, decimals);
  return *units[unit] == '\0' ? number : number + " " + units[unit];
}

}  // namespace

absl::StatusOr<int64_t> ParseSize(std::string_view text) {
  const char* hint = "write it like 50MB, 50MiB, 1.5GB or plain bytes";
  const auto parts = SplitNumber(text);
  if (!parts) return UsageError("'" + std::string(text) + "' is not a size", hint);
  const auto unit = std::find_if(kUnits.begin(), kUnits.end(), [&](const Unit& u) { return parts->second == u.name; });
  if (unit == kUnits.end()) {
    return UsageError("'" + std::string(text) + "' has the unknown unit '" + parts->second + "'", hint);
  }
  const double bytes = parts->first * unit->factor;
  if (bytes < 1 || bytes > kLargestSize) {
    return UsageError("the size '" + std::string(text) + "' is out of range", hint);
  }
  return static_cast<int64_t>(bytes);
}

absl::StatusOr<double> ParseRatio(std::string_view text) {
  const char* hint = "write the share of FP32 bytes to save like 0.9 or 90%, or the factor like 10x";
  const auto parts = SplitNumber(text);
  if (!parts) return UsageError("'" + std::string(text) + "' is not a ratio", hint);
  double share = 0;
  if (parts->second.empty()) {
    share = parts->first;
  } else if (parts->second == "%") {
    share = parts->first / 100;
  } else if (parts->second == "x") {
    share = parts->first <= 0 ? 0 : 1 - 1 / parts->first;
  } else {
    return UsageError("'" + std::string(text) + "' is not a ratio", hint);
  }
  if (!(share > 0 && share < 1)) {
    return UsageError("the ratio '" + std::string(text) + "' must save more than nothing and less than everything",
                      hint);
  }
  return share;
}

absl::StatusOr<double> ParseIncrease(std::string_view text) {
  const char* hint = "write it like 2% or 0.02";
  const auto parts = SplitNumber(text);
  if (!parts || (!parts->second.empty() && parts->second != "%")) {
    return UsageError("'" + std::string(text) + "' is not an increase", hint);
  }
  const bool percent = !parts->second.empty();
  if (!percent && parts->first > 1) {
    return UsageError("the increase '" + std::string(text) + "' is more than double",
                      "write " + std::string(text) + "% if percent are meant");
  }
  const double share = percent ? parts->first / 100 : parts->first;
  if (!(share > 0 && share <= 10)) {
    return UsageError("the increase '" + std::string(text) + "' is not between 0 and 1000 %", hint);
  }
  return share;
}

absl::StatusOr<double> ParseDivergence(std::string_view text) {
  const auto parts = SplitNumber(text);
  if (!parts || !parts->second.empty() || !(parts->first > 0 && parts->first <= 100)) {
    return UsageError("'" + std::string(text) + "' is not a KL divergence between 0 and 100 nats",
                      "write it like 0.01");
  }
  return parts->first;
}

absl::StatusOr<double> ParseBitsPerWeight(std::string_view text) {
  const auto parts = SplitNumber(text);
  if (!parts || !parts->second.empty() || !(parts->first > 0 && parts->first <= 32)) {
    return UsageError("'" + std::string(text) + "' is not a number of bits per weight between 0 and 32",
                      "write it like 4.5");
  }
  return parts->first;
}

std::string FormatBytes(double bytes) { return Scaled(bytes, {"B", "kB", "MB", "GB", "TB"}); }
std::string FormatCount(double count) { return Scaled(count, {"", "k", "M", "G", "T"}); }

std::string FormatDuration(double seconds) {
  if (seconds < 9.95) return FormatFixed(seconds, 1) + " s";
  const auto whole = static_cast<int64_t>(std::llround(seconds));
  std::array<char, 64> buffer;
  if (whole < 60) {
    std::snprintf(buffer.data(), buffer.size(), "%d s", static_cast<int>(whole));
  } else if (whole < 3600) {
    std::snprintf(buffer.data(), buffer.size(), "%dm %02ds", static_cast<int>(whole / 60),
                  static_cast<int>(whole % 60));
  } else {
    std::snprintf(buffer.data(), buffer.size(), "%lldh %02dm", static_cast<long long>(whole / 3600),
                  static_cast<int>(whole % 3600 / 60));
  }
  return buffer.data();
}

std::string FormatPercent(double share) { return FormatFixed(share * 100, 1) + " %"; }

std::string FormatChange(double share) { return Format("%+.2f %%", share * 100); }

std::string FormatSignificant(double value, int digits) {
  std::array<char, 64> buffer;
  std::snprintf(buffer.data(), buffer.size(), "%#.*g", digits, value);
  std::string text = buffer.data();
  if (!text.empty() && text.back() == '.') text.pop_back();  // '#' keeps the point of a whole number too
  if (const size_t point = text.find(".e"); point != std::string::npos) text.erase(point, 1);
  return text;
}

std::string FormatFixed(double value, int decimals) {
  std::array<char, 64> buffer;
  std::snprintf(buffer.data(), buffer.size(), "%.*f", decimals, value);
  return buffer.data();
}

std::string FormatError(double relative) { return Format("%.3g", relative); }

}  // namespace nashswarm::cli
