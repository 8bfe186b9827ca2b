// How much of the machine's matrix multiplication the forward pass turns into logits: GFLOP/s of large sgemm calls, and of a
// llama-shaped model with random weights over windows of 512 tokens, attention and head included, in one run.
//
//   forward_bench [--threads N] [--windows N] [--json FILE]
//
// The product is measured as the forward pass uses it: one BLAS call a thread, all threads at once. Needs no input files.
#include <cblas.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "core/base/parallel.h"
#include "core/blas/blas.h"
#include "core/forward/generate.h"
#include "core/forward/kernels.h"
#include "core/forward/transformer.h"
#include "core/forward/weights.h"

namespace {

namespace forward = nashswarm::forward;
using nashswarm::checkpoint::GgufValue;

constexpr uint64_t kLayers = 12, kWidth = 768, kHeads = 12, kKvHeads = 4, kHeadWidth = 64, kFfn = 2048, kVocabulary = 32000,
                   kLength = 512, kNewTokens = 32;
constexpr int kRuns = 5;

// Weights from a hash of their place: no memory, no files, the same every time.
class RandomWeights : public forward::Weights {
 public:
  RandomWeights() {
    Put("block_count", kLayers);
    Put("context_length", 2 * kLength);
    Put("embedding_length", kWidth);
    Put("feed_forward_length", kFfn);
    Put("attention.head_count", kHeads);
    Put("attention.head_count_kv", kKvHeads);
    hyperparameters_["attention.layer_norm_rms_epsilon"] = GgufValue::F32(1e-5f);
    shapes_["token_embd.weight"] = {kVocabulary, kWidth};
    shapes_["output_norm.weight"] = {1, kWidth};
    for (uint64_t layer = 0; layer < kLayers; ++layer) {
      const std::string name = "blk." + std::to_string(layer) + ".";
      shapes_[name + "attn_norm.weight"] = shapes_[name + "ffn_norm.weight"] = {1, kWidth};
      shapes_[name + "attn_q.weight"] = {kHeads * kHeadWidth, kWidth};
      shapes_[name + "attn_k.weight"] = shapes_[name + "attn_v.weight"] = {kKvHeads * kHeadWidth, kWidth};
      shapes_[name + "attn_output.weight"] = {kWidth, kHeads * kHeadWidth};
      shapes_[name + "ffn_gate.weight"] = shapes_[name + "ffn_up.weight"] = {kFfn, kWidth};
      shapes_[name + "ffn_down.weight"] = {kWidth, kFfn};
    }
  }

  const std::string& name() const override { return name_; }
  const std::string& architecture() const override { return architecture_; }
  const GgufValue* Hyperparameter(std::string_view key) const override {
    const auto it = hyperparameters_.find(std::string(key));
    return it == hyperparameters_.end() ? nullptr : &it->second;
  }
  const forward::WeightShape* Find(std::string_view tensor) const override {
    const auto it = shapes_.find(std::string(tensor));
    return it == shapes_.end() ? nullptr : &it->second;
  }
  absl::Status Read(std::string_view tensor, uint64_t first, uint64_t count, float* out) const override {
    const forward::WeightShape& shape = shapes_.at(std::string(tensor));
    const uint64_t begin = std::hash<std::string_view>()(tensor) + first * shape.row_weights;
    for (uint64_t i = 0; i < count * shape.row_weights; ++i) {
      const uint64_t mixed = (begin + i) * 0x9e3779b97f4a7c15;
      out[i] = (static_cast<float>(mixed >> 40) * 0x1p-24f - 0.5f) * 0.07f;  // standard deviation 0.02
    }
    return absl::OkStatus();
  }

 private:
  void Put(const char* key, uint64_t value) { hyperparameters_[key] = GgufValue::U32(static_cast<uint32_t>(value)); }

  const std::string name_ = "random", architecture_ = "llama";
  std::map<std::string, GgufValue> hyperparameters_;
  std::map<std::string, forward::WeightShape> shapes_;
};

double Seconds(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// GFLOP/s of products of 1024 x 1024 matrices, one after another in every thread.
double Product(int threads) {
  constexpr int kExtent = 1024, kCalls = 8;
  struct Operands {
    std::vector<float> a, b, c;
  };
  std::vector<Operands> operands(threads);
  for (Operands& o : operands) {
    o.a.assign(kExtent * kExtent, 0.5f);
    o.b = o.c = o.a;
  }
  const double seconds = Seconds([&] {
    nashswarm::ParallelFor(threads, threads, [&](uint64_t t) {
      Operands& o = operands[t];
      for (int call = 0; call < kCalls; ++call) {
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, kExtent, kExtent, kExtent, 1, o.a.data(), kExtent, o.b.data(),
                    kExtent, 0, o.c.data(), kExtent);
      }
      return absl::OkStatus();
    }).IgnoreError();
  });
  return 2.0 * kExtent * kExtent * kExtent * kCalls * threads / seconds / 1e9;
}

// Multiplications and additions of `windows` windows: every matrix, and the scores and values that causal attention needs.
double Operations(uint64_t windows) {
  const double matrices = kWidth * (2.0 * kHeads + 2.0 * kKvHeads) * kHeadWidth + 3.0 * kWidth * kFfn;
  const double attention = 2.0 * kHeads * kHeadWidth * (kLength + 1) / 2;
  return 2 * static_cast<double>(windows * kLength) * (kLayers * (matrices + attention) + static_cast<double>(kVocabulary) * kWidth);
}

void OrExit(const absl::Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "forward_bench: %s\n", std::string(status.message()).c_str());
  std::exit(1);
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

}  // namespace

int main(int argc, char** argv) {
  nashswarm::blas::ChooseBlasKernels(argv);
  int threads = 0;
  uint64_t windows = 4;
  std::string json;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--threads") == 0 && i + 1 < argc) {
      threads = std::atoi(argv[++i]);
    } else if (std::strcmp(argv[i], "--windows") == 0 && i + 1 < argc) {
      windows = std::max(1, std::atoi(argv[++i]));
    } else if (std::strcmp(argv[i], "--json") == 0 && i + 1 < argc) {
      json = argv[++i];
    } else {
      std::fprintf(stderr, "usage: %s [--threads N] [--windows N] [--json FILE]\n", argv[0]);
      return 2;
    }
  }
  threads = nashswarm::ResolveThreads(threads);
  auto opened = forward::Transformer::Open(std::make_shared<RandomWeights>(), {.threads = threads});
  OrExit(opened.status());
  forward::Transformer& transformer = **opened;
  forward::Batch batch{{}, windows, kLength};
  for (uint64_t i = 0; i < windows * kLength; ++i) batch.tokens.push_back(static_cast<int32_t>(i * 7919 % kVocabulary));
  std::vector<float> hidden(windows * kLength * kWidth), logits(windows * kLength * kVocabulary);
  const auto pass = [&] {
    OrExit(transformer.Run(batch, hidden.data(), nullptr));
    OrExit(transformer.Logits(hidden.data(), windows * kLength, logits.data(), nullptr));
  };
  pass();  // reads the weights

  // Turn by turn, so that both see the same neighbours on the machine.
  std::vector<double> product, rate, ratio, prompt;
  for (int run = 0; run < kRuns; ++run) {
    product.push_back(Product(threads));
    const double seconds = Seconds(pass);
    rate.push_back(Operations(windows) / seconds / 1e9);
    prompt.push_back(static_cast<double>(windows * kLength) / seconds);
    ratio.push_back(rate.back() / product.back());
  }
  const double generation = Seconds([&] {
    OrExit(forward::Generate(transformer, {{1, 2, 3, 4}}, 4 + kNewTokens, {.temperature = 0}, nullptr).status());
  });

  std::printf("%d threads, OpenBLAS kernels %s, our kernels %s, %llu windows of %llu tokens\n", threads,
              nashswarm::blas::BlasKernels().c_str(), forward::ActiveKernels().name.data(),
              static_cast<unsigned long long>(windows), static_cast<unsigned long long>(kLength));
  std::printf("sgemm            %8.1f GFLOP/s\n", Median(product));
  std::printf("forward pass     %8.1f GFLOP/s, %.0f tokens/s\n", Median(rate), Median(prompt));
  std::printf("ratio            %8.1f %% (best %.1f %%)\n", 100 * Median(ratio), 100 * *std::max_element(ratio.begin(), ratio.end()));
  std::printf("generation       %8.1f tokens/s, one sequence\n", kNewTokens / generation);
  if (json.empty()) return 0;
  std::ofstream out(json);
  out << "{\"threads\": " << threads << ", \"sgemm_gflops\": " << Median(product) << ", \"forward_gflops\": " << Median(rate)
      << ", \"ratio\": " << Median(ratio) << ", \"prompt_tokens_per_second\": " << Median(prompt)
      << ", \"generated_tokens_per_second\": " << kNewTokens / generation << "}\n";
  if (!out.flush()) {
    std::fprintf(stderr, "forward_bench: cannot write %s: check the directory and free space\n", json.c_str());
    return 1;
  }
  return 0;
}
