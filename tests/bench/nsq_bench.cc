// Speed of quantizing, writing and decoding a matrix of normal weights with all settings at their defaults, in million
// weights per second of one core and on two threads, with and without a full second moment; its rate, and its distance
// from the bound D = 2^-2R in dB.
//
//   nsq_bench [ROWS COLUMNS]       default 3072 768
//
// Needs no input files.
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "core/blas/blas.h"
#include "core/nsq/quantizer.h"
#include "core/nsq/stream.h"

namespace {

namespace nsq = nashswarm::nsq;
namespace coding = nashswarm::coding;

constexpr int kRuns = 5;
constexpr double kStep = 0.4;  // of the spread: 2.3 bits

std::vector<float> Normal(size_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(count);
  for (float& v : values) v = normal(random);
  return values;
}

// The second moment of inputs that follow each other (x[j] leans on x[j - 1]), with powers over two orders of magnitude.
std::shared_ptr<const nashswarm::feedback::Moment> MakeMoment(uint32_t width) {
  std::vector<float> h(size_t{width} * width);
  for (uint32_t i = 0; i < width; ++i) {
    for (uint32_t j = 0; j < width; ++j) {
      const double powers = std::exp2(0.3 * ((i * 37 % 23) + (j * 37 % 23)));
      h[size_t{i} * width + j] = static_cast<float>(powers * std::pow(0.9, std::abs(static_cast<int>(i) - static_cast<int>(j))));
    }
  }
  return nashswarm::feedback::Moment::Make(h, width);
}

struct Seconds {
  double wall, processor;
};

Seconds Now() {
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  const double processor = static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                           1e-6 * static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return {std::chrono::duration<double>(now).count(), processor};
}

// The best of some runs: other programs can only make one slower.
Seconds Best(const std::function<void()>& run) {
  Seconds best{1e30, 1e30};
  for (int i = 0; i < kRuns; ++i) {
    const Seconds start = Now();
    run();
    const Seconds end = Now();
    best.wall = std::min(best.wall, end.wall - start.wall);
    best.processor = std::min(best.processor, end.processor - start.processor);
  }
  return best;
}

void Require(const absl::Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "nsq_bench: %s\n", status.ToString().c_str());
  std::exit(1);
}

void Print(const char* what, double millions, Seconds seconds) {
  std::printf("  %s %7.1f (%6.1f)", what, millions / seconds.wall, millions / seconds.processor);
}

void Measure(const char* name, const std::vector<float>& weights, uint32_t rows, uint32_t columns, const nsq::MatrixLoss& loss,
             int threads) {
  nsq::Quantized quantized;
  const Seconds quantize = Best([&] {
    const nsq::Quantizer quantizer(weights.data(), rows, columns, loss, {.threads = threads});
    quantized = quantizer.Quantize(kStep * quantizer.spread());
  });
  std::string stream;
  const Seconds write = Best([&] {
    auto written = nsq::Write(quantized.matrix, threads);
    Require(written.status());
    stream = *std::move(written);
  });
  std::vector<uint16_t> halves(weights.size());
  const Seconds decode = Best([&] {
    auto opened = nsq::Stream::Open({reinterpret_cast<const uint8_t*>(stream.data()), stream.size()}, rows, columns, "bench");
    Require(opened.status());
    for (uint32_t tile = 0; tile < opened->grid().tiles(); ++tile) {
      Require(opened->DecodeTile(tile, coding::Output::kF16, &halves[size_t{tile} * opened->grid().tile_rows() * columns], columns));
    }
  });
  const double millions = 1e-6 * static_cast<double>(weights.size());
  const double bits = 8.0 * static_cast<double>(stream.size()) / static_cast<double>(weights.size());
  const std::vector<float> decoded = nsq::Decode(quantized.matrix);
  const double distortion = nsq::Compare(loss, weights.data(), decoded.data(), 0, rows, columns).relative();
  std::printf("%-12s %d", name, threads);
  Print("quantize", millions, quantize);
  Print("write", millions, write);
  Print("decode", millions, decode);
  std::printf("  %7.4f bits %8.3f dB\n", bits, 10 * std::log10(distortion) + 6.0206 * bits);
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 1 && argc != 3) {
    std::fprintf(stderr, "usage: %s [ROWS COLUMNS]\n", argv[0]);
    return 2;
  }
  nashswarm::blas::UseSingleThreadedBlas();
  const uint32_t rows = argc == 3 ? static_cast<uint32_t>(std::atoi(argv[1])) : 3072;
  const uint32_t columns = argc == 3 ? static_cast<uint32_t>(std::atoi(argv[2])) : 768;
  const std::vector<float> weights = Normal(size_t{rows} * columns, 1);
  std::printf("%u x %u, million weights per second of the clock (of processor time); decoding on one thread\n", rows, columns);
  const nsq::MatrixLoss plain, full{.moment = MakeMoment(columns)};
  for (const int threads : {1, 2}) {
    Measure("no moment", weights, rows, columns, plain, threads);
    Measure("full moment", weights, rows, columns, full, threads);
  }
  return 0;
}
