// tokenizer.json, or a GGUF file's metadata: opened, then a text that comes with it is encoded and decoded.
#include <cstdlib>
#include <string_view>

#include "core/base/json.h"
#include "core/checkpoint/gguf.h"
#include "core/tokenizer/gguf_vocabulary.h"
#include "core/tokenizer/huggingface.h"
#include "core/tokenizer/tokenizer.h"

namespace {

using nashswarm::Json;
using nashswarm::tokenizer::Tokenizer;

absl::StatusOr<std::unique_ptr<Tokenizer>> Open(std::string_view input) {
  if (input.substr(0, 4) == "GGUF") {
    const auto gguf = nashswarm::checkpoint::ParseGguf(
        absl::MakeConstSpan(reinterpret_cast<const uint8_t*>(input.data()), input.size()), "fuzz");
    if (!gguf.ok()) return gguf.status();
    return nashswarm::tokenizer::OpenTokenizer(*gguf);
  }
  const auto json = nashswarm::ParseJson(input, "fuzz");
  if (!json.ok()) return json.status();
  const auto description = nashswarm::tokenizer::DescribeTokenizerJson(*json, {});
  if (!description.ok()) return description.status();
  // What a GGUF would hold of it, at whatever number of rows.
  (void)nashswarm::tokenizer::MakeVocabulary(*description, {}, 300, {.allow_mismatch = true});
  return nashswarm::tokenizer::MakeTokenizer(*description);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const auto tokenizer = Open(input);
  if (!tokenizer.ok()) return 0;
  // The input is a text too, with bytes that are no UTF-8 where the input was cut.
  for (const std::string_view text : {std::string_view("Hello  <s>world</s>\n\t 123 don't \xe2\x96\x81 \xf0\x9f\x98\x80 \xff\x80"),
                                      input.substr(0, 256), input.substr(size / 2, 256)}) {
    const auto tokens = (*tokenizer)->Encode(text);
    for (const int32_t token : tokens) {
      if (token < 0 || static_cast<uint64_t>(token) >= (*tokenizer)->size()) std::abort();
    }
    (*tokenizer)->Decode(tokens);
  }
  return 0;
}
