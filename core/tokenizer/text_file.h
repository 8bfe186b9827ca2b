// Texts that a user names, read for every command and stage alike: what is no UTF-8 text is refused by what it is.
#ifndef NASHSWARM_CORE_TOKENIZER_TEXT_FILE_H_
#define NASHSWARM_CORE_TOKENIZER_TEXT_FILE_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace nashswarm::tokenizer {

inline constexpr uint64_t kMaxTextBytes = uint64_t{4} << 30;

// The text without a byte order mark. INVALID_ARGUMENT with TEXT_EMPTY, TEXT_NOT_UTF8 (UTF-16, UTF-32, another encoding) or
// NOT_A_TEXT (an image, an archive, weights, a Git LFS pointer); each names `path` and says how to get a text. A few bytes that
// are no UTF-8 are let through: texts cut at a fixed size end inside a character.
absl::StatusOr<std::string> ReadTextFile(const std::string& path, uint64_t max_bytes = kMaxTextBytes);

// The same of bytes that were read. `name` names them in messages.
absl::StatusOr<std::string> CheckText(std::string bytes, std::string_view name);

}  // namespace nashswarm::tokenizer

#endif  // NASHSWARM_CORE_TOKENIZER_TEXT_FILE_H_
