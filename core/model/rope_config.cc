#include "core/model/rope_config.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>

#include "absl/strings/str_cat.h"

namespace nashswarm::model {
namespace {

using checkpoint::GgufType;
using checkpoint::GgufValue;

// The parameters of `layers` ("full_attention" or "sliding_attention") or of all layers; null when there are none.
Json RopeObject(const Json& config, const char* layers) {
  for (const char* key : {"rope_parameters", "rope_scaling"}) {
    const auto it = config.find(key);
    if (it == config.end() || !it->is_object()) continue;
    const auto of_layers = it->find(layers);
    return of_layers != it->end() && of_layers->is_object() ? *of_layers : *it;
  }
  return {};
}

double BaseOf(const Json& config, const Json& rope, const char* key, double fallback) {
  const double base = rope.is_object() ? JsonDouble(rope, "rope_theta", 0) : 0;
  return base > 0 ? base : JsonDouble(config, key, fallback);
}

// Llama 3.1's rotary scaling is stored as one divisor per frequency. Source: "The Llama 3 Herd of Models" and the
// published reference code: long wavelengths are divided by `factor`, short ones kept, those between interpolated.
std::vector<float> Llama3Factors(const Json& scaling, double base, uint64_t head_width) {
  const double factor = JsonDouble(scaling, "factor", 8), low = JsonDouble(scaling, "low_freq_factor", 1),
               high = JsonDouble(scaling, "high_freq_factor", 4),
               old_context = JsonDouble(scaling, "original_max_position_embeddings", 8192);
  std::vector<float> factors;
  for (uint64_t i = 0; i < head_width; i += 2) {
    const double frequency = std::pow(base, -static_cast<double>(i) / static_cast<double>(head_width));
    const double wavelength = 2 * std::numbers::pi / frequency;
    if (wavelength < old_context / high) {
      factors.push_back(1);
    } else if (wavelength > old_context / low) {
      factors.push_back(static_cast<float>(factor));
    } else {
      const double smooth = (old_context / wavelength - low) / (high - low);
      factors.push_back(static_cast<float>(1 / ((1 - smooth) / factor + smooth)));
    }
  }
  return factors;
}

// What multiplies cosines and sines besides yarn's own 0.1 ln(factor) + 1.
double YarnAttentionFactor(const Json& scaling, double factor) {
  const auto own = [&](double weight) { return factor > 1 ? 0.1 * weight * std::log(factor) + 1 : 1; };
  const double mscale = JsonDouble(scaling, "mscale", 0), all = JsonDouble(scaling, "mscale_all_dim", 0);
  const double wanted = JsonDouble(scaling, "attention_factor", mscale != 0 && all != 0 ? own(mscale) / own(all) : own(1));
  return wanted / own(1);
}

void PutYarn(const Json& scaling, double factor, Mapper* map) {
  if (!JsonBool(scaling, "truncate", true)) {
    map->Fail("CONFIG_INVALID", "config.json: yarn without truncation is not supported", "GGUF has no key for it");
  }
  if (const double attention = YarnAttentionFactor(scaling, factor); std::abs(attention - 1) > 1e-6) {
    map->Put("rope.scaling.attn_factor", GgufValue::F32(static_cast<float>(attention)));
  }
  for (const char* beta : {"beta_fast", "beta_slow"}) {
    if (const double turns = JsonDouble(scaling, beta, 0); turns > 0) {
      map->Put(absl::StrCat("rope.scaling.yarn_", beta), GgufValue::F32(static_cast<float>(turns)));
    }
  }
}

void PutScaling(const Json& scaling, double base, uint64_t head_width, uint64_t context, Mapper* map) {
  if (!scaling.is_object()) return;
  const std::string kind = JsonString(scaling, "rope_type", JsonString(scaling, "type"));
  if (JsonDouble(scaling, "partial_rotary_factor", 1) != 1) {
    map->Fail("CONFIG_INVALID", "config.json: rotating a part of a head is not supported", "");
  }
  if (kind.empty() || kind == "default") return;
  if (kind == "llama3") {
    map->Constant("rope_freqs.weight", Role::kRopeFactors, Llama3Factors(scaling, base, head_width));
    return;
  }
  if (kind != "linear" && kind != "yarn") {
    map->Fail("CONFIG_INVALID", absl::StrCat("config.json: rope_scaling of type '", kind, "' is not supported"),
              "linear, yarn and llama3 are");
    return;
  }
  const double factor = JsonDouble(scaling, "factor", 1);
  map->Put("rope.scaling.type", GgufValue::String(kind));
  map->Put("rope.scaling.factor", GgufValue::F32(static_cast<float>(factor)));
  const int64_t original = JsonInt(scaling, "original_max_position_embeddings", static_cast<int64_t>(context));
  if (original > 0 && original < (int64_t{1} << 31)) {
    map->Put("rope.scaling.original_context_length", GgufValue::U32(static_cast<uint32_t>(original)));
  }
  if (kind == "yarn") PutYarn(scaling, factor, map);
}

std::vector<bool> SlidingLayers(WindowRule rule, uint64_t layers, Mapper* map) {
  std::vector<bool> out;
  if (const auto it = map->config().find("layer_types"); it != map->config().end() && it->is_array()) {
    for (const Json& type : *it) {
      const std::string name = type.is_string() ? type.get<std::string>() : "";
      out.push_back(name == "sliding_attention");
      if (!out.back() && name != "full_attention") {
        map->Fail("CONFIG_INVALID", absl::StrCat("config.json: layer_types: '", name, "' is not supported"), "");
      }
    }
    if (out.size() == layers) return out;
    map->Fail("CONFIG_INVALID", absl::StrCat("config.json: layer_types lists ", out.size(), " layers of ", layers),
              "take config.json from the model's own repository");
  }
  const uint64_t period = map->CountOr("sliding_window_pattern|_sliding_window_pattern", 6);
  const int64_t first = JsonInt(map->config(), "max_window_layers", 28);  // transformers' default for qwen
  out.clear();
  // A count of layers that is not true is found by the first layer that is missing: do not believe it here.
  for (uint64_t layer = 0; layer < std::min<uint64_t>(layers, 1 << 16); ++layer) {
    out.push_back(rule == WindowRule::kEvery || (rule == WindowRule::kOnRequest && static_cast<int64_t>(layer) >= first) ||
                  (rule == WindowRule::kPeriodic && (layer + 1) % period != 0));
  }
  return out;
}

// N when every N-th layer has no window and all others have one; 0 when there is no such N.
uint64_t PeriodOf(const std::vector<bool>& sliding) {
  const uint64_t period = std::find(sliding.begin(), sliding.end(), false) - sliding.begin() + 1;
  for (uint64_t layer = 0; layer < sliding.size(); ++layer) {
    if (sliding[layer] != ((layer + 1) % period != 0)) return 0;
  }
  return period;
}

}  // namespace

void PutRope(uint64_t head_width, uint64_t context, bool local_layers, Mapper* map) {
  const Json rope = RopeObject(map->config(), "full_attention");
  const double base = BaseOf(map->config(), rope, "rope_theta", local_layers ? 1e6 : 1e4);
  map->Put("rope.dimension_count", GgufValue::U32(static_cast<uint32_t>(head_width)));
  map->Put("rope.freq_base", GgufValue::F32(static_cast<float>(base)));
  if (local_layers) {
    // Before version 5 of transformers rope_scaling was that of the global layers alone.
    const bool by_layers = map->config().contains("rope_parameters");
    const Json local = by_layers ? RopeObject(map->config(), "sliding_attention") : Json();
    if (local.is_object() && JsonString(local, "rope_type", "default") != "default") {
      map->Fail("CONFIG_INVALID", "config.json: scaled rotary embeddings of layers with a window are not supported", "");
    }
    const double local_base = BaseOf(map->config(), local, "rope_local_base_freq", 1e4);
    map->Put("rope.freq_base_swa", GgufValue::F32(static_cast<float>(local_base)));
  }
  PutScaling(rope, base, head_width, context, map);
}

uint64_t PutSlidingWindow(WindowRule rule, uint64_t layers, Mapper* map) {
  const int64_t window = JsonInt(map->config(), "sliding_window", 0);
  if (rule == WindowRule::kNone || window <= 0) return 0;
  if (rule == WindowRule::kOnRequest && !JsonBool(map->config(), "use_sliding_window", false)) return 0;
  const std::vector<bool> sliding = SlidingLayers(rule, layers, map);
  if (std::count(sliding.begin(), sliding.end(), true) == 0) return 0;
  map->Put("attention.sliding_window", GgufValue::U32(static_cast<uint32_t>(std::min<int64_t>(window, INT32_MAX))));
  if (std::count(sliding.begin(), sliding.end(), false) == 0) return window;
  // Loaders know the common pattern as a number; any other is a list.
  const uint64_t period = rule == WindowRule::kPeriodic ? PeriodOf(sliding) : 0;
  map->Put("attention.sliding_window_pattern", period > 0 ? GgufValue::U32(static_cast<uint32_t>(period))
                                                          : GgufValue{GgufType::kArray, GgufType::kBool, sliding});
  return window;
}

}  // namespace nashswarm::model
