#include "core/pipeline/search_state.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/base/file.h"
#include "core/base/status.h"

namespace nashswarm::pipeline {
namespace {

// What the protocol allows (core/engine/README.md).
constexpr int kMostRounds = 64;

constexpr size_t kBirds = 12;

bool HasChoice(const Prepared& prepared) {
  return std::any_of(prepared.tensors.begin(), prepared.tensors.end(),
                     [](const PreparedTensor& tensor) { return tensor.is_coded() || tensor.formats.size() > 1; });
}

bool Searches(const Spec& spec, const Prepared& prepared) {
  return spec.search.asked() && spec.has_calibration_text() && !spec.has_quality_target() && HasChoice(prepared);
}

// The flock has one round at least.
int AskedContextRounds(const Spec::Search& search) {
  return std::min(search.context_rounds, search.swarm_evaluations > 0 ? kMostRounds - 1 : kMostRounds);
}

int RoundsOf(int evaluations, size_t birds) {
  return birds == 0 ? 0 : static_cast<int>((static_cast<size_t>(evaluations) + birds - 1) / birds);
}

// JSON has no infinity: null.
Json Finite(const std::vector<double>& values) {
  Json out = Json::array();
  for (const double value : values) out.push_back(std::isfinite(value) ? Json(value) : Json());
  return out;
}

}  // namespace

int ContextRounds(const Spec& spec, const Prepared& prepared) {
  return Searches(spec, prepared) ? AskedContextRounds(spec.search) : 0;
}

size_t FlockSize(const Spec& spec) {
  if (spec.search.off || spec.search.swarm_evaluations <= 0) return 0;
  const auto evaluations = static_cast<size_t>(spec.search.swarm_evaluations),
             rounds = static_cast<size_t>(kMostRounds - AskedContextRounds(spec.search));
  return std::max(std::min(kBirds, evaluations), (evaluations + rounds - 1) / rounds);
}

int SearchRounds(const Spec& spec, const Prepared& prepared) {
  if (!Searches(spec, prepared)) return 0;
  return ContextRounds(spec, prepared) + RoundsOf(spec.search.swarm_evaluations, FlockSize(spec));
}

std::string SearchFile(int round) { return absl::StrCat("search-", round, ".json"); }

absl::StatusOr<std::optional<Json>> ReadLastSearch(const std::string& in_dir) {
  int round = -1;
  while (PathExists(JoinPath(in_dir, SearchFile(round + 1)))) ++round;
  if (round < 0) return std::optional<Json>();
  NS_ASSIGN_OR_RETURN(const std::string text, ReadFile(JoinPath(in_dir, SearchFile(round))));
  NS_ASSIGN_OR_RETURN(Json json, ParseJson(text, SearchFile(round)));
  return std::optional<Json>(std::move(json));
}

Json ToJson(const SearchState& state) {
  constexpr const char* kPhases[] = {"context", "swarm", "done"};
  return {{"phase", kPhases[static_cast<int>(state.phase)]},
          {"rounds", state.rounds},
          {"equilibrium_kl", state.equilibrium_kl},
          {"equilibrium_bytes", state.equilibrium_bytes},
          {"context_kl", state.context_kl},
          {"mean_kl", state.kl},
          {"plan_summary", state.plan_summary},
          {"step_factor", state.step_factor},
          {"context_tried", state.context_tried},
          {"context_kept", state.context_kept},
          {"base_weights", state.base_weights},
          {"birds",
           {{"generation", state.birds.generation},
            {"positions", state.birds.positions},
            {"velocities", state.birds.velocities},
            {"own_best", state.birds.own_best},
            {"own_value", Finite(state.birds.own_value)}}},
          {"settled", state.settled},
          {"evaluations", state.evaluations},
          {"seconds", state.seconds}};
}

SearchState SearchStateOf(const Json& json) {
  SearchState state;
  const std::string phase = json.at("phase");
  state.phase = phase == "context" ? SearchState::Phase::kContext : phase == "swarm" ? SearchState::Phase::kSwarm : SearchState::Phase::kDone;
  state.rounds = json.at("rounds");
  state.equilibrium_kl = json.at("equilibrium_kl");
  state.equilibrium_bytes = json.at("equilibrium_bytes");
  state.context_kl = json.at("context_kl");
  state.kl = json.at("mean_kl");
  state.plan_summary = json.at("plan_summary");
  state.step_factor = json.at("step_factor");
  state.context_tried = json.at("context_tried");
  state.context_kept = json.at("context_kept");
  state.base_weights = json.at("base_weights").get<std::vector<double>>();
  const Json& birds = json.at("birds");
  state.birds.generation = birds.at("generation");
  state.birds.positions = birds.at("positions").get<std::vector<std::vector<double>>>();
  state.birds.velocities = birds.at("velocities").get<std::vector<std::vector<double>>>();
  state.birds.own_best = birds.at("own_best").get<std::vector<std::vector<double>>>();
  for (const Json& value : birds.at("own_value")) {
    state.birds.own_value.push_back(value.is_null() ? std::numeric_limits<double>::infinity() : value.get<double>());
  }
  state.settled = json.at("settled").get<std::vector<double>>();
  state.evaluations = json.at("evaluations");
  state.seconds = json.at("seconds");
  return state;
}

}  // namespace nashswarm::pipeline
