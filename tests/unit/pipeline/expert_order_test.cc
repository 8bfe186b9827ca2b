// Jobs with the expert order "together": the same model, with its experts elsewhere in the file.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "core/artifact/gguf_artifact.h"
#include "core/artifact/nsq_artifact.h"
#include "core/base/status.h"
#include "core/checkpoint/checkpoint.h"
#include "core/expert_cache/expert_order.h"
#include "core/forward/transformer.h"
#include "core/pipeline/expert_layout.h"
#include "core/pipeline/open_model.h"
#include "core/pipeline/files/prepared.h"
#include "tests/support/files.h"
#include "tests/support/run_pipeline.h"
#include "tests/support/tiny_checkpoint.h"

namespace nashswarm::pipeline {
namespace {

using ::nashswarm::testing::BitsPerWeight;
using ::nashswarm::testing::MakeTemporaryDirectory;
using ::nashswarm::testing::ReadTestFile;
using ::nashswarm::testing::RecordingObserver;
using ::nashswarm::testing::RunPipeline;
using ::nashswarm::testing::TestData;
using ::nashswarm::testing::TinyCheckpoint;
using ::nashswarm::testing::TinyLlama;
using ::nashswarm::testing::TinyMixture;
using ::nashswarm::testing::WriteTestFile;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr auto kTogether = Spec::ExpertOrder::kTogether;
constexpr int kExperts = 6;

// Tokens take experts 0 and 3, 1 and 4, or 2 and 5: routers give those nearly the same logits.
TinyCheckpoint Paired(const std::string& type) {
  TinyCheckpoint tiny = TinyMixture(type, kExperts);
  for (auto& [name, tensor] : tiny.tensors) {
    if (!name.ends_with(".gate.weight") || tensor.shape[0] != kExperts) continue;
    const size_t half = tensor.values.size() / 2;
    for (size_t i = 0; i < half; ++i) tensor.values[half + i] = tensor.values[i] * 1.001f;
  }
  return tiny;
}

struct Job {
  TemporaryDirectory directory = MakeTemporaryDirectory();
  RecordingObserver observer;
  absl::StatusOr<Json> result = absl::UnknownError("");
  std::string model() const { return directory.path() + "/model"; }
  std::string artifact() const { return directory.path() + "/w/artifact"; }
  Json Read(const std::string& name) const { return *ParseJson(ReadTestFile(artifact() + "/" + name), name); }
  artifact::ExpertOrders orders() const { return Read("manifest.json").at("plan").value("expert_order", artifact::ExpertOrders()); }
};

Spec TextSpec(double bits) {
  Spec spec = BitsPerWeight(bits);
  spec.calibration = Spec::Calibration::kText;
  spec.calibration_tokens = 768;
  spec.evaluation_tokens = 256;
  return spec;
}

// Every matrix as it is in the checkpoint, F32 in GGUF.
Spec Lossless() {
  Spec spec = TextSpec(40);
  spec.rules = {{".*", "keep"}};
  return spec;
}

Job Compress(const TinyCheckpoint& tiny, Spec spec, Spec::ExpertOrder order) {
  Job job;
  tiny.Write(job.model());
  const std::string text = job.directory.path() + "/text";
  WriteTestFile(text, ReadTestFile(TestData("text.txt")).substr(0, 6000));
  spec.expert_order = order;
  job.result = RunPipeline(job.model(), job.directory.path() + "/w", spec, 2, &job.observer, {text, ""});
  NS_EXPECT_OK(job.result.status());
  return job;
}

std::vector<float> LogitsOf(std::shared_ptr<const forward::Weights> weights) {
  const auto transformer = *forward::Transformer::Open(std::move(weights), {2});
  std::vector<int32_t> tokens(32);
  for (size_t t = 0; t < tokens.size(); ++t) tokens[t] = static_cast<int32_t>(t * 41 % 290);
  std::vector<float> hidden(32 * transformer->width()), logits(32 * transformer->vocabulary());
  NS_EXPECT_OK(transformer->Run({tokens, 1, 32}, hidden.data(), nullptr));
  NS_EXPECT_OK(transformer->Logits(hidden.data(), 32, logits.data(), nullptr));
  return logits;
}

std::shared_ptr<const forward::Weights> GgufWeights(const Job& job) {
  const auto open = artifact::Open(job.artifact());
  return forward::WeightsOf("model.gguf", open->file, open->gguf);
}

// What a tensor of a GGUF artifact, under its name there, is in floats.
std::vector<float> Values(const forward::Weights& weights, const std::string& name, uint64_t rows, uint64_t row_weights) {
  std::vector<float> values(rows * row_weights);
  NS_EXPECT_OK(weights.Read(name, 0, rows, values.data()));
  return values;
}

std::string Expert(int layer, const char* part, size_t expert) {
  return absl::StrCat("blk.", layer, ".ffn_", part, ".", expert, ".weight");
}

TEST(ExpertOrderTest, OrderIsThatOfThePairsThatCalibrationCounted) {
  const Job job = Compress(Paired("mixtral"), Lossless(), kTogether);
  const artifact::ExpertOrders orders = job.orders();
  const auto moments = *calibrate::Moments::Open(job.directory.path() + "/w/moments.safetensors");
  ASSERT_EQ(orders.size(), 2u);
  for (size_t layer = 0; layer < 2; ++layer) {
    const std::vector<float> pairs = moments->Vector(absl::StrCat("expert_pairs/", layer));
    EXPECT_EQ(orders[layer], *expert_cache::OrderExperts(std::vector<uint32_t>(pairs.begin(), pairs.end()), kExperts));
    for (size_t place = 0; place < kExperts; place += 2) {  // those that are used together are neighbours
      EXPECT_EQ(orders[layer][place] % 3, orders[layer][place + 1] % 3) << layer << " " << place;
    }
  }
}

TEST(ExpertOrderTest, GgufHasTheSameLogitsToTheBitAndOtherPlaces) {
  for (const char* type : {"mixtral", "qwen2_moe"}) {
    const TinyCheckpoint tiny = Paired(type);
    const Job original = Compress(tiny, Lossless(), Spec::ExpertOrder::kOriginal), together = Compress(tiny, Lossless(), kTogether);
    const auto a = GgufWeights(original), b = GgufWeights(together);
    EXPECT_EQ(LogitsOf(a), LogitsOf(b)) << type;
    EXPECT_EQ(together.result->at("quality").at("mean_kl"), 0) << "of the very file";
    const auto open = artifact::Open(together.artifact());
    NS_EXPECT_OK(artifact::Verify(*open, 2, [](uint64_t, uint64_t) {}));
    EXPECT_EQ(*artifact::ExpertOrdersOf(open->gguf, "it"), together.orders());
    EXPECT_TRUE(original.orders().empty());
    EXPECT_TRUE(artifact::ExpertOrdersOf(artifact::Open(original.artifact())->gguf, "it")->empty());
    for (int layer = 0; layer < 2; ++layer) {
      const std::vector<uint32_t> order = together.orders().at(static_cast<size_t>(layer));
      ASSERT_NE(order, expert_cache::OriginalOrder(kExperts));
      const std::string router = absl::StrCat("blk.", layer, ".ffn_gate_inp.weight");
      const auto rows = Values(*a, router, kExperts, 64), moved = Values(*b, router, kExperts, 64);
      for (size_t place = 0; place < kExperts; ++place) {
        for (const char* part : {"gate", "up"}) {
          EXPECT_EQ(Values(*b, Expert(layer, part, place), 96, 64), Values(*a, Expert(layer, part, order[place]), 96, 64)) << part;
        }
        EXPECT_EQ(Values(*b, Expert(layer, "down", place), 64, 96), Values(*a, Expert(layer, "down", order[place]), 64, 96));
        EXPECT_TRUE(std::equal(&moved[place * 64], &moved[place * 64] + 64, &rows[order[place] * 64]));
      }
    }
  }
}

// Beside the places, an nsq artifact is the same to the byte: the same streams under other names.
TEST(ExpertOrderTest, NsqHasTheSameStreamsUnderOtherNames) {
  Spec spec = TextSpec(5);
  spec.format = "nsq";
  for (const char* type : {"mixtral", "qwen2_moe"}) {
    const TinyCheckpoint tiny = Paired(type);
    spec.search.context_rounds = type == std::string("mixtral") ? 1 : 0;  // a plan keeps its order through a search
    const Job original = Compress(tiny, spec, Spec::ExpertOrder::kOriginal), together = Compress(tiny, spec, kTogether);
    const auto a = artifact::ReadNsq(original.artifact()), b = artifact::ReadNsq(together.artifact());
    NS_ASSERT_OK(b.status());
    NS_EXPECT_OK(artifact::Verify(*b, 2, [](uint64_t, uint64_t) {}));
    const artifact::ExpertOrders orders = *artifact::ExpertOrdersOf(*b);
    EXPECT_EQ(orders, together.orders());
    ASSERT_EQ(a->tensors.size(), b->tensors.size());
    const Json manifest = together.Read("manifest.json");
    std::map<std::string, absl::Span<const uint8_t>> bytes;
    for (const auto& tensor : a->tensors) bytes[tensor.name] = a->BytesOf(tensor);
    for (size_t t = 0; t < a->tensors.size(); ++t) {
      const std::string& name = b->tensors[t].name;
      EXPECT_EQ(name, a->tensors[t].name) << "in the same order";
      const size_t at = name.find(".experts."), layer = name.find("layers.1.") == std::string::npos ? 0 : 1;
      std::string source = name;
      if (at != std::string::npos) source.replace(at + 9, 1, std::to_string(orders[layer].at(static_cast<size_t>(name[at + 9] - '0'))));
      const Json& entry = manifest.at("tensors").at(t);
      EXPECT_EQ(entry.at("source"), source);
      EXPECT_EQ(entry.value("stored_as", source), name);
      if (b->tensors[t].coded() || !name.ends_with(".gate.weight")) {
        EXPECT_EQ(b->BytesOf(b->tensors[t]), bytes.at(source)) << name;
      }
    }
    std::vector<std::vector<float>> logits;
    for (const artifact::OpenNsq* open : {&*a, &*b}) {
      const std::string dense = absl::StrCat(together.directory.path(), "/dense", logits.size());
      NS_ASSERT_OK(artifact::Unpack(*open, checkpoint::DType::kF32, dense, 2, [](uint64_t, uint64_t) {}));
      const OpenModel model = *OpenAndMap(dense);
      logits.push_back(LogitsOf(forward::WeightsOf(*model.checkpoint, model.model)));
    }
    EXPECT_EQ(logits[0], logits[1]) << type;
    EXPECT_EQ(original.result->at("quality"), together.result->at("quality"));
  }
}

// Squared error over squared weights.
double Relative(const std::vector<float>& want, const std::vector<float>& got) {
  double error = 0, energy = 0;
  for (size_t i = 0; i < want.size(); ++i) {
    error += (want[i] - got[i]) * (want[i] - got[i]);
    energy += want[i] * want[i];
  }
  return error / energy;
}

// Each expert has its own losses: those of another would not be those that are written down.
TEST(ExpertOrderTest, ManifestAndReportCompareEachExpertWithItself) {
  TinyCheckpoint tiny = Paired("qwen2_moe");
  const Job job = Compress(tiny, TextSpec(5), kTogether);
  const auto weights = GgufWeights(job);
  const OpenModel model = *OpenAndMap(job.model());
  std::map<std::string, const model::MappedTensor*> sources;
  for (const model::MappedTensor& tensor : model.model.tensors) sources[tensor.source_name()] = &tensor;
  size_t moved = 0;
  const Json manifest = job.Read("manifest.json");
  for (const Json& entry : manifest.at("tensors")) {
    const model::MappedTensor& source = *sources.at(entry.at("source"));
    std::vector<float> want(source.weights());
    model::ReadRows(source, 0, source.rows, want.data());
    const std::string name = entry.at("name");
    moved += name == source.name ? 0 : 1;
    if (!source.is_player()) continue;
    const double error = Relative(want, Values(*weights, name, source.rows, source.row_weights));
    EXPECT_NEAR(error, entry.at("relative_error").get<double>(), 1e-3 * error) << name;
  }
  EXPECT_GT(moved, 0u);
  const Json layers = job.Read("report.json").at("experts").at("layers");
  for (size_t layer = 0; layer < 2; ++layer) EXPECT_EQ(layers[layer].at("order"), Json(job.orders()[layer]));
  EXPECT_THAT(ReadTestFile(job.artifact() + "/report.html"), HasSubstr("lie together"));
  const Job original = Compress(tiny, TextSpec(5), Spec::ExpertOrder::kOriginal);
  EXPECT_FALSE(original.Read("report.json").at("experts").at("layers")[0].contains("order"));
  EXPECT_THAT(ReadTestFile(original.artifact() + "/report.html"), Not(HasSubstr("lie together")));
}

TEST(ExpertOrderTest, SameBytesAtAnyNumberOfThreadsAndWithinTheTarget) {
  const TinyCheckpoint tiny = Paired("mixtral");
  const Job job = Compress(tiny, TextSpec(5), kTogether), again = Compress(tiny, TextSpec(5), kTogether);
  const std::string file = ReadTestFile(job.artifact() + "/model.gguf");
  EXPECT_EQ(file, ReadTestFile(again.artifact() + "/model.gguf"));
  EXPECT_LE(file.size() * 8.0 / job.result->at("parameters").get<double>(), 5);
  // PUBLISH again, as after a crash, with another number of threads.
  RecordingObserver observer;
  Spec spec = TextSpec(5);
  spec.expert_order = kTogether;
  const std::string work = job.directory.path() + "/w";
  for (const int threads : {1, 3}) {
    const Task task{job.model(), work, work, spec, 0, threads, "00", &observer, job.directory.path() + "/text", ""};
    NS_ASSERT_OK(SolvePlan(task).status());
    NS_ASSERT_OK(Publish(task).status());
    EXPECT_EQ(ReadTestFile(job.artifact() + "/model.gguf"), file) << threads;
  }
}

TEST(ExpertOrderTest, ModelWithoutExpertsIsLeftAsItIsAndSaysSo) {
  const Job original = Compress(TinyLlama("llama", true), TextSpec(8), Spec::ExpertOrder::kOriginal);
  const Job together = Compress(TinyLlama("llama", true), TextSpec(8), kTogether);
  EXPECT_EQ(ReadTestFile(original.artifact() + "/model.gguf"), ReadTestFile(together.artifact() + "/model.gguf"));
  EXPECT_THAT(together.result->at("warnings").dump(), HasSubstr("this model has no experts"));
  EXPECT_THAT(original.result->at("warnings").dump(), Not(HasSubstr("experts")));
}

TEST(ExpertOrderTest, SpecNeedsATextThatIsRunThroughTheModel) {
  const auto parse = [](Json json) {
    json["target"] = {{"bits_per_weight", 4}};
    return ParseSpec(json);
  };
  EXPECT_EQ(parse({})->expert_order, Spec::ExpertOrder::kOriginal);
  EXPECT_EQ(parse({{"expert_order", "original"}})->expert_order, Spec::ExpertOrder::kOriginal);
  for (const char* source : {"text", "self"}) {
    EXPECT_EQ(parse({{"expert_order", "together"}, {"calibration", {{"source", source}}}})->expert_order, kTogether);
  }
  const absl::Status none = parse({{"expert_order", "together"}}).status(),
                     evaluation = parse({{"expert_order", "together"}, {"evaluation", {{"text", true}}}}).status(),
                     imatrix = parse({{"expert_order", "together"}, {"calibration", {{"source", "imatrix"}}}}).status(),
                     unknown = parse({{"expert_order", "random"}, {"calibration", {{"source", "self"}}}}).status();
  for (const absl::Status& status : {none, evaluation, imatrix, unknown}) EXPECT_EQ(ReasonOf(status), "SPEC_INVALID");
  EXPECT_THAT(std::string(HintOf(none)), HasSubstr("--calibrate self"));
  EXPECT_THAT(std::string(HintOf(imatrix)), HasSubstr("importance matrix does not say"));
  EXPECT_THAT(std::string(unknown.message()), HasSubstr("'random'"));
}

// Trained experts. The same plan in both: the order's own bytes are added to the target.
TEST(ExpertOrderTest, TrainedMixtureComputesTheSame) {
  const std::string model = TestData("../../../shared/models/moe-wiki-8m");
  if (!PathExists(model + "/model.safetensors")) GTEST_SKIP() << "there is no " << model;
  const TemporaryDirectory directory = MakeTemporaryDirectory();
  const std::string text = directory.path() + "/text";
  WriteTestFile(text, ReadTestFile(TestData("text.txt")).substr(0, 60000));
  std::vector<std::vector<float>> logits;
  std::vector<Json> qualities;
  uint64_t header = 0, size = 0;
  for (const auto order : {Spec::ExpertOrder::kOriginal, kTogether}) {
    Spec spec = TextSpec(4.5);
    spec.calibration_tokens = 2048;
    spec.evaluation_tokens = 1024;
    spec.expert_order = order;
    RecordingObserver observer;
    const std::string work = absl::StrCat(directory.path(), "/w", qualities.size());
    if (order == kTogether) {
      NS_ASSERT_OK(MakeDirectories(work));
      NS_ASSERT_OK(Prepare({model, work, work, spec, 0, 2, "00", &observer, text, ""}).status());
      spec.target = Spec::Target::kSizeBytes;
      spec.size_bytes = size + Prepared::Read(work)->header_bytes - header;
    }
    const auto result = RunPipeline(model, work, spec, 2, &observer, {text, ""});
    NS_ASSERT_OK(result.status());
    qualities.push_back(result->at("quality"));
    header = Prepared::Read(work)->header_bytes;
    size = static_cast<uint64_t>(4.5 * result->at("parameters").get<double>() / 8);
    const auto open = artifact::Open(work + "/artifact");
    logits.push_back(LogitsOf(forward::WeightsOf("model.gguf", open->file, open->gguf)));
    const artifact::ExpertOrders orders = *artifact::ExpertOrdersOf(open->gguf, "it");
    EXPECT_EQ(orders.size(), order == kTogether ? 4u : 0u);
    for (const std::vector<uint32_t>& each : orders) EXPECT_NE(each, expert_cache::OriginalOrder(8));
  }
  EXPECT_EQ(logits[0], logits[1]);
  EXPECT_EQ(qualities[0], qualities[1]) << qualities[0] << qualities[1];
}

}  // namespace
}  // namespace nashswarm::pipeline
