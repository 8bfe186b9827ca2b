// SOLVE's result: how many rounds SEARCH may take.
#include "absl/strings/str_cat.h"
#include "server/stages/readers.h"

namespace nashswarm::server {

absl::Status ReadSolveResult(const StageResult& result, TaskFinish* finish) {
  const bool says = result.json.is_object() && result.json.contains("search_rounds");
  const int64_t rounds = says ? JsonInt(result.json, "search_rounds", -1) : 0;
  if (rounds < 0 || rounds > kMaxSearchRounds) {
    return ProtocolError(v1::Job::SOLVE, absl::StrCat("'search_rounds' is ", result.json["search_rounds"].dump(),
                                                      ", not 0 to ", kMaxSearchRounds));
  }
  finish->search_rounds = static_cast<int>(rounds);
  return absl::OkStatus();
}

}  // namespace nashswarm::server
