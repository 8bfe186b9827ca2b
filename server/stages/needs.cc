#include "server/stages/needs.h"

#include <algorithm>

#include "server/stages/stage.h"

namespace nashswarm::server {
namespace {

constexpr int64_t kMiB = 1 << 20;
// No machine has more, and a few of them added and multiplied stay far below 2^63.
constexpr int64_t kMost = int64_t{1} << 56;
// More threads than this are a mistake somewhere.
constexpr int kMostThreads = 4096;

// A parsed tokenizer is many times its file; of the weights a header is parsed, a thousandth of them at most.
constexpr int64_t kPrepareBytes = 32 * kMiB, kPerCompanionByte = 16, kWeightsPerByte = 64;
// A tokenizer.model says a token in 20 bytes, tokenizer.json in 100; 262,144 tokens, parsed and compared, took 261 MiB.
constexpr int64_t kPerDenseByte = 64, kTokenizerBytes = 320 * kMiB;
// Stages that run the model keep it as floats, at worst (F16 weights, SEARCH) eight times over; the others have a
// tensor at a time.
constexpr int64_t kFallbackBytes = 512 * kMiB, kRunningFactor = 16, kReadingFactor = 2, kDiskFactor = 4;

int64_t Clamp(int64_t bytes) { return std::clamp<int64_t>(bytes, 0, kMost); }

std::optional<int64_t> Whole(const Json& need, const char* field) {
  const auto it = need.find(field);
  if (it == need.end() || !it->is_number_integer()) return std::nullopt;
  if (it->is_number_unsigned() && it->get<uint64_t>() > static_cast<uint64_t>(kMost)) return kMost;
  const int64_t bytes = it->get<int64_t>();
  if (bytes < 0) return std::nullopt;
  return std::min(bytes, kMost);
}

}  // namespace

ModelSize SizeOf(const std::vector<ModelFile>& files) {
  ModelSize size;
  for (const ModelFile& file : files) {
    size.total_bytes = Clamp(size.total_bytes + Clamp(file.digest.size_bytes));
    if (file.path.ends_with(".safetensors"))
      size.weight_bytes = Clamp(size.weight_bytes + Clamp(file.digest.size_bytes));
  }
  return size;
}

Need NeedOfPrepare(const ModelSize& model) {
  const int64_t weights = Clamp(model.weight_bytes), companions = Clamp(Clamp(model.total_bytes) - weights);
  const int64_t tokenizers = std::max(kPerCompanionByte * companions, std::min(kPerDenseByte * companions, kTokenizerBytes));
  return {kPrepareBytes + weights / kWeightsPerByte + tokenizers,
          kMiB + weights / kWeightsPerByte + companions};
}

std::optional<Need> ReadNeed(const Json& prepare_result, Stage stage, int shard, const v1::CompressionSpec& spec,
                             int threads) {
  if (!prepare_result.is_object()) return std::nullopt;
  const auto needs = prepare_result.find("needs");
  if (needs == prepare_result.end() || !needs->is_object()) return std::nullopt;
  const StageRow& row = RowOf(stage);
  const bool as_another = row.needs_of.when != nullptr && row.needs_of.when(spec);
  const auto of_stage = needs->find(StageName(as_another ? row.needs_of.stage : stage));
  if (of_stage == needs->end()) return std::nullopt;
  const Json* need = &*of_stage;
  if (need->is_array()) {
    if (shard < 0 || static_cast<size_t>(shard) >= need->size()) return std::nullopt;
    need = &(*need)[static_cast<size_t>(shard)];
  }
  if (!need->is_object()) return std::nullopt;
  const std::optional<int64_t> memory = Whole(*need, "memory_bytes"), thread = Whole(*need, "thread_bytes"),
                               disk = Whole(*need, "disk_bytes");
  if (!memory || !thread || !disk) return std::nullopt;
  const int64_t count = std::clamp(threads, 1, kMostThreads);
  const int64_t of_threads = *thread > kMost / count ? kMost : *thread * count;
  return Need{Clamp(*memory + of_threads), *disk};
}

Need FallbackNeed(Stage stage, const ModelSize& model) {
  const int64_t bytes = std::min(Clamp(model.total_bytes), kMost / kRunningFactor);
  const int64_t factor = RowOf(stage).load == Load::kModel ? kRunningFactor : kReadingFactor;
  return {Clamp(kFallbackBytes + factor * bytes),
          Clamp(kFallbackBytes + kDiskFactor * bytes)};
}

void AddNeeds(const ClaimedTask& task, const std::string& result_json, int threads, std::vector<NewTask>* tasks) {
  const std::string& text = task.lease.key.stage == kNeedsSaidBy ? result_json : task.prepare_result_json;
  const absl::StatusOr<Json> result = ParseJson(text, "PREPARE's result");
  const ModelSize model = SizeOf(task.model_files);
  for (NewTask& next : *tasks) {
    const std::optional<Need> read =
        result.ok() ? ReadNeed(*result, next.stage, next.shard, task.spec, threads) : std::nullopt;
    const Need need = read.value_or(FallbackNeed(next.stage, model));
    next.need_memory_bytes = need.memory_bytes;
    next.need_disk_bytes = need.disk_bytes;
  }
}

}  // namespace nashswarm::server
