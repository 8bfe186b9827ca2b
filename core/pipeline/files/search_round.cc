#include "core/pipeline/files/search_round.h"

#include <algorithm>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "core/base/file.h"
#include "core/base/json_file.h"
#include "core/base/status.h"
#include "core/pipeline/files/plan_fields.h"

namespace nashswarm::game {

// A bird that has tried no position has an infinite value.
template <typename V, MaybeConst<SwarmState> T>
void Fields(V& v, T& birds) {
  v("generation", birds.generation);
  v("positions", birds.positions);
  v("velocities", birds.velocities);
  v("own_best", birds.own_best);
  v.OrInfinite("own_value", birds.own_value);
}

}  // namespace nashswarm::game

namespace nashswarm::pipeline {

constexpr std::string_view kPhases[] = {"context", "swarm", "done"};

std::string TextOf(const SearchState::Phase& phase) { return std::string(kPhases[static_cast<int>(phase)]); }
bool FromText(std::string_view text, SearchState::Phase* phase) {
  const auto found = std::find(std::begin(kPhases), std::end(kPhases), text);
  if (found != std::end(kPhases)) *phase = static_cast<SearchState::Phase>(found - std::begin(kPhases));
  return found != std::end(kPhases);
}

template <typename V, MaybeConst<SearchState> T>
void Fields(V& v, T& state) {
  v("phase", state.phase);
  v("rounds", state.rounds);
  v("equilibrium_kl", state.equilibrium_kl);
  v("equilibrium_bytes", state.equilibrium_bytes);
  v("context_kl", state.context_kl);
  v("mean_kl", state.kl);
  v("plan_summary", state.plan_summary);
  v("step_factor", state.step_factor);
  v("context_tried", state.context_tried);
  v("context_kept", state.context_kept);
  v("base_weights", state.base_weights);
  v("birds", state.birds);
  v("settled", state.settled);
  v("evaluations", state.evaluations);
  v("seconds", state.seconds);
}

template <typename V, MaybeConst<SearchRound> T>
void Fields(V& v, T& round) {
  v("plan", round.plan);
  v("state", round.state);
  v("trace", round.trace);
}

std::string SearchRound::File(int round) { return absl::StrCat("search-", round, ".json"); }

absl::StatusOr<SearchRound> SearchRound::Read(const std::string& directory, int round, const Prepared& prepared) {
  const std::string path = JoinPath(directory, File(round));
  NS_ASSIGN_OR_RETURN(SearchRound read, ReadJsonFile<SearchRound>(path, kVersion));
  const size_t tensors = prepared.tensors.size(), weights = read.state.base_weights.size();
  if (read.plan.tensors.size() != tensors) return FaultIn(path, {"plan.tensors", "is not a list of the model's tensors"});
  if (weights != 0 && weights != tensors) return FaultIn(path, {"state.base_weights", "are not of the model's tensors"});
  return read;
}

absl::StatusOr<std::optional<SearchRound>> SearchRound::ReadLast(const std::string& directory, const Prepared& prepared) {
  int round = -1;
  while (PathExists(JoinPath(directory, File(round + 1)))) ++round;
  if (round < 0) return std::optional<SearchRound>();
  NS_ASSIGN_OR_RETURN(SearchRound read, Read(directory, round, prepared));
  return std::optional<SearchRound>(std::move(read));
}

absl::Status SearchRound::Write(const std::string& directory, int round) const {
  return WriteJsonFile(JoinPath(directory, File(round)), kVersion, *this);
}

}  // namespace nashswarm::pipeline
