// The flags that say what to make of a model, and the CompressionSpec they mean.
#ifndef NASHSWARM_CLIENT_CLI_TARGET_H_
#define NASHSWARM_CLIENT_CLI_TARGET_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "nashswarm/v1/nashswarm.pb.h"

namespace CLI {
class App;
}

namespace nashswarm::cli {

struct TargetFlags {
  std::string bits_per_weight;
  std::string size;
  std::string ratio;
  std::string max_ppl_increase;
  std::string max_kl;
  std::string calibrate;  // FILE or "self"
  std::string imatrix;    // FILE
  std::string evaluate;   // FILE
  int64_t calibration_tokens = 0;
  int64_t evaluation_tokens = 0;
  int32_t evaluation_context = 0;
  std::optional<int32_t> context_rounds;
  std::optional<int32_t> swarm;
  std::optional<double> swarm_seconds;
  std::string format = "gguf";
  std::vector<std::string> rules;  // "PATTERN=FORMAT"
  int threads = 0;
  uint64_t seed = 0;
  bool zero_non_finite = false;
  std::string model_name;          // empty: what the model goes by
  bool allow_tokenizer_mismatch = false;
  std::string expert_order = "original";
};

void AddTargetFlags(CLI::App* command, TargetFlags* flags);
// USAGE unless exactly one target is given, everything parses, and what is measured or searched for has a text. Where
// the spec names data it holds the FILE as written; PushDataFiles (data_files.h) turns it into a model's name.
absl::StatusOr<v1::CompressionSpec> BuildSpec(const TargetFlags& flags);

}  // namespace nashswarm::cli

#endif  // NASHSWARM_CLIENT_CLI_TARGET_H_
