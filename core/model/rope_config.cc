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

constexpr char kHint[] = "take config.json from the model's own repository";

// The parameters of `layers` ("full_attention" or "sliding_attention") or of all layers; null when there are none.
Json RopeObject(const char* layers, Mapper* map) {
  for (const char* key : {"rope_parameters", "rope_scaling"}) {
    const auto it = map->config().find(key);
    if (it == map->config().end() || it->is_null()) continue;
    if (!it->is_object()) {
      map->Fail("CONFIG_INVALID", absl::StrCat("config.json: '", key, "' is not an object"), kHint);
      continue;
    }
    const auto of_layers = it->find(layers);
    return of_layers != it->end() && of_layers->is_object() ? *of_layers : *it;
  }
  return {};
}

double BaseOf(const Json& rope, const char* key, double fallback, Mapper* map) {
  return map->RealIn(rope, "rope_theta", map->Real(key, fallback));
}

// Of a kind of scaling that means nothing without it.
double Needed(const Json& scaling, const char* key, Mapper* map) {
  if (!scaling.contains(key) || scaling[key].is_null()) {
    map->Fail("CONFIG_INVALID", absl::StrCat("config.json: its scaling of rotary embeddings has no '", key, "'"), kHint);
  }
  return map->RealIn(scaling, key, 1);
}

// Llama 3.1's rotary scaling is stored as one divisor per frequency. Source: "The Llama 3 Herd of Models" and the
// published reference code: long wavelengths are divided by `factor`, short ones kept, those between interpolated.
std::vector<float> Llama3Factors(const Json& scaling, double base, uint64_t head_width, Mapper* map) {
  const double factor = Needed(scaling, "factor", map), low = Needed(scaling, "low_freq_factor", map),
               high = Needed(scaling, "high_freq_factor", map),
               old_context = Needed(scaling, "original_max_position_embeddings", map);
  if (high <= low) map->Fail("CONFIG_INVALID", "config.json: 'high_freq_factor' is not above 'low_freq_factor'", kHint);
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
double YarnAttentionFactor(const Json& scaling, double factor, Mapper* map) {
  const auto own = [&](double weight) { return factor > 1 ? 0.1 * weight * std::log(factor) + 1 : 1; };
  const double mscale = map->RealIn(scaling, "mscale", 0), all = map->RealIn(scaling, "mscale_all_dim", 0);
  const double wanted = map->RealIn(scaling, "attention_factor", mscale != 0 && all != 0 ? own(mscale) / own(all) : own(1));
  return wanted / own(1);
}

void PutYarn(const Json& scaling, double factor, Mapper* map) {
  if (!map->FlagIn(scaling, "truncate", true)) {
    map->Fail("CONFIG_INVALID", "config.json: yarn without truncation is not supported", "GGUF has no key for it");
  }
  if (const double attention = YarnAttentionFactor(scaling, factor, map); std::abs(attention - 1) > 1e-6) {
    map->Put("rope.scaling.attn_factor", GgufValue::F32(static_cast<float>(attention)));
  }
  for (const char* beta : {"beta_fast", "beta_slow"}) {
    if (const double turns = map->RealIn(scaling, beta, 0); turns > 0) {
      map->Put(absl::StrCat("rope.scaling.yarn_", beta), GgufValue::F32(static_cast<float>(turns)));
    }
  }
}

void PutScaling(const Json& scaling, double base, uint64_t head_width, uint64_t context, Mapper* map) {
  if (!scaling.is_object()) return;
  const std::string kind = map->TextIn(scaling, "rope_type|type", "");
  if (kind.empty() || kind == "default") return;
  if (kind == "llama3") {
    map->Constant("rope_freqs.weight", Role::kRopeFactors, Llama3Factors(scaling, base, head_width, map));
    return;
  }
  if (kind != "linear" && kind != "yarn") {
    map->Fail("CONFIG_INVALID", absl::StrCat("config.json: rope_scaling of type '", kind, "' is not supported"),
              "linear, yarn and llama3 are");
    return;
  }
  const double factor = Needed(scaling, "factor", map);
  map->Put("rope.scaling.type", GgufValue::String(kind));
  map->Put("rope.scaling.factor", GgufValue::F32(static_cast<float>(factor)));
  const uint64_t original = map->CountIn(scaling, "original_max_position_embeddings", context);
  map->Put("rope.scaling.original_context_length", GgufValue::U32(static_cast<uint32_t>(original)));
  if (kind == "yarn") PutYarn(scaling, factor, map);
}

constexpr uint64_t kQwenWindowLayers = 28;  // max_window_layers where config.json does not say, as in transformers

// Where transformers looks at layer_types; elsewhere it is not read, whatever it says.
bool ReadsLayerTypes(WindowRule rule) {
  return rule == WindowRule::kFromLayer || rule == WindowRule::kEveryOther || rule == WindowRule::kPeriodic;
}

bool IsOnRequest(WindowRule rule) {
  return rule == WindowRule::kFromLayer || rule == WindowRule::kEveryOther || rule == WindowRule::kEveryOnRequest;
}

// Without layer_types.
bool IsSliding(WindowRule rule, uint64_t layer, uint64_t most, uint64_t period) {
  switch (rule) {
    case WindowRule::kNone:
    case WindowRule::kRefused:
      return false;
    case WindowRule::kEvery:
    case WindowRule::kEveryOnRequest:
      return true;
    case WindowRule::kFromLayer:
      return layer >= most;
    case WindowRule::kEveryOther:
      return layer % 2 == 0 && layer < most;
    case WindowRule::kPeriodic:
      return (layer + 1) % period != 0;
  }
  return false;
}

std::vector<bool> SlidingLayers(WindowRule rule, uint64_t layers, Mapper* map) {
  std::vector<bool> out;
  const auto it = map->config().find("layer_types");
  if (ReadsLayerTypes(rule) && it != map->config().end() && !it->is_null()) {
    if (!it->is_array()) map->Fail("CONFIG_INVALID", "config.json: 'layer_types' is not a list", kHint);
    for (const Json& type : *it) {
      const std::string name = type.is_string() ? type.get<std::string>() : "";
      out.push_back(name == "sliding_attention");
      if (!out.back() && name != "full_attention") {
        map->Fail("CONFIG_INVALID", absl::StrCat("config.json: layer_types: '", name, "' is not supported"), "");
      }
    }
    if (out.size() == layers) return out;
    map->Fail("CONFIG_INVALID", absl::StrCat("config.json: layer_types lists ", out.size(), " layers of ", layers),
              kHint);
  }
  const uint64_t period = map->CountOr("sliding_window_pattern|_sliding_window_pattern", 6);
  const double most = map->RealIn(map->config(), "max_window_layers", 0);
  const auto limit = map->Says("max_window_layers") ? static_cast<uint64_t>(std::min(most, 1e9)) : kQwenWindowLayers;
  out.clear();
  // A count of layers that is not true is found by the first layer that is missing: do not believe it here.
  for (uint64_t layer = 0; layer < std::min<uint64_t>(layers, 1 << 16); ++layer) {
    out.push_back(IsSliding(rule, layer, limit, period));
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

void PutRope(uint64_t head_width, uint64_t context, double default_base, double window_base, Mapper* map) {
  const Json rope = RopeObject("full_attention", map);
  const double base = BaseOf(rope, "rope_theta", default_base, map);
  map->Put("rope.dimension_count", GgufValue::U32(static_cast<uint32_t>(head_width)));
  map->Put("rope.freq_base", GgufValue::F32(static_cast<float>(base)));
  if (map->RealIn(rope, "partial_rotary_factor", map->Real("partial_rotary_factor", 1)) != 1) {
    map->Fail("CONFIG_INVALID", "config.json: partial_rotary_factor: rotating a part of a head is not supported", "");
  }
  if (window_base > 0) {
    // Before version 5 of transformers rope_scaling was that of the global layers alone.
    const bool by_layers = map->Says("rope_parameters");
    const Json local = by_layers ? RopeObject("sliding_attention", map) : Json();
    if (map->TextIn(local, "rope_type", "default") != "default") {
      map->Fail("CONFIG_INVALID", "config.json: scaled rotary embeddings of layers with a window are not supported", "");
    }
    const double local_base = BaseOf(local, "rope_local_base_freq", window_base, map);
    map->Put("rope.freq_base_swa", GgufValue::F32(static_cast<float>(local_base)));
  }
  PutScaling(rope, base, head_width, context, map);
}

uint64_t PutSlidingWindow(WindowRule rule, uint64_t default_window, uint64_t layers, Mapper* map) {
  if (rule == WindowRule::kNone) return 0;
  if (rule == WindowRule::kRefused) {
    if (map->Flag("use_sliding_window", false)) {
      map->Fail("CONFIG_INVALID", "config.json: use_sliding_window: this architecture has no window in GGUF", "");
    }
    return 0;
  }
  if (IsOnRequest(rule) && !map->Flag("use_sliding_window", false)) return 0;
  // Only a window that is not there at all is the default; null is none.
  const uint64_t absent = map->config().contains("sliding_window") ? 0 : default_window;
  const auto window = static_cast<uint64_t>(std::min(map->RealIn(map->config(), "sliding_window", 0) + static_cast<double>(absent), 1.0 * INT32_MAX));
  if (window == 0) return 0;
  const std::vector<bool> sliding = SlidingLayers(rule, layers, map);
  if (std::count(sliding.begin(), sliding.end(), true) == 0) return 0;
  map->Put("attention.sliding_window", GgufValue::U32(static_cast<uint32_t>(window)));
  if (std::count(sliding.begin(), sliding.end(), false) == 0) return window;
  // Loaders know the common pattern as a number; any other is a list.
  const uint64_t period = rule == WindowRule::kPeriodic ? PeriodOf(sliding) : 0;
  map->Put("attention.sliding_window_pattern", period > 0 ? GgufValue::U32(static_cast<uint32_t>(period))
                                                          : GgufValue{GgufType::kArray, GgufType::kBool, sliding});
  return window;
}

}  // namespace nashswarm::model
