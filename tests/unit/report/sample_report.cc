#include "tests/unit/report/sample_report.h"

#include <cmath>

namespace nashswarm::report {
namespace {

struct FormatOf {
  const char* name;
  double bits;
};
constexpr FormatOf kFormats[] = {{"Q2_K", 2.625}, {"Q3_K", 3.4375}, {"IQ4_XS", 4.25}, {"Q4_K", 4.5}, {"Q5_K", 5.5}, {"Q6_K", 6.5625}};

// A fixed sequence without a pattern to the eye, in [0, 1).
double Jitter(int i) {
  const double x = std::sin(i * 12.9898 + 4.1) * 43758.5453;
  return x - std::floor(x);
}

TensorRow Matrix(std::string name, std::string role, int layer, uint64_t weights, int format, double weight) {
  const FormatOf& f = kFormats[format];
  const double error = 0.9 * std::pow(4.0, -f.bits) * (0.7 + 0.9 * Jitter(layer * 7 + static_cast<int>(role.size()) + 30));
  return {std::move(name), std::move(role), layer, weights, f.name, f.bits, error, error * weight, false};
}

TensorRow Vector(std::string name, std::string role, int layer, uint64_t weights) {
  return {std::move(name), std::move(role), layer, weights, "F32", 32, 0, 0, true};
}

void AddPath(Report* report, double price, uint64_t target) {
  double low = price / 900, high = price * 60, at = std::sqrt(low * high);
  for (int i = 0; i < 22; ++i) {
    const double bytes = target * (1 + 0.24 * std::log(price / at) / (1 + 0.2 * std::abs(std::log(price / at))));
    const double kept = i > 18 ? static_cast<double>(target) - 9000 : bytes;
    report->price_path.push_back({at, static_cast<uint64_t>(kept), at * target});
    (at > price ? high : low) = at;
    at = std::sqrt(low * high);
  }
}

}  // namespace

Report FullReport() {
  Report r;
  r.engine = "nashswarm 0.1.0";
  r.made = "2026-11-30T17:05:00Z";
  r.cpu = "AMD EPYC 9B14";
  r.command = "nashswarm compress CHECKPOINT -o OUT --bpw 3.5 --calibrate CALIBRATION.txt --rule 'model\\.embed.*=Q6_K'";
  r.model_name = "gpt2";
  r.architecture = "gpt2";
  r.source_digest = "248dfc3911869ec493c76e65bf2fcf7f615828b0254c12b473182f0f81d3a707";
  r.parameters = 124439808;
  r.target = "3.5 bits a weight";
  r.plan_summary = "3.4993 bits a weight, 0.021 % under the target: loss at most 0.184 % above the best plan's";
  const uint64_t size = 54430912;
  r.artifact = ArtifactFile{"model.gguf", size, "5feceb66ffc86f38d952786c6d696c79c2dbc239dd4e91b46729d73a27fb57e9"};
  r.memory = Memory{size, 37748736, 1024};
  r.headline = {
      {"checkpoint", "", false, 497774208, 32.001, 0.0, 0.0, std::nullopt, Quality{29.374, 0, 0, 0, 0, 0, 1, 8184}},
      {"rounding in groups of 32, 4 bits", "", false, 77822000, 5.003, 0.8437, 0.8437, std::nullopt,
       Quality{31.104, 0.0589, 0.0041, 0.0571, 0.0010, 0.7112, 0.8812, 8184}},
      {"rounding in groups of 128, 4 bits", "", false, 66140000, 4.252, 0.8671, 0.8671, std::nullopt,
       Quality{3.1e9, 1.05e8, 2e6, 17.09, 0.021, 31.2, 0.0001, 8184}},
      {"llama.cpp Q3_K_S", "its types, our encoders, importance matrix", false, 55213056, 3.550, 0.8891, 0.8891, std::nullopt, std::nullopt},
      {"nashswarm", "", true, size, 3.4993, 0.89065, 0.89065, std::nullopt,
       Quality{30.816, 0.0491, 0.0031, 0.04731, 0.00082, 0.5127, 0.8934, 8184}},
  };
  r.loss_is_kl = true;
  r.chosen_bytes = size;
  r.chosen_predicted_loss = 0.0418;
  for (int i = 0; i <= 24; ++i) {
    const double bits = 2.66 + 4.1 * i / 24;
    r.frontier.push_back({static_cast<uint64_t>(bits * r.parameters / 8), bits, 0.0418 * std::pow(4.1, 3.5 - bits) * (1 + 0.02 * Jitter(i))});
  }
  r.trials = {
      {48211968, 3.0994, 0.0735, 0.0921, 32.311, 0.1000, false}, {60112896, 3.8646, 0.0250, 0.0271, 30.021, 0.0220, true},
      {56011776, 3.6009, 0.0363, 0.0391, 30.462, 0.0370, true},  {52011008, 3.3437, 0.0521, 0.0602, 31.237, 0.0634, false},
      {54430912, 3.4993, 0.0418, 0.0473, 30.816, 0.0491, true},
  };
  r.search = SearchReport{"32 windows of the calibration text (a text), 16384 tokens, which nothing else was fitted to",
                          8160,
                          {{0, "equilibrium", 1, 0.0481, 0.0481, true},
                           {0, "context", 1, 0.0462, 0.0462, true},
                           {1, "context", 1, 0.0465, 0.0462, false},
                           {2, "swarm", 12, std::nullopt, 0.0462, false},
                           {3, "swarm", 12, 0.0457, 0.0457, true}},
                          {{"uniform", 54430112, 3.4992, 0.0733},
                           {"game", 54430912, 3.4993, 0.0481},
                           {"swarm only", 54429696, 3.4992, 0.0695},
                           {"both", 54430912, 3.4993, 0.0457}}};
  AddPath(&r, 3.1e-9, size);
  r.tensors.push_back(Matrix("transformer.wte.weight", "token_embedding", -1, 38597376, 1, 0.5));
  r.tensors.push_back(Matrix("transformer.wpe.weight", "position_embedding", -1, 786432, 5, 0.4));
  for (int layer = 0; layer < 12; ++layer) {
    const std::string h = "transformer.h." + std::to_string(layer) + ".";
    const int edge = layer < 2 || layer == 11;
    r.tensors.push_back(Vector(h + "ln_1.weight", "norm", layer, 768));
    r.tensors.push_back(Matrix(h + "attn.c_attn.weight (query)", "query", layer, 589824, (layer * 5) % 3 == 0 ? 1 : 0, 0.12));
    r.tensors.push_back(Matrix(h + "attn.c_attn.weight (key)", "key", layer, 589824, edge ? 5 : 3, 0.22));
    r.tensors.push_back(Matrix(h + "attn.c_attn.weight (value)", "value", layer, 589824, 4 - (layer % 3 == 1), 0.31));
    r.tensors.push_back(Matrix(h + "attn.c_proj.weight", "attention_output", layer, 589824, 1 + edge, 0.2));
    r.tensors.push_back(Vector(h + "ln_2.weight", "norm", layer, 768));
    r.tensors.push_back(Matrix(h + "mlp.c_fc.weight", "ffn_up", layer, 2359296, edge, 0.25));
    r.tensors.push_back(Matrix(h + "mlp.c_proj.weight", "ffn_down", layer, 2359296, edge + (layer > 6), 0.5 + 0.1 * layer));
  }
  r.tensors.push_back(Vector("transformer.ln_f.weight", "norm", -1, 768));
  r.plan_in_words = PlanInWords(r.tensors);
  r.texts = {
      {"calibration", "a text", "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", 1284192, 262144, 512,
       "The first nine tenths; the rest is held out."},
      {"evaluation", "held-out part of the calibration text", "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", 142688,
       8192, 1024, "The last tenth, cut to 8 windows; no window is used for both."},
  };
  r.costs = {{"prepare", 1, 0.41, 62914560},    {"calibrate", 1, 48.2, 1423966208}, {"measure", 4, 214.7, 612368384},
             {"solve", 1, 0.008, 41943040},     {"encode", 4, 21.6, 398458880},     {"evaluate", 1, 37.9, 1388314624},
             {"publish", 1, 0.36, 58720256}};
  r.warnings = {"transformer.h.7.mlp.c_proj.weight has outliers: 12 weights are over 40 standard deviations from the mean."};
  return r;
}

Report MinimalReport() {
  Report r;
  r.engine = "nashswarm 0.1.0";
  r.model_name = "tiny-llama";
  r.architecture = "llama";
  r.parameters = 312832;
  r.target = "4 bits a weight";
  r.headline = {{"nashswarm", "", true, 155904, 3.9869, 0.8754, 0.7508, std::nullopt, std::nullopt}};
  for (int layer = 0; layer < 2; ++layer) {
    const std::string h = "model.layers." + std::to_string(layer) + ".";
    for (const char* role : {"query", "key", "value"}) r.tensors.push_back(Matrix(h + role, role, layer, 4096, 3, 0.2));
    r.tensors.push_back(Matrix(h + "mlp.down_proj.weight", "ffn_down", layer, 16384, 2, 0.4));
  }
  return r;
}

Report DeepReport(int layers) {
  Report r = FullReport();
  r.model_name = "An extraordinarily-long-model-name/Meta-Llama-like-405B-Instruct-<script>alert(\"x\")</script>&co";
  r.architecture = "llama";
  r.parameters *= 3200;
  r.target = "perplexity at most 5 % up";
  r.loss_is_kl = false;
  r.chosen_predicted_loss *= 3.1e10;
  for (Row& row : r.headline) row.bytes *= 3200;
  for (Trial& trial : r.trials) trial.bytes *= 3200;
  for (FrontierPoint& point : r.frontier) {
    point.bytes = static_cast<uint64_t>(point.bits_per_weight * r.parameters / 8);
    point.predicted_loss *= 3.1e10;
  }
  r.chosen_bytes *= 3200;
  r.price_path.clear();
  AddPath(&r, 0.31, r.chosen_bytes);
  r.tensors.clear();
  r.tensors.push_back(Matrix("model.embed_tokens.weight", "token_embedding", -1, 2101346304, 3, 5));
  constexpr const char* kRoles[] = {"query", "key", "value", "attention_output", "ffn_gate", "ffn_up", "ffn_down"};
  for (int layer = 0; layer < layers; ++layer) {
    int i = 0;
    for (const char* role : kRoles) {
      const int format = static_cast<int>(6 * std::pow(Jitter(layer * 11 + i++), layer < 6 || layer > layers - 4 ? 0.5 : 1.6));
      r.tensors.push_back(Matrix("model.layers." + std::to_string(layer) + "." + role + ".weight", role, layer, 16384 * 16384, format, 1e8));
    }
    r.tensors.push_back(Vector("model.layers." + std::to_string(layer) + ".norm", "norm", layer, 16384));
  }
  r.tensors.push_back(Matrix("lm_head.<b onmouseover='alert(1)'>\"weight\" & co", "output", -1, 2101346304, 5, 5e11));
  r.plan_in_words = PlanInWords(r.tensors);
  r.search.reset();
  r.warnings = {"FALLBACK: 126 tensors have rows of 53248 weights, which do not divide by 256, and took 32-wide types.",
                "model.layers.3.\"<img src=x onerror=alert(1)>\" & 'others' have outliers."};
  return r;
}

}  // namespace nashswarm::report
