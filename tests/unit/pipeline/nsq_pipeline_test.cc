// Jobs that make nsq artifacts, through every stage.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>

#include "core/artifact/nsq_artifact.h"
#include "core/base/half.h"
#include "core/base/hash.h"
#include "core/base/json.h"
#include "core/base/status.h"
#include "core/checkpoint/safetensors.h"
#include "tests/support/files.h"
#include "tests/support/run_pipeline.h"
#include "tests/support/tiny_checkpoint.h"

namespace nashswarm::pipeline {
namespace {

using ::nashswarm::testing::MakeTemporaryDirectory;
using ::nashswarm::testing::ReadTestFile;
using ::nashswarm::testing::RecordingObserver;
using ::nashswarm::testing::RunPipeline;
using ::nashswarm::testing::TestData;
using ::nashswarm::testing::Texts;
using ::nashswarm::testing::TinyCheckpoint;
using ::nashswarm::testing::TinyGpt2;
using ::nashswarm::testing::TinyLlama;
using ::testing::Contains;
using ::testing::HasSubstr;

const auto kSilent = [](uint64_t, uint64_t) {};
using Coding = artifact::NsqTensor::Coding;

Spec NsqAt(double bits) {
  Spec spec = ::nashswarm::testing::BitsPerWeight(bits);
  spec.format = "nsq";
  return spec;
}

Spec Calibrated(Spec spec) {
  spec.calibration = Spec::Calibration::kText;
  spec.calibration_tokens = 768;
  spec.evaluation_tokens = 512;
  return spec;
}

// A job in a directory of its own.
struct Job {
  TemporaryDirectory directory = MakeTemporaryDirectory();
  RecordingObserver observer;
  absl::StatusOr<Json> result = absl::UnknownError("");

  std::string artifact() const { return directory.path() + "/w/artifact"; }
  std::string File(const std::string& name) const { return ReadTestFile(artifact() + "/" + name); }
  Json Parsed(const std::string& name) const { return *ParseJson(File(name), name); }
  artifact::OpenNsq Open() const { return *artifact::ReadNsq(artifact()); }
};

Job Compress(const TinyCheckpoint& checkpoint, const Spec& spec, int threads = 0) {
  Job job;
  const std::string model = job.directory.path() + "/m";
  checkpoint.Write(model);
  Texts texts;
  if (spec.calibration == Spec::Calibration::kText) {
    texts.calibration = job.directory.path() + "/text";
    ::nashswarm::testing::WriteTestFile(texts.calibration, ReadTestFile(TestData("text.txt")).substr(0, 6000));
  }
  job.result = RunPipeline(model, job.directory.path() + "/w", spec, threads, &job.observer, texts);
  return job;
}

uint64_t Parameters(const TinyCheckpoint& checkpoint) {
  uint64_t count = 0;
  for (const auto& [name, tensor] : checkpoint.tensors) count += tensor.values.size();
  return count;
}

// Tensors of a safetensors file of floats, by name.
std::map<std::string, std::vector<float>> Tensors(const std::string& file) {
  const auto header = checkpoint::ParseSafetensors({reinterpret_cast<const uint8_t*>(file.data()), file.size()}, "x");
  std::map<std::string, std::vector<float>> tensors;
  for (const auto& tensor : header->tensors) {
    std::vector<float>& values = tensors[tensor.name];
    values.resize((tensor.end - tensor.begin) / checkpoint::BytesOf(tensor.dtype));
    checkpoint::ToFloat(tensor.dtype, reinterpret_cast<const uint8_t*>(file.data()) + tensor.begin, values.size(), values.data());
  }
  return tensors;
}

std::map<std::string, std::vector<float>> UnpackedTensors(const Job& job) {
  const std::string out = job.directory.path() + "/unpacked";
  NS_EXPECT_OK(artifact::Unpack(job.Open(), checkpoint::DType::kF32, out, 2, kSilent));
  return Tensors(ReadTestFile(out + "/model.safetensors"));
}

// Jobs with text at three bits that several tests look at: of gpt2, of llama.
const std::vector<TinyCheckpoint>& Models() {
  static const auto* const models = new std::vector<TinyCheckpoint>{TinyGpt2(), TinyLlama("llama", false)};
  return *models;
}

const Job& AtThreeBits(size_t model) {
  static const auto* const jobs = new std::vector<Job>([] {
    std::vector<Job> list;
    for (const TinyCheckpoint& checkpoint : Models()) list.push_back(Compress(checkpoint, Calibrated(NsqAt(3)), 2));
    return list;
  }());
  return jobs->at(model);
}

void ExpectNearTarget(const Job& job, const TinyCheckpoint& model, double bits) {
  NS_ASSERT_OK(job.result.status());
  const uint64_t bytes = *FileSize(job.artifact() + "/model.nsq"), target = NsqAt(bits).TargetBytes(Parameters(model));
  EXPECT_EQ(job.result->at("output_bytes"), bytes);
  EXPECT_LE(bytes, target);
  EXPECT_GE(static_cast<double>(bytes), 0.995 * static_cast<double>(target)) << bits << " bits";
  NS_EXPECT_OK(artifact::Verify(job.Open(), 2, kSilent));
}

TEST(NsqPipelineTest, FileKeepsToTheTargetAndIsNearIt) {
  for (size_t m = 0; m < Models().size(); ++m) {
    ExpectNearTarget(AtThreeBits(m), Models()[m], 3);
    EXPECT_TRUE(AtThreeBits(m).result->contains("quality"));
    for (const double bits : {1.5, 4.5}) {
      const Job job = Compress(Models()[m], NsqAt(bits));
      ExpectNearTarget(job, Models()[m], bits);
      EXPECT_FALSE(job.result->contains("quality"));
    }
  }
}

// Every tensor of the checkpoint comes back, under its name, in its shape; vectors to the half, matrices to what the manifest
// says of them.
TEST(NsqPipelineTest, EveryTensorComesBackWithTheErrorOfTheManifest) {
  for (size_t m = 0; m < Models().size(); ++m) {
    const TinyCheckpoint& model = Models()[m];
    const Job& job = AtThreeBits(m);
    NS_ASSERT_OK(job.result.status());
    const auto unpacked = UnpackedTensors(job);
    const Json manifest = job.Parsed("manifest.json");
    std::map<std::string, Json> entries;
    for (const Json& entry : manifest.at("tensors")) entries[entry.at("source")] = entry;
    ASSERT_EQ(unpacked.size(), model.tensors.size());
    ASSERT_EQ(entries.size(), model.tensors.size());
    for (const auto& open : job.Open().tensors) {
      const std::vector<float>&want = model.tensors.at(open.name).values, &got = unpacked.at(open.name);
      EXPECT_EQ(open.shape, model.tensors.at(open.name).shape);
      ASSERT_EQ(want.size(), got.size());
      const bool matrix = open.shape.size() == 2;
      EXPECT_EQ(open.coded(), matrix) << open.name;
      double error = 0, energy = 0;
      for (size_t i = 0; i < want.size(); ++i) {
        error += (double{want[i]} - got[i]) * (double{want[i]} - got[i]);
        energy += double{want[i]} * want[i];
        if (!matrix) { ASSERT_EQ(got[i], HalfToFloat(FloatToHalf(want[i]))) << open.name; }
      }
      const Json& entry = entries.at(open.name);
      EXPECT_EQ(entry.at("bytes"), open.bytes);
      EXPECT_EQ(entry.at("format"), matrix ? "nsq" : "F16");
      if (!matrix) continue;
      EXPECT_NEAR(entry.at("relative_error").get<double>(), error / energy, 1e-5 * error / energy) << open.name;
      EXPECT_LT(error / energy, 0.8) << open.name << ": it is another tensor, or turned";  // which has 1 or more
    }
  }
}

TEST(NsqPipelineTest, MatricesThatStoreInputsFirstAreTurned) {
  for (size_t m = 0; m < Models().size(); ++m) {
    for (const auto& tensor : AtThreeBits(m).Open().tensors) {
      if (!tensor.coded()) continue;
      EXPECT_EQ(tensor.coding == Coding::kTransposedStream, m == 0 && tensor.name.starts_with("h.")) << tensor.name;
    }
  }
}

TEST(NsqPipelineTest, SameBytesAtAnyThreadCount) {
  for (size_t m = 0; m < Models().size(); ++m) {
    const Job job = Compress(Models()[m], Calibrated(NsqAt(3)), 1);
    NS_ASSERT_OK(job.result.status());
    for (const char* file : {"model.nsq", "manifest.json", "config.json"}) EXPECT_EQ(Sha256Of(job.File(file)), Sha256Of(AtThreeBits(m).File(file))) << file;
  }
}

TEST(NsqPipelineTest, RulesKeepWhatTheyName) {
  TinyCheckpoint model = TinyGpt2();
  model.dtype = checkpoint::DType::kBF16;
  Spec spec = NsqAt(9);
  spec.rules = {{"wte\\.weight", "F16"}, {"h\\.0\\.attn\\..*weight", "keep"}, {"wpe\\.weight", "F32"}};
  const Job job = Compress(model, spec);
  NS_ASSERT_OK(job.result.status());
  for (const auto& tensor : job.Open().tensors) {
    const auto expect = [&](checkpoint::DType dtype) {
      EXPECT_FALSE(tensor.coded()) << tensor.name;
      EXPECT_EQ(tensor.plain_dtype, dtype) << tensor.name;
    };
    if (tensor.name == "wte.weight") expect(checkpoint::DType::kF16);
    else if (tensor.name == "wpe.weight") expect(checkpoint::DType::kF32);
    else if (tensor.name.starts_with("h.0.attn.")) expect(checkpoint::DType::kBF16);
    else EXPECT_EQ(tensor.coded(), tensor.shape.size() == 2) << tensor.name;
  }
  for (const auto& tensor : job.Open().tensors) EXPECT_EQ(tensor.dtype, checkpoint::DType::kBF16);
  const auto unpacked = UnpackedTensors(job);
  const std::vector<float>& want = model.tensors.at("wpe.weight").values;
  for (size_t i = 0; i < want.size(); ++i) ASSERT_EQ(unpacked.at("wpe.weight")[i], BFloat16ToFloat(FloatToBFloat16(want[i])));
}

// Of square matrices alone the shape would not tell.
TEST(NsqPipelineTest, KeptMatricesThatStoreInputsFirstComeBackTheRightWayRound) {
  const TinyCheckpoint model = TinyGpt2();
  Spec spec = NsqAt(16);
  spec.rules = {{"h\\.0\\.attn\\..*weight", "keep"}};
  const Job job = Compress(model, spec);
  NS_ASSERT_OK(job.result.status());
  const auto unpacked = UnpackedTensors(job);
  for (const char* name : {"h.0.attn.c_attn.weight", "h.0.attn.c_proj.weight"}) EXPECT_EQ(unpacked.at(name), model.tensors.at(name).values) << name;
}

TEST(NsqPipelineTest, BlockFormatsAreRefusedWithAHint) {
  for (const char* format : {"Q4_0", "Q8_0", "Q9_9"}) {
    Spec spec = NsqAt(4);
    spec.rules = {{".*", format}};
    const Job job = Compress(TinyGpt2(), spec);
    EXPECT_EQ(ReasonOf(job.result.status()), "RULE_INVALID");
    EXPECT_THAT(HintOf(job.result.status()), HasSubstr(format[1] == '9' ? "schemes" : "F16"));
    EXPECT_FALSE(PathExists(job.artifact()));
  }
}

TEST(NsqPipelineTest, BelowTheSmallestTheHintWorks) {
  for (const TinyCheckpoint& model : Models()) {
    const Job job = Compress(model, NsqAt(0.02));
    ASSERT_EQ(ReasonOf(job.result.status()), "TARGET_INFEASIBLE");
    EXPECT_FALSE(PathExists(job.artifact()));
    const std::string hint = HintOf(job.result.status());
    const size_t bits = hint.find("--bpw "), size = hint.find("--size ");
    ASSERT_NE(bits, std::string::npos) << hint;
    ASSERT_NE(size, std::string::npos) << hint;
    Spec by_size = NsqAt(0);
    by_size.target = Spec::Target::kSizeBytes;
    by_size.size_bytes = std::stoull(hint.substr(size + 7));
    for (const Spec& spec : {NsqAt(std::stod(hint.substr(bits + 6))), by_size}) {  // of which one is tighter
      const Job again = Compress(model, spec);
      NS_ASSERT_OK(again.result.status());
      EXPECT_LE(*FileSize(again.artifact() + "/model.nsq"), spec.TargetBytes(Parameters(model)));
      NS_EXPECT_OK(artifact::Verify(again.Open(), 1, kSilent));
    }
  }
}

TEST(NsqPipelineTest, AnAmpleTargetIsNotFilledWithNothing) {
  const Job job = Compress(TinyLlama("llama", true), NsqAt(30));
  NS_ASSERT_OK(job.result.status());
  NS_EXPECT_OK(artifact::Verify(job.Open(), 1, kSilent));
  EXPECT_LT(job.result->at("relative_error"), 1e-4);
}

TEST(NsqPipelineTest, NonFiniteWeightsAreRefusedUnlessAskedFor) {
  for (const char* name : {"h.1.mlp.c_fc.weight", "h.1.ln_1.bias"}) {
    TinyCheckpoint model = TinyGpt2();
    model.tensors[name].values[7] = std::numeric_limits<float>::quiet_NaN();
    model.tensors[name].values[8] = -std::numeric_limits<float>::infinity();
    Spec spec = NsqAt(5);
    const Job refused = Compress(model, spec);
    EXPECT_EQ(ReasonOf(refused.result.status()), "NON_FINITE_WEIGHTS");
    EXPECT_THAT(std::string(refused.result.status().message()), HasSubstr(name));
    EXPECT_FALSE(PathExists(refused.artifact()));
    spec.zero_non_finite = true;
    const Job zeroed = Compress(model, spec);
    NS_ASSERT_OK(zeroed.result.status());
    EXPECT_THAT(zeroed.observer.logs, Contains(HasSubstr("2 NaN or infinite weights set to 0")));
    NS_EXPECT_OK(artifact::Verify(zeroed.Open(), 1, kSilent));
    const float small = std::string(name).ends_with("bias") ? 0.0f : 0.05f;
    EXPECT_LE(std::abs(UnpackedTensors(zeroed).at(name)[7]), small);
  }
}

TEST(NsqPipelineTest, AQualityTargetIsMet) {
  Spec spec = Calibrated(NsqAt(0));
  spec.target = Spec::Target::kMaxKl;
  spec.quality = 0.002;
  const Job job = Compress(TinyLlama("llama", false), spec);
  NS_ASSERT_OK(job.result.status());
  EXPECT_LE(job.result->at("quality").at("mean_kl").get<double>(), spec.quality);
  const Json trials = job.Parsed("report.json").at("trials");
  ASSERT_FALSE(trials.empty());
  const uint64_t bytes = *FileSize(job.artifact() + "/model.nsq");
  for (const Json& trial : trials) {
    if (trial.at("passed") == true) { EXPECT_LE(bytes, trial.at("bytes").get<uint64_t>() * 1.001); }
  }
}

TEST(NsqPipelineTest, ReportAndManifestSpeakOfTheFilesThatAreThere) {
  const Job& job = AtThreeBits(0);
  NS_ASSERT_OK(job.result.status());
  const std::string file = job.File("model.nsq");
  const Json manifest = job.Parsed("manifest.json"), report = job.Parsed("report.json"), config = job.Parsed("config.json");
  EXPECT_EQ(manifest.at("schema"), artifact::kManifestSchema);
  EXPECT_EQ(manifest.at("artifact").at("file"), "model.nsq");
  EXPECT_EQ(manifest.at("artifact").at("bytes"), file.size());
  EXPECT_EQ(manifest.at("artifact").at("sha256"), ToHex(Sha256Of(file)));
  const double bits = 8.0 * static_cast<double>(file.size()) / static_cast<double>(Parameters(TinyGpt2()));
  EXPECT_DOUBLE_EQ(manifest.at("result").at("bits_per_weight").get<double>(), bits);
  EXPECT_DOUBLE_EQ(config.at("quantization_config").at("bits_per_weight").get<double>(), bits);
  EXPECT_EQ(report.at("chosen_bytes").get<uint64_t>() >= file.size(), true);
  EXPECT_EQ(report.at("tensors").size(), manifest.at("tensors").size());
  bool seen = false;
  for (const Json& row : report.at("headline")) {
    if (row.value("is_artifact", false)) {
      seen = true;
      EXPECT_EQ(row.at("bytes"), file.size());
    }
  }
  EXPECT_TRUE(seen);
  uint64_t tensors = 0;
  for (const Json& entry : manifest.at("tensors")) tensors += entry.at("bytes").get<uint64_t>();
  EXPECT_EQ(tensors, file.size() - job.Open().block_begin);
  EXPECT_EQ(job.File("tokenizer.json"), ReadTestFile(job.directory.path() + "/m/tokenizer.json"));
  // Unpacked, the directory is the checkpoint's again.
  UnpackedTensors(job);
  EXPECT_EQ(*ParseJson(ReadTestFile(job.directory.path() + "/unpacked/config.json"), "x"), TinyGpt2().config);
  EXPECT_FALSE(PathExists(job.directory.path() + "/unpacked/manifest.json"));
}

TEST(NsqPipelineTest, MorePrecisionCostsLessError) {
  double previous = 1;
  for (const double bits : {1.2, 2.5, 6.0}) {
    const Job job = Compress(TinyGpt2(), NsqAt(bits));
    NS_ASSERT_OK(job.result.status());
    EXPECT_LT(job.result->at("relative_error"), previous);
    previous = job.result->at("relative_error");
  }
}

}  // namespace
}  // namespace nashswarm::pipeline
