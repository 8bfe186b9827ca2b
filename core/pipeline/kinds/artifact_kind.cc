#include "core/pipeline/kinds/artifact_kind.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "core/base/status.h"
#include "core/pipeline/kinds/gguf_stages.h"
#include "core/pipeline/kinds/nsq_stages.h"

namespace nashswarm::pipeline {

absl::Span<const ArtifactKind* const> AllKinds() {
  static const ArtifactKind* const kKinds[] = {&Gguf(), &Nsq()};
  return kKinds;
}

absl::StatusOr<const ArtifactKind*> FindKind(std::string_view name) {
  std::vector<std::string> known;
  for (const ArtifactKind* kind : AllKinds()) {
    if (kind->name() == name) return kind;
    known.emplace_back(kind->name());
  }
  return MakeError(absl::StatusCode::kInvalidArgument, "SPEC_INVALID", absl::StrCat("unknown artifact format '", ToAbsl(name), "'"),
                   absl::StrCat(absl::StrJoin(known, " and "), " are known"));
}

}  // namespace nashswarm::pipeline
