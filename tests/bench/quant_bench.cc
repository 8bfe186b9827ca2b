// Encode and decode throughput of every number format, in million weights per second (median of several runs).
//
//   quant_bench [--json FILE] [--scalar]
//
// The weights are pseudo-random with heavier tails than normal, 4096 to a row, and stay in the cache of one core: this
// measures the kernels, not the memory. `--scalar` runs the reference kernels. Needs no input files.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <functional>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "core/quant/format.h"

namespace {

namespace quant = nashswarm::quant;

constexpr size_t kRowWeights = 4096;
constexpr size_t kRows = 32;
constexpr int kRuns = 7;
constexpr double kLeastSeconds = 0.02;  // of one run: short enough to finish, long enough for the clock

struct Sample {
  std::vector<float> weights, importance;  // kRows rows; one row of importance
};

Sample MakeSample() {
  std::mt19937 random(1);
  std::student_t_distribution<float> weight(5.0f);
  std::lognormal_distribution<float> factor(0.0f, 1.0f);
  Sample sample;
  for (size_t i = 0; i < kRows * kRowWeights; ++i) sample.weights.push_back(0.02f * weight(random));
  for (size_t i = 0; i < kRowWeights; ++i) sample.importance.push_back(factor(random));
  return sample;
}

double Seconds(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// Million weights per second over all threads, each of which makes `pass` (over all rows) again and again.
double Throughput(int threads, const std::function<void(int thread)>& pass) {
  const int repeats = std::max(1, static_cast<int>(kLeastSeconds / std::max(1e-6, Seconds([&] { pass(0); }))));
  std::vector<double> rates;
  for (int run = 0; run < kRuns; ++run) {
    const double seconds = Seconds([&] {
      std::vector<std::thread> workers;
      for (int thread = 1; thread < threads; ++thread) {
        workers.emplace_back([&, thread] {
          for (int k = 0; k < repeats; ++k) pass(thread);
        });
      }
      for (int k = 0; k < repeats; ++k) pass(0);
      for (std::thread& worker : workers) worker.join();
    });
    rates.push_back(1e-6 * kRows * kRowWeights * repeats * threads / seconds);
  }
  std::sort(rates.begin(), rates.end());
  return rates[kRuns / 2];
}

struct Result {
  quant::FormatInfo info;
  double encode[2], encode_weighted[2], decode[2];  // with one and two threads
};

Result Measure(const quant::FormatInfo& info, const Sample& sample) {
  const size_t row_bytes = *quant::EncodedBytes(info.format, 1, kRowWeights);
  std::vector<std::vector<uint8_t>> encoded(2, std::vector<uint8_t>(kRows * row_bytes));
  std::vector<std::vector<float>> decoded(2, std::vector<float>(kRowWeights));
  const auto encode = [&](int thread, absl::Span<const float> importance) {
    for (size_t row = 0; row < kRows; ++row) {
      quant::EncodeRow(info.format, {sample.weights.data() + row * kRowWeights, kRowWeights}, importance,
                       encoded[thread].data() + row * row_bytes);
    }
  };
  const auto decode = [&](int thread) {
    for (size_t row = 0; row < kRows; ++row) {
      quant::DecodeRow(info.format, encoded[thread].data() + row * row_bytes, absl::MakeSpan(decoded[thread]));
    }
  };
  Result result{info};
  for (int threads = 1; threads <= 2; ++threads) {
    result.encode_weighted[threads - 1] =
        Throughput(threads, [&](int thread) { encode(thread, sample.importance); });
    result.encode[threads - 1] = Throughput(threads, [&](int thread) { encode(thread, {}); });
    result.decode[threads - 1] = Throughput(threads, decode);
  }
  return result;
}

bool WriteJson(const std::string& path, const std::vector<Result>& results) {
  std::ofstream out(path);
  out << "{\"kernels\": \"" << quant::KernelTarget() << "\", \"unit\": \"million weights per second\", \"formats\": [";
  for (const Result& r : results) {
    char line[512];
    std::snprintf(line, sizeof(line),
                  "%s\n  {\"format\": \"%s\", \"bits_per_weight\": %.4f, \"encode\": [%.1f, %.1f], "
                  "\"encode_with_importance\": [%.1f, %.1f], \"decode\": [%.1f, %.1f]}",
                  &r == results.data() ? "" : ",", r.info.name.data(), r.info.bits_per_weight(), r.encode[0],
                  r.encode[1], r.encode_weighted[0], r.encode_weighted[1], r.decode[0], r.decode[1]);
    out << line;
  }
  out << "\n]}\n";
  return static_cast<bool>(out.flush());
}

}  // namespace

int main(int argc, char** argv) {
  std::string json;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--json") == 0 && i + 1 < argc) {
      json = argv[++i];
    } else if (std::strcmp(argv[i], "--scalar") == 0) {
      quant::ForceScalarKernels(true);
    } else {
      std::fprintf(stderr, "usage: %s [--json FILE] [--scalar]\n", argv[0]);
      return 2;
    }
  }
  const Sample sample = MakeSample();
  std::printf("Million weights per second, %s kernels, 1 and 2 threads\n", quant::KernelTarget().data());
  std::printf("%-8s %6s | %8s %8s | %8s %8s | %8s %8s\n", "format", "bits", "encode", "x2", "weighted", "x2", "decode",
              "x2");
  std::vector<Result> results;
  for (const quant::FormatInfo& info : quant::AllFormats()) {
    const Result r = Measure(info, sample);
    std::printf("%-8s %6.3f | %8.1f %8.1f | %8.1f %8.1f | %8.1f %8.1f\n", info.name.data(), info.bits_per_weight(),
                r.encode[0], r.encode[1], r.encode_weighted[0], r.encode_weighted[1], r.decode[0], r.decode[1]);
    std::fflush(stdout);
    results.push_back(r);
  }
  if (!json.empty() && !WriteJson(json, results)) {
    std::fprintf(stderr, "quant_bench: cannot write %s: check the directory and free space\n", json.c_str());
    return 1;
  }
  return 0;
}
