// Lists in messages, which a file may make as long as it likes.
#ifndef NASHSWARM_CORE_BASE_SOME_OF_H_
#define NASHSWARM_CORE_BASE_SOME_OF_H_

#include <algorithm>
#include <cstddef>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/types/span.h"

namespace nashswarm {

// "a, b and 7 more": the first `most` of the names.
inline std::string SomeOf(absl::Span<const std::string> names, size_t most) {
  const size_t shown = std::min(names.size(), most);
  const std::string list = absl::StrJoin(names.first(shown), ", ");
  return shown == names.size() ? list : absl::StrCat(list, " and ", names.size() - shown, " more");
}

}  // namespace nashswarm

#endif  // NASHSWARM_CORE_BASE_SOME_OF_H_
