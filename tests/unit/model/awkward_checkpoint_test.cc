// Checkpoints and configurations that are only awkward: read right, or refused with key and value.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "core/base/status.h"
#include "core/model/architecture.h"
#include "tests/support/files.h"
#include "tests/support/tiny_checkpoint.h"

namespace nashswarm::model {
namespace {

using ::nashswarm::testing::MakeTemporaryDirectory;
using ::nashswarm::testing::TinyCheckpoint;
using ::nashswarm::testing::TinyGpt2;
using ::nashswarm::testing::TinyLlama;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// A checkpoint on disk with its mapping, or why there is none.
class Read {
 public:
  explicit Read(const TinyCheckpoint& tiny) {
    tiny.Write(dir_.path());
    auto opened = checkpoint::Checkpoint::Open(dir_.path());
    if (!opened.ok()) {
      model_ = opened.status();
      return;
    }
    checkpoint_ = *std::move(opened);
    model_ = MapModel(*checkpoint_);
  }
  absl::Status status() const { return model_.status(); }
  const Model& model() const { return *model_; }
  const MappedTensor& Tensor(const std::string& name) const {
    return *std::find_if(model_->tensors.begin(), model_->tensors.end(), [&](const MappedTensor& t) { return t.name == name; });
  }
  bool Has(const std::string& name) const {
    return std::any_of(model_->tensors.begin(), model_->tensors.end(), [&](const MappedTensor& t) { return t.name == name; });
  }
  static std::vector<float> Values(const MappedTensor& tensor) {
    std::vector<float> out(tensor.weights());
    ReadRows(tensor, 0, tensor.rows, out.data());
    return out;
  }
  std::vector<float> Values(const std::string& name) const { return Values(Tensor(name)); }
  std::optional<double> Number(const std::string& key) const {
    for (const auto& entry : model_->hyperparameters) {
      if (entry.key != model_->architecture + "." + key) continue;
      if (const auto* real = std::get_if<double>(&entry.value.data)) return *real;
      if (const auto* whole = std::get_if<uint64_t>(&entry.value.data)) return static_cast<double>(*whole);
    }
    return std::nullopt;
  }
  std::vector<bool> Sliding() const {
    for (const auto& entry : model_->hyperparameters) {
      if (entry.key == model_->architecture + ".attention.sliding_window_pattern") return std::get<std::vector<bool>>(entry.value.data);
    }
    return {};
  }

 private:
  TemporaryDirectory dir_ = MakeTemporaryDirectory();
  std::unique_ptr<checkpoint::Checkpoint> checkpoint_;
  absl::StatusOr<Model> model_ = absl::InternalError("not mapped");
};

// Every tensor under the name that `rename` makes of its own.
template <typename Rename>
TinyCheckpoint Renamed(TinyCheckpoint tiny, Rename rename) {
  std::map<std::string, testing::TinyTensor> tensors;
  for (auto& [name, tensor] : tiny.tensors) tensors[rename(name)] = std::move(tensor);
  tiny.tensors = std::move(tensors);
  return tiny;
}

void ExpectSameModel(const TinyCheckpoint& awkward, const TinyCheckpoint& plain) {
  const Read a(awkward), b(plain);
  NS_ASSERT_OK(a.status());
  NS_ASSERT_OK(b.status());
  ASSERT_EQ(a.model().tensors.size(), b.model().tensors.size());
  for (size_t t = 0; t < a.model().tensors.size(); ++t) {
    EXPECT_EQ(a.model().tensors[t].name, b.model().tensors[t].name);
    EXPECT_EQ(Read::Values(a.model().tensors[t]), Read::Values(b.model().tensors[t])) << a.model().tensors[t].name;
  }
}

TEST(AwkwardNamesTest, WrappersAndBaseModels) {
  for (const std::string type : {"llama", "qwen3", "gemma3_text", "mixtral"}) {
    const TinyCheckpoint plain = TinyLlama(type, false);
    const auto bare = [](const std::string& name) { return name.starts_with("model.") ? name.substr(6) : name; };
    ExpectSameModel(Renamed(plain, bare), plain);
    ExpectSameModel(Renamed(plain, [](const std::string& name) { return "_orig_mod." + name; }), plain);
    ExpectSameModel(Renamed(plain, [](const std::string& name) { return "module." + name; }), plain);
    ExpectSameModel(Renamed(plain, [](const std::string& name) { return "model." + name; }), plain);
    ExpectSameModel(Renamed(plain, [&](const std::string& name) { return "module._orig_mod." + bare(name); }), plain);
  }
  const TinyCheckpoint gpt2 = TinyGpt2();
  for (const std::string prefix : {"transformer.", "_orig_mod.transformer.", "module.", "_orig_mod."}) {
    ExpectSameModel(Renamed(gpt2, [&](const std::string& name) { return prefix + name; }), gpt2);
  }
  // What else is there does not matter.
  TinyCheckpoint more = Renamed(TinyLlama("llama", true), [](const std::string& name) { return name.starts_with("model.") ? name.substr(6) : name; });
  more.Add("model.dummy", {0});
  ExpectSameModel(more, TinyLlama("llama", true));
  // Of a block that was compiled by itself.
  const TinyCheckpoint plain = TinyLlama("llama", true);
  ExpectSameModel(Renamed(plain, [](std::string name) {
                    const size_t at = name.find("self_attn.");
                    return at == std::string::npos ? name : name.insert(at, "_orig_mod.");
                  }), plain);
}

TEST(AwkwardNamesTest, TheSameParameterTwice) {
  TinyCheckpoint tiny = TinyLlama("llama", true);
  tiny.Add("_orig_mod.model.norm.weight", {64});
  EXPECT_EQ(ReasonOf(Read(tiny).status()), "TENSOR_DUPLICATE");
}

TEST(AwkwardTensorsTest, WithoutElementsIsLeftOutWithAWarning) {
  TinyCheckpoint tiny = TinyLlama("llama", true);
  tiny.Add("model.dummy", {0, 64});
  tiny.Add("a.first", {0});
  const Read read(tiny);
  NS_ASSERT_OK(read.status());
  EXPECT_THAT(read.model().warnings, Contains(HasSubstr("'model.dummy' has no elements")));
  EXPECT_THAT(read.model().warnings, Contains(HasSubstr("'a.first' has no elements")));
}

TEST(AwkwardTensorsTest, UntiedWithoutHead) {
  TinyCheckpoint tiny = TinyLlama("llama", true);
  EXPECT_THAT(Read(tiny).model().warnings, IsEmpty());
  tiny.config["tie_word_embeddings"] = false;
  const Read read(tiny);
  NS_ASSERT_OK(read.status());
  EXPECT_THAT(read.model().warnings, Contains(HasSubstr("the head is not tied, but there is no lm_head.weight: the embedding is used")));
  EXPECT_FALSE(read.Has("output.weight"));
  TinyCheckpoint head = Renamed(TinyLlama("qwen2", true), [](const std::string& name) { return name == "model.embed_tokens.weight" ? "lm_head.weight" : name; });
  head.config["tie_word_embeddings"] = false;
  EXPECT_THAT(Read(head).model().warnings, Contains(HasSubstr("no embed_tokens.weight")));
}

TEST(AwkwardTensorsTest, Gpt2HeadThatDiffers) {
  TinyCheckpoint tiny = TinyGpt2();
  tiny.tensors["lm_head.weight"] = tiny.tensors["wte.weight"];
  EXPECT_THAT(Read(tiny).model().warnings, IsEmpty());
  tiny.tensors["lm_head.weight"].values[5] += 1;
  EXPECT_THAT(Read(tiny).model().warnings, Contains(HasSubstr("lm_head.weight differs")));
}

TEST(ConfigKeysTest, ValuesThatAreNoneOfTheirKindAreNamed) {
  const auto message = [](const std::string& type, const std::string& key, const Json& value) {
    TinyCheckpoint tiny = type == "gpt2" ? TinyGpt2() : TinyLlama(type, false);
    tiny.config[key] = value;
    const absl::Status status = Read(tiny).status();
    EXPECT_EQ(ReasonOf(status), "CONFIG_INVALID") << key << " " << value << " " << status;
    return std::string(status.message());
  };
  for (const Json& value : {Json("10000"), Json(-1.0), Json(0), Json("NaN"), Json(true), Json::array()}) {
    EXPECT_THAT(message("llama", "rope_theta", value), HasSubstr("'rope_theta' is " + value.dump()));
    EXPECT_THAT(message("qwen2", "rms_norm_eps", value), HasSubstr("'rms_norm_eps' is " + value.dump()));
    EXPECT_THAT(message("gpt2", "layer_norm_epsilon", value), HasSubstr("'layer_norm_epsilon' is " + value.dump()));
    EXPECT_THAT(message("gemma3_text", "rope_local_base_freq", value), HasSubstr("'rope_local_base_freq' is " + value.dump()));
    EXPECT_THAT(message("gemma3_text", "query_pre_attn_scalar", value), HasSubstr("'query_pre_attn_scalar' is " + value.dump()));
  }
  for (const Json& value : {Json("64"), Json(-1), Json(0), Json(1.5), Json(uint64_t{1} << 63)}) {
    EXPECT_THAT(message("llama", "hidden_size", value), HasSubstr("'hidden_size' is " + value.dump()));
    EXPECT_THAT(message("llama", "num_key_value_heads", value), HasSubstr("'num_key_value_heads'"));
  }
  for (const auto& [type, key] : {std::pair{"llama", "tie_word_embeddings"}, {"llama", "attention_bias"}, {"llama", "mlp_bias"},
                                  {"qwen2", "use_sliding_window"}, {"qwen3_moe", "norm_topk_prob"}, {"qwen2_moe", "qkv_bias"},
                                  {"gpt2", "scale_attn_weights"}, {"gpt2", "scale_attn_by_inverse_layer_idx"}}) {
    EXPECT_THAT(message(type, key, "true"), HasSubstr(std::string("'") + key + "' is \"true\""));
  }
  EXPECT_THAT(message("mistral", "sliding_window", "4096"), HasSubstr("'sliding_window' is \"4096\""));
  EXPECT_THAT(message("mistral", "sliding_window", -1), HasSubstr("'sliding_window' is -1"));
  EXPECT_THAT(message("llama", "hidden_act", 3), HasSubstr("'hidden_act' is 3"));
  EXPECT_THAT(message("llama", "rope_scaling", "linear"), HasSubstr("'rope_scaling' is not an object"));
  EXPECT_THAT(message("llama", "rope_scaling", {{"rope_type", "linear"}}), HasSubstr("'factor'"));
  EXPECT_THAT(message("llama", "rope_scaling", {{"rope_type", "linear"}, {"factor", "2"}}), HasSubstr("'factor' is \"2\""));
  EXPECT_THAT(message("llama", "rope_scaling", {{"rope_type", "yarn"}, {"factor", 2}, {"beta_fast", "x"}}), HasSubstr("'beta_fast'"));
  EXPECT_THAT(message("llama", "rope_scaling", {{"rope_type", "longrope"}, {"factor", 2}}), HasSubstr("longrope"));
  EXPECT_THAT(message("llama", "partial_rotary_factor", 0.5), HasSubstr("partial_rotary_factor"));
  EXPECT_THAT(message("olmoe", "clip_qkv", 8.0), HasSubstr("clip_qkv"));
  EXPECT_THAT(message("gemma3_text", "attn_logit_softcapping", 50.0), HasSubstr("attn_logit_softcapping"));
  EXPECT_THAT(message("gpt2", "activation_function", "gelu"), HasSubstr("'gelu'"));
}

TEST(ConfigKeysTest, NullAndAbsentAreTransformersDefaults) {
  for (const bool absent : {false, true}) {
    const auto with = [&](const std::string& type, std::initializer_list<const char*> keys) {
      TinyCheckpoint tiny = TinyLlama(type, false);
      for (const char* key : keys) {
        if (absent) tiny.config.erase(key);
        else tiny.config[key] = nullptr;
      }
      return tiny;
    };
    const auto number = [&](const std::string& type, const char* key, const char* stored) {
      const Read read(with(type, {key}));
      NS_EXPECT_OK(read.status());
      return read.Number(stored).value_or(-1);
    };
    EXPECT_EQ(number("llama", "rope_theta", "rope.freq_base"), 1e4);
    EXPECT_EQ(number("mixtral", "rope_theta", "rope.freq_base"), 1e6);
    EXPECT_EQ(number("gemma3_text", "rope_theta", "rope.freq_base"), 1e6);
    EXPECT_EQ(number("gemma3_text", "rope_local_base_freq", "rope.freq_base_swa"), 1e4);
    EXPECT_EQ(number("llama", "rms_norm_eps", "attention.layer_norm_rms_epsilon"), double{1e-6f});
    EXPECT_EQ(number("mixtral", "rms_norm_eps", "attention.layer_norm_rms_epsilon"), double{1e-5f});
    EXPECT_EQ(number("olmoe", "rms_norm_eps", "attention.layer_norm_rms_epsilon"), double{1e-5f});
    EXPECT_EQ(number("llama", "rope_scaling", "rope.freq_base"), 1e4);
    EXPECT_EQ(number("llama", "hidden_act", "rope.freq_base"), 1e4);
  }
  TinyCheckpoint mistral = TinyLlama("mistral", false);
  EXPECT_EQ(Read(mistral).Number("attention.sliding_window"), 4096);
  mistral.config["sliding_window"] = nullptr;
  EXPECT_EQ(Read(mistral).Number("attention.sliding_window"), std::nullopt);
  EXPECT_EQ(Read(TinyLlama("mixtral", false)).Number("attention.sliding_window"), std::nullopt);
  TinyCheckpoint swish = TinyLlama("llama", false);
  swish.config["hidden_act"] = "swish";
  NS_EXPECT_OK(Read(swish).status());
}

TEST(ConfigKeysTest, WindowsAreThoseOfTransformers) {
  const auto sliding = [](const std::string& type, int most) {
    TinyCheckpoint tiny = TinyLlama(type, false);
    tiny.config.update({{"use_sliding_window", true}, {"sliding_window", 8}, {"max_window_layers", most}});
    const Read read(tiny);
    NS_EXPECT_OK(read.status());
    EXPECT_EQ(read.Number("attention.sliding_window").has_value(), !(type == "qwen2" && most == 2) && !(type == "qwen2_moe" && most == 0));
    return read.Sliding();
  };
  EXPECT_THAT(sliding("qwen2", 1), ElementsAre(false, true));      // from that layer on
  EXPECT_THAT(sliding("qwen2", 0), IsEmpty());                      // all
  EXPECT_THAT(sliding("qwen2", 2), IsEmpty());                      // none
  EXPECT_THAT(sliding("qwen2_moe", 2), ElementsAre(true, false));  // every other, below it
  EXPECT_THAT(sliding("qwen2_moe", 0), IsEmpty());                  // none
  EXPECT_THAT(sliding("qwen3_moe", 0), IsEmpty());                  // all, whatever it is
}

TEST(ConfigKeysTest, BiasesFollowTheirFlags) {
  TinyCheckpoint tiny = TinyLlama("llama", true);
  for (const char* name : {"self_attn.q_proj", "self_attn.o_proj", "mlp.down_proj"}) tiny.Add("model.layers.0." + std::string(name) + ".bias", {64});
  const Read unasked(tiny);
  NS_ASSERT_OK(unasked.status());
  EXPECT_FALSE(unasked.Has("blk.0.attn_q.bias") || unasked.Has("blk.0.attn_output.bias") || unasked.Has("blk.0.ffn_down.bias"));
  EXPECT_THAT(unasked.model().warnings, ElementsAre(HasSubstr("3, from model.layers.0.self_attn.q_proj.bias on")));
  tiny.config["attention_bias"] = tiny.config["mlp_bias"] = true;
  const Read asked(tiny);
  NS_ASSERT_OK(asked.status());
  EXPECT_TRUE(asked.Has("blk.0.attn_q.bias") && asked.Has("blk.0.attn_output.bias") && asked.Has("blk.0.ffn_down.bias"));
  EXPECT_THAT(asked.model().warnings, ElementsAre(HasSubstr("are zero")));  // those that are not there
  // Qwen 2 has its own, without a flag, and Mistral none.
  EXPECT_TRUE(Read(TinyLlama("qwen2", true)).Has("blk.0.attn_q.bias"));
  TinyCheckpoint mistral = TinyLlama("mistral", true);
  mistral.config["attention_bias"] = true;
  mistral.Add("model.layers.0.self_attn.q_proj.bias", {64});
  EXPECT_FALSE(Read(mistral).Has("blk.0.attn_q.bias"));
}

TEST(Gpt2ScalesTest, AreInTheQueriesAndNowhereElse) {
  const Read plain(TinyGpt2());
  for (const auto& [by_layer, by_width] : {std::pair{true, true}, {true, false}, {false, false}}) {
    TinyCheckpoint tiny = TinyGpt2();
    tiny.config["scale_attn_by_inverse_layer_idx"] = by_layer;
    tiny.config["scale_attn_weights"] = by_width;
    const Read read(tiny);
    NS_ASSERT_OK(read.status());
    EXPECT_THAT(read.model().warnings, Contains(HasSubstr("scale_attn_")));
    for (int layer = 0; layer < 2; ++layer) {
      const float scale = (by_width ? 1.0f : 4.0f) / static_cast<float>(by_layer ? layer + 1 : 1);  // a head is 16 wide
      const std::string name = "blk." + std::to_string(layer) + ".attn_qkv";
      const std::vector<float> weights = read.Values(name + ".weight"), bias = read.Values(name + ".bias");
      const std::vector<float> before = plain.Values(name + ".weight"), bias_before = plain.Values(name + ".bias");
      for (size_t i = 0; i < weights.size(); ++i) ASSERT_EQ(weights[i], before[i] * (i < 64 * 64 ? scale : 1)) << i;
      for (size_t i = 0; i < bias.size(); ++i) ASSERT_EQ(bias[i], bias_before[i] * (i < 64 ? scale : 1)) << i;

      const MappedTensor& tensor = read.Tensor(name + ".weight");
      const std::vector<float> stored = Read::Values(InCheckpointOrder(tensor));
      EXPECT_EQ(stored, Read::Values(InCheckpointOrder(plain.Tensor(name + ".weight"))));  // what nsq keeps
      EXPECT_EQ(FromCheckpointOrder(tensor, stored), weights);
      const std::vector<float> back = ToCheckpointOrder(tensor, weights, tensor.row_weights);
      for (size_t i = 0; i < back.size(); ++i) ASSERT_NEAR(back[i], stored[i], 1e-6 * std::abs(stored[i]));
      const std::vector<float> errors = RowWeightsInCheckpointOrder(tensor, std::vector<float>(192, 2.0f));
      EXPECT_EQ(errors[0], 2 * scale * scale);
      EXPECT_EQ(errors[64], 2);
      EXPECT_EQ(read.Values("blk.1.ffn_up.weight"), plain.Values("blk.1.ffn_up.weight"));
    }
  }
}

}  // namespace
}  // namespace nashswarm::model
