#include <cmath>
#include <iostream>
#include <random>

#include "absl/strings/str_format.h"
#include "core/base/json.h"
#include "core/engine/commands.h"
#include "core/engine/table.h"
#include "core/quant/error.h"

namespace nashswarm::engine {
namespace {

constexpr int kRows = 64, kRowWeights = 4096;  // the ratio's standard error is about 0.01 dB

// Signal to noise in decibels of rows drawn by `draw`.
template <typename Draw>
double SignalToNoise(quant::Format format, Draw draw) {
  quant::RowError total;
  quant::ErrorScratch scratch;
  std::vector<float> row(kRowWeights);
  for (int r = 0; r < kRows; ++r) {
    for (float& value : row) value = static_cast<float>(draw());
    total += quant::MeasureRow(format, row, {}, scratch);
  }
  return total.error > 0 ? 10 * std::log10(total.energy / total.error) : INFINITY;
}

}  // namespace

int RunSchemes(bool json) {
  Table table({"format", ">bits a weight", ">block", ">SNR normal (dB)", ">SNR Laplace (dB)"});
  Json out = Json::array();
  for (const quant::FormatInfo& info : quant::AllFormats()) {
    std::mt19937_64 random(1);
    std::normal_distribution<double> normal(0, 0.02);
    std::exponential_distribution<double> magnitude(50);
    const double snr_normal = SignalToNoise(info.format, [&] { return normal(random); });
    const double snr_laplace =
        SignalToNoise(info.format, [&] { return (random() & 1 ? 1 : -1) * magnitude(random); });
    const auto show = [](double snr) { return std::isinf(snr) ? std::string("exact") : absl::StrFormat("%.2f", snr); };
    table.Add({std::string(info.name), absl::StrFormat("%.4g", info.bits_per_weight()), std::to_string(info.block_weights),
               show(snr_normal), show(snr_laplace)});
    Json entry = {{"format", info.name}, {"bits_per_weight", info.bits_per_weight()}, {"block_weights", info.block_weights}};
    entry["snr_normal_db"] = std::isinf(snr_normal) ? Json() : Json(snr_normal);
    entry["snr_laplace_db"] = std::isinf(snr_laplace) ? Json() : Json(snr_laplace);
    out.push_back(std::move(entry));
  }
  if (json) std::cout << Json{{"schemes", std::move(out)}}.dump(1) << "\n";
  else std::cout << table.ToString();
  return 0;
}

}  // namespace nashswarm::engine
