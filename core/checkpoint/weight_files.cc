#include "core/checkpoint/weight_files.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "core/base/file.h"
#include "core/base/some_of.h"
#include "core/base/status.h"

namespace nashswarm::checkpoint {
namespace {

constexpr uint64_t kMaxJsonBytes = 256u << 20;  // the largest known index is 10 MB
constexpr char kEnding[] = ".safetensors";
// Of names a message lists.
constexpr size_t kMaxNamesShown = 5;
constexpr char kMissingHint[] = "download the missing shard into the same directory";

// The weight files an index names.
absl::StatusOr<std::set<std::string>> ShardsOf(const Json& weight_map) {
  const auto invalid = [](const std::string& why) {
    return MakeError(absl::StatusCode::kInvalidArgument, "INDEX_INVALID", absl::StrCat(kIndexFile, ": ", why));
  };
  if (!weight_map.is_object() || weight_map.empty()) return invalid("weight_map is not an object that names the shard of every tensor");
  std::set<std::string> shards;
  for (const auto& [tensor, shard] : weight_map.items()) {
    if (!shard.is_string()) return invalid(absl::StrCat("the shard of tensor '", tensor, "' is not a string"));
    if (const absl::Status path = ValidateRelativePath(shard.get<std::string>()); !path.ok()) return invalid(std::string(path.message()));
    shards.insert(shard.get<std::string>());
  }
  return shards;
}

absl::StatusOr<WeightFiles> FromIndex(const std::string& directory) {
  NS_ASSIGN_OR_RETURN(const std::string text, ReadFile(JoinPath(directory, kIndexFile), kMaxJsonBytes));
  NS_ASSIGN_OR_RETURN(const Json index, ParseJson(text, kIndexFile));
  WeightFiles out;
  if (index.is_object() && index.contains("weight_map")) out.weight_map = index["weight_map"];
  NS_ASSIGN_OR_RETURN(const std::set<std::string> shards, ShardsOf(out.weight_map));
  for (const std::string& shard : shards) {
    if (!PathExists(JoinPath(directory, shard))) {
      return MakeError(absl::StatusCode::kDataLoss, "SHARD_MISSING",
                       absl::StrCat(kIndexFile, " names ", shard, ", which is not beside it"), kMissingHint);
    }
    out.names.push_back(shard);
  }
  return out;
}

// "model-00001-of-00003.safetensors", as transformers numbers shards.
struct Shard {
  std::string stem;
  uint32_t number = 0, count = 0;
  size_t digits = 0;
};

std::optional<Shard> ShardOf(const std::string& name) {
  const std::string stem = name.substr(0, name.size() - (sizeof(kEnding) - 1));
  const size_t of = stem.rfind("-of-");
  const size_t dash = of == std::string::npos || of == 0 ? std::string::npos : stem.rfind('-', of - 1);
  if (dash == std::string::npos) return std::nullopt;
  Shard shard{stem.substr(0, dash), 0, 0, of - dash - 1};
  constexpr uint32_t kMostShards = 99999;  // what five digits can say
  if (!absl::SimpleAtoi(stem.substr(dash + 1, shard.digits), &shard.number) || !absl::SimpleAtoi(stem.substr(of + 4), &shard.count)) {
    return std::nullopt;
  }
  if (shard.number < 1 || shard.number > shard.count || shard.count > kMostShards) return std::nullopt;
  return shard;
}

// When all files are shards of one model, whether they are all of its shards.
absl::StatusOr<bool> AreShards(const std::vector<std::string>& names) {
  std::optional<Shard> first;
  for (const std::string& name : names) {
    const std::optional<Shard> shard = ShardOf(name);
    if (!shard.has_value() || (first.has_value() && (shard->stem != first->stem || shard->count != first->count))) return false;
    first = shard;
  }
  std::vector<std::string> missing;
  for (uint32_t number = 1; number <= first->count; ++number) {
    std::string name = absl::StrFormat("%s-%0*d-of-%0*d%s", first->stem, static_cast<int>(first->digits), number,
                                       static_cast<int>(first->digits), first->count, kEnding);
    if (!std::binary_search(names.begin(), names.end(), name)) missing.push_back(std::move(name));
  }
  if (missing.empty()) return true;
  return MakeError(absl::StatusCode::kDataLoss, "SHARD_MISSING",
                   absl::StrCat("has ", names.size(), " of ", first->count, " shards; missing: ", SomeOf(missing, kMaxNamesShown)), kMissingHint);
}

absl::Status NoWeights(const std::string& directory, const std::vector<std::string>& files) {
  std::vector<std::string> ggufs, pickles;
  for (const std::string& file : files) {
    if (file == kAdapterConfig || absl::StartsWith(file, "adapter_model.")) return RefuseAdapter(directory, file);
    if (absl::EndsWith(file, ".gguf")) ggufs.push_back(file);
    for (const char* end : {".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle"}) {
      if (absl::EndsWith(file, end)) pickles.push_back(file);
    }
  }
  if (!ggufs.empty()) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "GGUF_AS_SOURCE",
                     absl::StrCat("has no safetensors weights but a GGUF file (", SomeOf(ggufs, kMaxNamesShown), "), which is no source to compress"),
                     absl::StrCat("give the original safetensors checkpoint; to run or inspect the GGUF file name it: ",
                                  JoinPath(directory, ggufs[0])));
  }
  if (!pickles.empty()) {
    return MakeError(absl::StatusCode::kNotFound, "PICKLE_REFUSED",
                     absl::StrCat("has no safetensors weights but pickles (", SomeOf(pickles, kMaxNamesShown), "), and pickles can run code"),
                     "convert it where you trust it, with transformers: model.save_pretrained(DIR, safe_serialization=True)");
  }
  return MakeError(absl::StatusCode::kNotFound, "CHECKPOINT_NOT_FOUND",
                   absl::StrCat("has no safetensors files: neither ", kSingleFile, " nor ", kIndexFile),
                   "give the directory of a Hugging Face checkpoint in safetensors format");
}

// Files of the directory itself that may be the model's: no adapter's, and no second copy in Mistral's own format.
std::vector<std::string> Candidates(const std::vector<std::string>& files) {
  std::vector<std::string> found;
  for (const std::string& file : files) {
    if (absl::EndsWith(file, kEnding) && !absl::StartsWith(file, "adapter_")) found.push_back(file);
  }
  const auto begins = [](const char* with) { return [with](const std::string& name) { return absl::StartsWith(name, with); }; };
  if (std::any_of(found.begin(), found.end(), begins("model"))) std::erase_if(found, begins("consolidated"));
  return found;
}

absl::StatusOr<WeightFiles> WithoutIndex(const std::string& directory) {
  NS_ASSIGN_OR_RETURN(const std::vector<std::string> files, ListOwnFiles(directory));
  const std::vector<std::string> found = Candidates(files);
  if (found.empty()) return NoWeights(directory, files);
  NS_ASSIGN_OR_RETURN(const bool shards, AreShards(found));
  // Any other file is accepted, alone, so that a renamed download works.
  if (shards || found.size() == 1) return WeightFiles{found, {}};
  return MakeError(absl::StatusCode::kNotFound, "CHECKPOINT_NOT_FOUND",
                   absl::StrCat("has ", found.size(), " safetensors files (", SomeOf(found, kMaxNamesShown), ") and neither ", kSingleFile, " nor ",
                                kIndexFile),
                   "leave one model in the directory, or add the index of its shards");
}

}  // namespace

absl::StatusOr<WeightFiles> FindWeightFiles(const std::string& directory) {
  if (PathExists(JoinPath(directory, kSingleFile))) return WeightFiles{{kSingleFile}, {}};
  return PathExists(JoinPath(directory, kIndexFile)) ? FromIndex(directory) : WithoutIndex(directory);
}

absl::Status RefuseAdapter(const std::string& directory, const std::string& what) {
  std::string base, kind = "LoRA";
  if (const auto text = ReadFile(JoinPath(directory, kAdapterConfig), kMaxJsonBytes); text.ok()) {
    if (const auto config = ParseJson(*text, kAdapterConfig); config.ok()) {
      base = JsonString(*config, "base_model_name_or_path");
      kind = JsonString(*config, "peft_type", "LORA") == "LORA" ? "LoRA" : JsonString(*config, "peft_type");
    }
  }
  const std::string model = base.empty() ? "its base model, which it does not name" : absl::StrCat("its base model ", base);
  return MakeError(absl::StatusCode::kFailedPrecondition, "ADAPTER_AS_SOURCE",
                   absl::StrCat(what, ": is a ", kind, " adapter, not a model: it must be merged into ", model),
                   absl::StrCat("with peft: PeftModel.from_pretrained(base, ADAPTER).merge_and_unload().save_pretrained(DIR), then give DIR"));
}

}  // namespace nashswarm::checkpoint
