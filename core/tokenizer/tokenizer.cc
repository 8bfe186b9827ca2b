#include "core/tokenizer/tokenizer.h"

#include "core/base/status.h"
#include "core/tokenizer/description.h"

namespace nashswarm::tokenizer {

absl::StatusOr<std::unique_ptr<Tokenizer>> OpenTokenizer(const std::string& path, const Json& config) {
  NS_ASSIGN_OR_RETURN(const Directory directory, OpenDirectory(path, config));
  NS_ASSIGN_OR_RETURN(const Description description, DescribeTokenizer(directory));
  return MakeTokenizer(description);
}

}  // namespace nashswarm::tokenizer
