#include "client/cli/target.h"

#include <CLI/CLI.hpp>

#include "client/cli/errors.h"
#include "client/cli/sizes.h"

namespace nashswarm::cli {
namespace {

absl::Status AddRule(const std::string& text, v1::CompressionSpec* spec) {
  // The last '=': a pattern may hold one, a format never does.
  const size_t split = text.rfind('=');
  if (split == std::string::npos || split == 0 || split + 1 == text.size()) {
    return UsageError(
        "the rule '" + text + "' is not PATTERN=FORMAT",
        "write it like --rule '.*attn.*=Q6_K' or --rule 'lm_head.*=keep'; nashswarm schemes lists formats");
  }
  auto* rule = spec->add_rules();
  rule->set_pattern(text.substr(0, split));
  rule->set_format(text.substr(split + 1));
  return absl::OkStatus();
}

}  // namespace

void AddTargetFlags(CLI::App* command, TargetFlags* flags) {
  const char* group = "Target (exactly one)";
  command->add_option("--bpw", flags->bits_per_weight, "Bits per weight of the whole file, e.g. 4.5")
      ->type_name("BITS")
      ->group(group);
  command->add_option("--size", flags->size, "Largest file: 50MB, 50MiB, 1.5GB or bytes")
      ->type_name("SIZE")
      ->group(group);
  command->add_option("--ratio", flags->ratio, "Share of the FP32 bytes to save: 0.9, 90% or 10x")
      ->type_name("RATIO")
      ->group(group);
  command->add_option("--format", flags->format, "Format of the artifact")
      ->check(CLI::IsMember({"gguf"}))
      ->type_name("FORMAT")
      ->capture_default_str();
  command->add_option("--rule", flags->rules, "Format of the tensors whose whole name matches; may be repeated")
      ->type_name("PATTERN=FORMAT")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  command->add_option("--threads", flags->threads, "Threads a task; 0: all of the worker. Never changes the result")
      ->type_name("N")
      ->check(CLI::NonNegativeNumber);
  command->add_option("--seed", flags->seed, "Seed of row sampling")->type_name("N");
  command->add_flag("--zero-non-finite", flags->zero_non_finite, "Turn NaN and infinite weights into 0, not an error");
}

absl::StatusOr<v1::CompressionSpec> BuildSpec(const TargetFlags& flags) {
  const int targets = !flags.bits_per_weight.empty() + !flags.size.empty() + !flags.ratio.empty();
  if (targets != 1) {
    return UsageError(targets == 0 ? "there is no target" : "there is more than one target",
                      "give exactly one of --bpw 4.5, --size 50MB, --ratio 0.9");
  }
  v1::CompressionSpec spec;
  if (!flags.bits_per_weight.empty()) {
    NS_ASSIGN_OR_RETURN(const double bits, ParseBitsPerWeight(flags.bits_per_weight));
    spec.set_bits_per_weight(bits);
  } else if (!flags.size.empty()) {
    NS_ASSIGN_OR_RETURN(const int64_t size, ParseSize(flags.size));
    spec.set_size_bytes(size);
  } else {
    NS_ASSIGN_OR_RETURN(const double ratio, ParseRatio(flags.ratio));
    spec.set_ratio(ratio);
  }
  spec.set_artifact_format(flags.format);
  spec.set_threads(flags.threads);
  spec.set_seed(flags.seed);
  spec.set_zero_non_finite(flags.zero_non_finite);
  for (const std::string& rule : flags.rules) NS_RETURN_IF_ERROR(AddRule(rule, &spec));
  return spec;
}

}  // namespace nashswarm::cli
