// The pre-tokenizers that llama.cpp knows by name (tokenizer.ggml.pre of a GGUF file): how each cuts a text, and how files of
// Hugging Face write the same. Names and patterns: llama.cpp's vocabulary loader (src/llama-vocab.cpp, August 2026).
#ifndef NASHSWARM_CORE_TOKENIZER_LLAMA_PRE_TOKENIZERS_H_
#define NASHSWARM_CORE_TOKENIZER_LLAMA_PRE_TOKENIZERS_H_

#include <string>
#include <string_view>
#include <vector>

#include "core/base/json.h"

namespace nashswarm::tokenizer {

struct LlamaPreTokenizer {
  // Names that mean the same to llama.cpp; the first is written unless the architecture has one of its own.
  std::vector<std::string_view> names;
  std::vector<std::string_view> patterns;  // one cut after another, as llama.cpp does them
  // The steps of tokenizer.json's pre_tokenizer that mean it, each way that is in use; empty: as `patterns`.
  std::vector<std::vector<std::string_view>> written;
  bool ignore_merges = false;  // a piece that is a token is that token, whatever the merges say
  bool add_bos = false;        // where tokenizer.ggml.add_bos_token is absent
  // Not empty: llama.cpp is known to cut some texts otherwise than what is `written`, and which.
  std::string_view differs;
};

// nullptr: llama.cpp refuses a file with this name.
const LlamaPreTokenizer* LlamaPreTokenizerByName(std::string_view name);

// Every name, in the order of the table.
std::vector<std::string_view> LlamaPreTokenizerNames();

// What the steps of "pre_tokenizer" cut by, in an order and a form that can be compared: regular expressions, and Digits,
// Punctuation and ByteLevel as the expressions they stand for. `prefix_space`: a text gets a space before it.
struct PreTokenizerSteps {
  std::vector<std::string> steps;
  bool prefix_space = false;
};
PreTokenizerSteps StepsOf(const Json& pre_tokenizer);

// The row that means these steps, as near as there is in ignore_merges. nullptr: llama.cpp has no name for them.
const LlamaPreTokenizer* FindLlamaPreTokenizer(const std::vector<std::string>& steps, bool ignore_merges);
// The name to write of a row for a model of this model_type (config.json).
std::string_view NameFor(const LlamaPreTokenizer& row, std::string_view model_type);

}  // namespace nashswarm::tokenizer

#endif  // NASHSWARM_CORE_TOKENIZER_LLAMA_PRE_TOKENIZERS_H_
