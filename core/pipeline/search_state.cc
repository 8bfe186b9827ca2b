#include "core/pipeline/search_state.h"

#include "core/base/file.h"
#include "core/base/status.h"

namespace nashswarm::pipeline {

int SearchRounds(const Spec&, const Prepared&) { return 0; }

std::string SearchFile(int round) { return absl::StrCat("search-", round, ".json"); }

absl::StatusOr<std::optional<Json>> ReadLastSearch(const std::string& in_dir) {
  int round = -1;
  while (PathExists(JoinPath(in_dir, SearchFile(round + 1)))) ++round;
  if (round < 0) return std::optional<Json>();
  NS_ASSIGN_OR_RETURN(const std::string text, ReadFile(JoinPath(in_dir, SearchFile(round))));
  NS_ASSIGN_OR_RETURN(Json json, ParseJson(text, SearchFile(round)));
  return std::optional<Json>(std::move(json));
}

}  // namespace nashswarm::pipeline
