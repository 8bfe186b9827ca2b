#include "client/cli/target.h"

#include <CLI/CLI.hpp>

#include "client/cli/download.h"
#include "client/cli/errors.h"
#include "client/cli/sizes.h"

namespace nashswarm::cli {
namespace {

constexpr char kTogether[] = "together";

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

absl::Status SetTarget(const TargetFlags& flags, v1::CompressionSpec* spec) {
  int targets = 0;
  for (const std::string* target :
       {&flags.bits_per_weight, &flags.size, &flags.ratio, &flags.max_ppl_increase, &flags.max_kl}) {
    targets += target->empty() ? 0 : 1;
  }
  if (targets != 1) {
    return UsageError(targets == 0 ? "there is no target" : "there is more than one target",
                      "give exactly one of --bpw 4.5, --size 50MB, --ratio 0.9, --max-ppl-increase 2%, --max-kl 0.01");
  }
  if (!flags.bits_per_weight.empty()) {
    NS_ASSIGN_OR_RETURN(const double bits, ParseBitsPerWeight(flags.bits_per_weight));
    spec->set_bits_per_weight(bits);
  } else if (!flags.size.empty()) {
    NS_ASSIGN_OR_RETURN(const int64_t size, ParseSize(flags.size));
    spec->set_size_bytes(size);
  } else if (!flags.ratio.empty()) {
    NS_ASSIGN_OR_RETURN(const double ratio, ParseRatio(flags.ratio));
    spec->set_ratio(ratio);
  } else if (!flags.max_ppl_increase.empty()) {
    NS_ASSIGN_OR_RETURN(const double increase, ParseIncrease(flags.max_ppl_increase));
    spec->set_max_ppl_increase(increase);
  } else {
    NS_ASSIGN_OR_RETURN(const double divergence, ParseDivergence(flags.max_kl));
    spec->set_max_kl(divergence);
  }
  return absl::OkStatus();
}

absl::Status SetCalibration(const TargetFlags& flags, v1::CompressionSpec* spec) {
  if (!flags.calibrate.empty() && !flags.imatrix.empty()) {
    return UsageError("--calibrate and --imatrix are two ways to say the same", "leave out one of them");
  }
  if (flags.calibration_tokens != 0 && flags.calibrate.empty()) {
    return UsageError("--calibration-tokens is for --calibrate, which is not given",
                      "add --calibrate FILE or --calibrate self");
  }
  if (flags.calibrate == "self") {
    spec->mutable_calibration()->set_self(true);
  } else if (!flags.calibrate.empty()) {
    spec->mutable_calibration()->set_text(flags.calibrate);
  } else if (!flags.imatrix.empty()) {
    spec->mutable_calibration()->set_imatrix(flags.imatrix);
  }
  if (flags.calibration_tokens != 0) spec->mutable_calibration()->set_tokens(flags.calibration_tokens);
  return absl::OkStatus();
}

absl::Status SetEvaluation(const TargetFlags& flags, v1::CompressionSpec* spec) {
  const bool has_text = !flags.evaluate.empty() || !flags.calibrate.empty();
  const char* hint =
      "name a text: --evaluate FILE, or --calibrate FILE or --calibrate self, part of which is held out for it";
  const bool quality_target = spec->has_max_ppl_increase() || spec->has_max_kl();
  if (quality_target && !has_text) return UsageError("a quality target needs a text to measure on", hint);
  const bool details = flags.evaluation_tokens != 0 || flags.evaluation_context != 0;
  if (details && !has_text) return UsageError("there is no text to measure on", hint);
  // The server's limits; said here before anything is sent.
  if (flags.evaluation_context != 0 && (flags.evaluation_context < 8 || flags.evaluation_context > 1 << 20)) {
    return UsageError("--evaluation-context is neither 0 nor 8 to 1048576", "512 is a common choice");
  }
  if (flags.evaluate.empty() && !details) return absl::OkStatus();
  v1::Evaluation* evaluation = spec->mutable_evaluation();
  evaluation->set_text(flags.evaluate);
  evaluation->set_tokens(flags.evaluation_tokens);
  evaluation->set_context(flags.evaluation_context);
  return absl::OkStatus();
}

absl::Status CheckSearchLimits(const TargetFlags& flags) {
  // The server's limits; said here before anything is sent.
  const int rounds = flags.context_rounds.value_or(0), plans = flags.swarm.value_or(0);
  const double seconds = flags.swarm_seconds.value_or(0);
  if (rounds < 0 || rounds > 16) return UsageError("--context-rounds is not 0 to 16", "2 is a common choice");
  if (plans < 0 || plans > 100000) return UsageError("--swarm is not 0 to 100000", "0 means no swarm");
  if (!(seconds >= 0 && seconds <= 86400)) {
    return UsageError("--swarm-seconds is not 0 to 86400", "0 means no limit in time");
  }
  return absl::OkStatus();
}

absl::Status SetSearch(const TargetFlags& flags, v1::CompressionSpec* spec) {
  const bool asked = flags.context_rounds || flags.swarm || flags.swarm_seconds;
  if (!asked) return absl::OkStatus();
  if (flags.swarm_seconds && !flags.swarm) {
    return UsageError("--swarm-seconds is for --swarm, which is not given", "add --swarm N");
  }
  NS_RETURN_IF_ERROR(CheckSearchLimits(flags));
  if (flags.calibrate.empty()) {
    return UsageError("a search needs a text to try plans on",
                      "add --calibrate FILE or --calibrate self; a text of --evaluate must stay unseen");
  }
  v1::Search* search = spec->mutable_search();
  search->set_context_rounds(flags.context_rounds.value_or(0));
  search->set_swarm_evaluations(flags.swarm.value_or(0));
  search->set_swarm_seconds(flags.swarm_seconds.value_or(0));
  return absl::OkStatus();
}

absl::Status SetExpertOrder(const TargetFlags& flags, v1::CompressionSpec* spec) {
  if (flags.expert_order != kTogether) return absl::OkStatus();
  if (flags.calibrate.empty()) {
    return UsageError("--expert-order together needs a text that shows which experts are used together",
                      "add --calibrate FILE or --calibrate self; an importance matrix does not say");
  }
  spec->set_expert_order(v1::CompressionSpec::TOGETHER);
  return absl::OkStatus();
}

void AddSearchFlags(CLI::App* command, TargetFlags* flags) {
  const char* group = "Search";
  command
      ->add_option("--context-rounds", flags->context_rounds,
                   "Best response in context: measure every tensor's harm again with all others compressed, and play "
                   "again, N times")
      ->type_name("N")
      ->group(group);
  command
      ->add_option("--swarm", flags->swarm,
                   "Let a flock of plans search for a lower measured KL divergence, at most N plans tried")
      ->type_name("N")
      ->group(group);
  command->add_option("--swarm-seconds", flags->swarm_seconds, "End the swarm after S seconds; 0: no limit")
      ->type_name("S")
      ->group(group);
}

void AddMeasuringFlags(CLI::App* command, TargetFlags* flags) {
  const char* group = "Calibration and evaluation";
  command->add_option("--calibrate", flags->calibrate, "Text to weigh losses by, or 'self': the model writes its own")
      ->type_name("FILE")
      ->group(group);
  command->add_option("--imatrix", flags->imatrix, "Importance matrix of llama.cpp, instead of --calibrate")
      ->type_name("FILE")
      ->group(group);
  command->add_option("--evaluate", flags->evaluate, "Text to measure perplexity and KL divergence on")
      ->type_name("FILE")
      ->group(group);
  command->add_option("--calibration-tokens", flags->calibration_tokens, "Calibrate on at most so many; 0: the default")
      ->type_name("N")
      ->check(CLI::NonNegativeNumber)
      ->group(group);
  command->add_option("--evaluation-tokens", flags->evaluation_tokens, "Measure on at most so many; 0: the default")
      ->type_name("N")
      ->check(CLI::NonNegativeNumber)
      ->group(group);
  command->add_option("--evaluation-context", flags->evaluation_context, "Tokens of a window; 0: the default")
      ->type_name("N")
      ->check(CLI::NonNegativeNumber)
      ->group(group);
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
  command->add_option("--max-ppl-increase", flags->max_ppl_increase,
                      "Smallest file whose perplexity rises by at most this: 2% or 0.02")
      ->type_name("SHARE")
      ->group(group);
  command
      ->add_option("--max-kl", flags->max_kl, "Smallest file whose mean KL divergence is at most this, in nats: 0.01")
      ->type_name("NATS")
      ->group(group);
  AddMeasuringFlags(command, flags);
  AddSearchFlags(command, flags);
  command->add_option("--format", flags->format, "gguf runs in llama.cpp; nsq is smaller and is unpacked first")
      ->check(CLI::IsMember({"gguf", kNsq}))
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
  command->add_option("--name", flags->model_name, "What artifact and report call the model; else the hub's or its directory's name")
      ->type_name("NAME");
  command->add_flag("--allow-tokenizer-mismatch", flags->allow_tokenizer_mismatch,
                    "Write a GGUF even where llama.cpp cuts texts otherwise than the model's tokenizer");
  command
      ->add_option("--expert-order", flags->expert_order,
                   "Experts of a mixture in the file: original, or together: those that tokens use together lie together. "
                   "The model computes the same")
      ->check(CLI::IsMember({"original", kTogether}))
      ->type_name("ORDER")
      ->capture_default_str();
}

absl::StatusOr<v1::CompressionSpec> BuildSpec(const TargetFlags& flags) {
  v1::CompressionSpec spec;
  NS_RETURN_IF_ERROR(SetTarget(flags, &spec));
  NS_RETURN_IF_ERROR(SetCalibration(flags, &spec));
  NS_RETURN_IF_ERROR(SetEvaluation(flags, &spec));
  NS_RETURN_IF_ERROR(SetSearch(flags, &spec));
  NS_RETURN_IF_ERROR(SetExpertOrder(flags, &spec));
  spec.set_artifact_format(flags.format);
  spec.set_threads(flags.threads);
  spec.set_seed(flags.seed);
  spec.set_zero_non_finite(flags.zero_non_finite);
  spec.set_model_name(flags.model_name);
  spec.set_allow_tokenizer_mismatch(flags.allow_tokenizer_mismatch);
  for (const std::string& rule : flags.rules) NS_RETURN_IF_ERROR(AddRule(rule, &spec));
  return spec;
}

}  // namespace nashswarm::cli
