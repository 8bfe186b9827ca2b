// Speed of coding one 1024 x 1024 tile, in million weights per second on one thread (median of several runs), and its
// size against the table model's ideal and against the entropy of the integers.
//
//   coding_bench [--json FILE]
//
// The integers are Gaussian with a spread that differs from context to context, 3 bits on average, as a quantizer of
// weights makes them; the tile stays in the cache of one core. Needs no input files.
#include <time.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "core/coding/kernels.h"
#include "core/coding/tile.h"
#include "core/coding/trellis.h"

namespace {

namespace coding = nashswarm::coding;

constexpr uint32_t kRows = 1024, kColumns = 1024;
constexpr int kRuns = 7;
constexpr double kLeastSeconds = 0.02;  // of one run
constexpr size_t kMagnitudes = 256;

struct Sample {
  std::string name;
  coding::TileShape shape{kRows, kColumns};
  bool dependent;
  std::vector<uint8_t> row_class, column_class;
  std::vector<int32_t> k;
  std::vector<coding::FrequencyTable> tables;
  std::vector<double> counts;

  coding::Contexts contexts() const { return {{row_class, column_class}, dependent, tables}; }
};

// The nearest k of a quantizer, in units of half its step.
int32_t Nearest(float value, int quantizer) {
  if (quantizer == 0) return static_cast<int32_t>(std::lround(value / 2));
  const float magnitude = std::fabs(value);
  const int32_t k = magnitude < 0.5f ? 0 : static_cast<int32_t>(std::lround((magnitude + 1) / 2));
  return value < 0 ? -k : k;
}

Sample MakeSample(const std::string& name, int contexts, bool dependent) {
  Sample sample{name};
  sample.dependent = dependent;
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  const int row_classes = (contexts + 1) / 2, column_classes = contexts + 1 - row_classes;
  for (uint32_t r = 0; r < kRows; ++r) sample.row_class.push_back(random() % row_classes);
  for (uint32_t c = 0; c < kColumns; ++c) sample.column_class.push_back(random() % column_classes);
  std::vector<int> state(kColumns);
  for (uint32_t r = 0; r < kRows; ++r) {
    for (uint32_t c = 0; c < kColumns; ++c) {
      const int context = sample.row_class[r] + sample.column_class[c];
      const float spread = 3.9f * std::exp2((context - (contexts - 1) / 2.0f) / 8.0f);
      const int quantizer = dependent ? coding::QuantizerOf(state[c]) : 0;
      const int32_t k = Nearest(spread * normal(random), quantizer);
      state[c] = coding::NextState(state[c], k);
      sample.k.push_back(k);
    }
  }
  sample.counts.resize(kMagnitudes * contexts * (dependent ? 2 : 1));
  coding::CountMagnitudes(sample.shape, sample.k.data(), sample.contexts().classes, dependent, kMagnitudes,
                          absl::MakeSpan(sample.counts));
  for (size_t first = 0; first < sample.counts.size(); first += kMagnitudes) {
    sample.tables.push_back(coding::FrequencyTable::Fit({sample.counts.data() + first, kMagnitudes}));
  }
  return sample;
}

// Of the integers of each table, signs included, in bits.
double Entropy(const Sample& sample) {
  double bits = 0;
  for (size_t first = 0; first < sample.counts.size(); first += kMagnitudes) {
    double total = 0;
    for (size_t v = 0; v < kMagnitudes; ++v) total += sample.counts[first + v];
    for (size_t v = 0; v < kMagnitudes; ++v) {
      const double count = sample.counts[first + v];
      if (count > 0) bits += count * ((v > 0 ? 1 : 0) - std::log2(count / total));
    }
  }
  return bits;
}

// Processor time: what else runs on the machine disturbs it less than the time of day.
double ThreadSeconds() {
  timespec time;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

double Rate(const std::function<void()>& pass) {
  const auto seconds = [&](int repeats) {
    const double start = ThreadSeconds();
    for (int i = 0; i < repeats; ++i) pass();
    return ThreadSeconds() - start;
  };
  const int repeats = std::max(1, static_cast<int>(kLeastSeconds / std::max(1e-6, seconds(1))));
  std::vector<double> rates;
  for (int run = 0; run < kRuns; ++run) rates.push_back(1e-6 * kRows * kColumns * repeats / seconds(repeats));
  std::sort(rates.begin(), rates.end());
  return rates[kRuns / 2];
}

struct Result {
  std::string name;
  double encode, decode[2][4];              // [plain, SIMD][int32, F32, F16, BF16]
  double bits, ideal, entropy, table_bits;  // per weight
};

void Require(const absl::Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "coding_bench: %s\n", status.ToString().c_str());
  std::exit(1);
}

Result Measure(const Sample& sample) {
  Result result{sample.name};
  const coding::Contexts contexts = sample.contexts();
  std::vector<uint8_t> payload;
  result.encode = Rate([&] {
    auto encoded = coding::EncodeTile(sample.shape, sample.k.data(), contexts);
    Require(encoded.status());
    payload = *std::move(encoded);
  });
  const coding::DecodeTables tables(sample.tables, sample.dependent);
  std::vector<int32_t> k(sample.k.size());
  std::vector<float> out(sample.k.size()), column_scale(kColumns, 0.37f), row_scale(kRows, 0.011f);
  for (const bool simd : {false, true}) {
    coding::ForceScalarKernels(!simd);
    result.decode[simd][0] =
        Rate([&] { Require(coding::DecodeTile(payload, sample.shape, contexts.classes, tables, k.data())); });
    for (const auto output : {coding::Output::kF32, coding::Output::kF16, coding::Output::kBF16}) {
      result.decode[simd][1 + static_cast<int>(output)] = Rate([&] {
        Require(coding::DecodeTileTo(payload, sample.shape, contexts.classes, tables, column_scale.data(),
                                     row_scale.data(), output, out.data(), kColumns));
      });
    }
  }
  if (k != sample.k) std::fprintf(stderr, "coding_bench: %s does not decode to what was coded\n", sample.name.c_str());
  const double weights = static_cast<double>(sample.k.size());
  coding::BitWriter bits;
  for (const coding::FrequencyTable& table : sample.tables) table.Write(bits);
  result.bits = 8.0 * static_cast<double>(payload.size()) / weights;
  result.ideal = coding::IdealBits(sample.shape, sample.k.data(), contexts) / weights;
  result.entropy = Entropy(sample) / weights;
  result.table_bits = static_cast<double>(bits.bits()) / weights;
  return result;
}

bool WriteJson(const std::string& path, const std::vector<Result>& results) {
  std::ofstream out(path);
  out << "{\"kernels\": \"" << coding::SimdKernels().name
      << "\", \"unit\": \"million weights per second\", \"tiles\": [";
  for (const Result& r : results) {
    char line[512];
    std::snprintf(line, sizeof(line),
                  "%s\n  {\"tile\": \"%s\", \"encode\": %.1f, \"decode_plain\": [%.1f, %.1f, %.1f, %.1f], "
                  "\"decode\": [%.1f, %.1f, %.1f, %.1f], \"bits\": %.5f, \"ideal_bits\": %.5f, \"entropy\": %.5f, "
                  "\"table_bits\": %.5f}",
                  &r == results.data() ? "" : ",", r.name.c_str(), r.encode, r.decode[0][0], r.decode[0][1],
                  r.decode[0][2], r.decode[0][3], r.decode[1][0], r.decode[1][1], r.decode[1][2], r.decode[1][3],
                  r.bits, r.ideal, r.entropy, r.table_bits);
    out << line;
  }
  out << "\n]}\n";
  return static_cast<bool>(out.flush());
}

}  // namespace

int main(int argc, char** argv) {
  std::string json;
  if (argc == 3 && std::strcmp(argv[1], "--json") == 0) {
    json = argv[2];
  } else if (argc != 1) {
    std::fprintf(stderr, "usage: %s [--json FILE]\n", argv[0]);
    return 2;
  }
  std::printf("Million weights per second, one thread; decode with plain kernels and with %s\n",
              coding::SimdKernels().name.data());
  std::printf("%-26s %7s | %7s %7s %7s %7s | %7s %7s %7s %7s | %8s %8s %8s %8s\n", "tile", "encode", "int32", "F32",
              "F16", "BF16", "int32", "F32", "F16", "BF16", "bits", "ideal", "entropy", "tables");
  std::vector<Result> results;
  for (const bool dependent : {false, true}) {
    for (const int contexts : {1, 4, 16}) {
      const std::string name = std::to_string(contexts) + (dependent ? " contexts, dependent" : " contexts");
      const Result r = Measure(MakeSample(name, contexts, dependent));
      std::printf("%-26s %7.1f |", r.name.c_str(), r.encode);
      for (const auto& kernel : r.decode) {
        for (const double rate : kernel) std::printf(" %7.1f", rate);
        std::printf(" |");
      }
      std::printf(" %8.5f %8.5f %8.5f %8.5f\n", r.bits, r.ideal, r.entropy, r.table_bits);
      std::fflush(stdout);
      results.push_back(r);
    }
  }
  if (!json.empty() && !WriteJson(json, results)) {
    std::fprintf(stderr, "coding_bench: cannot write %s: check the directory and free space\n", json.c_str());
    return 1;
  }
  return 0;
}
