// Quantities as people write and read them.
#ifndef NASHSWARM_CLIENT_CLI_SIZES_H_
#define NASHSWARM_CLIENT_CLI_SIZES_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace nashswarm::cli {

// "50MB" (10^6), "50MiB" (2^20), "1.5GB", "800k" or plain bytes; at least 1 byte.
absl::StatusOr<int64_t> ParseSize(std::string_view text);
// Share of the FP32 bytes saved, in (0, 1), from "0.9", "90%" or "10x" (a tenth of the size).
absl::StatusOr<double> ParseRatio(std::string_view text);
// A rise as a share, in (0, 10], from "2%" or "0.02". A plain number above 1 is most likely a forgotten percent sign, so
// it is refused.
absl::StatusOr<double> ParseIncrease(std::string_view text);
// A divergence in nats, in (0, 100].
absl::StatusOr<double> ParseDivergence(std::string_view text);
// Bits per weight of the whole file, in (0, 32].
absl::StatusOr<double> ParseBitsPerWeight(std::string_view text);

std::string FormatBytes(double bytes);       // "23.4 MB"
std::string FormatCount(double count);       // "5.84 M"
std::string FormatDuration(double seconds);  // "3.2 s", "4m 05s", "2h 03m"
std::string FormatPercent(double share);     // 0.8712 -> "87.1 %"
std::string FormatChange(double share);      // 0.0213 -> "+2.13 %"
std::string FormatFixed(double value, int decimals);
std::string FormatSignificant(double value, int digits);  // "12.50", "0.0203", "4.1e-05"; zeros at the end are kept
std::string FormatError(double relative);  // a relative error: "0.00312", "4.1e-05"

}  // namespace nashswarm::cli

#endif  // NASHSWARM_CLIENT_CLI_SIZES_H_
