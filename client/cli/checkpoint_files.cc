#include "client/cli/checkpoint_files.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <filesystem>
#include <system_error>

#include "client/cli/errors.h"
#include "client/cli/files.h"

namespace nashswarm::cli {
namespace {

namespace fs = std::filesystem;

constexpr std::array<const char*, 5> kWantedEndings = {".safetensors", ".json", ".model", ".txt", ".jinja"};
constexpr std::array<const char*, 6> kPickleEndings = {".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle"};
// Named for what a message may list; longer lists help nobody.
constexpr size_t kMaxNamesShown = 5;

bool EndsWith(const std::string& text, const std::string& ending) {
  return text.size() >= ending.size() && text.compare(text.size() - ending.size(), ending.size(), ending) == 0;
}

bool StartsWith(const std::string& text, const std::string& beginning) { return text.rfind(beginning, 0) == 0; }

std::string Lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::tolower(c); });
  return text;
}

std::string NameSome(const std::vector<std::string>& names) {
  std::string list;
  for (size_t i = 0; i < names.size() && i < kMaxNamesShown; ++i) list += (i == 0 ? "" : ", ") + names[i];
  if (names.size() > kMaxNamesShown) list += " and " + std::to_string(names.size() - kMaxNamesShown) + " more";
  return list;
}

absl::Status NoWeights(const std::string& directory, const std::vector<std::string>& skipped, bool has_pickle) {
  std::string message = "there are no *.safetensors weights in " + directory;
  if (!skipped.empty()) message += " (skipped: " + NameSome(skipped) + ")";
  const std::string hint =
      has_pickle ? "pickle files are not read, since loading one runs its code; convert it where you trust it: "
                   "python3 -c \"from transformers import AutoModelForCausalLM as M; M.from_pretrained('" +
                       directory + "').save_pretrained('safe')\""
                 : "give the directory of a Hugging Face checkpoint: config.json, the tokenizer and *.safetensors";
  return MakeError(absl::StatusCode::kNotFound, "NO_WEIGHTS", message, hint);
}

// Mistral's repositories hold every weight twice: sharded, and as consolidated.safetensors.
void DropSecondCopy(std::vector<LocalFile>* files) {
  const bool has_model = std::any_of(files->begin(), files->end(), [](const LocalFile& f) {
    return StartsWith(f.name, "model") && EndsWith(f.name, ".safetensors");
  });
  if (!has_model) return;
  files->erase(std::remove_if(files->begin(), files->end(),
                              [](const LocalFile& f) {
                                return StartsWith(f.name, "consolidated") && EndsWith(f.name, ".safetensors");
                              }),
               files->end());
}

absl::StatusOr<std::vector<LocalFile>> Scan(const std::string& directory, std::vector<std::string>* skipped,
                                            bool* has_pickle) {
  std::error_code error;
  std::vector<LocalFile> files;
  fs::directory_iterator entries(directory, error);
  if (error) return ErrnoError(error.value(), directory);
  for (const fs::directory_entry& entry : entries) {
    const std::string name = entry.path().filename().string();
    std::error_code unreadable;
    if (name.empty() || name.front() == '.' || !entry.is_regular_file(unreadable)) continue;
    const FileKind kind = ClassifyFile(name);
    if (kind != FileKind::kWanted) {
      *has_pickle |= kind == FileKind::kPickle;
      skipped->push_back(name);
      continue;
    }
    NS_ASSIGN_OR_RETURN(const int64_t size, FileSize(entry.path().string()));
    files.push_back({name, entry.path().string(), size});
  }
  return files;
}

}  // namespace

FileKind ClassifyFile(const std::string& name) {
  const std::string lower = Lower(name);
  // The index of a pickle checkpoint is of no use without it.
  if (EndsWith(lower, ".bin.index.json")) return FileKind::kIgnored;
  for (const char* ending : kPickleEndings) {
    if (EndsWith(lower, ending)) return FileKind::kPickle;
  }
  for (const char* ending : kWantedEndings) {
    if (EndsWith(lower, ending)) return FileKind::kWanted;
  }
  const bool document = lower == "readme.md" || StartsWith(lower, "license") || StartsWith(lower, "notice");
  return document || StartsWith(lower, "vocab.") ? FileKind::kWanted : FileKind::kIgnored;
}

absl::StatusOr<std::vector<LocalFile>> SelectFiles(const std::string& directory) {
  if (!FileExists(directory)) {
    return MakeError(absl::StatusCode::kNotFound, "FILE_NOT_FOUND", directory + " does not exist",
                     "give the directory of a Hugging Face checkpoint");
  }
  if (!IsDirectory(directory)) {
    return UsageError(directory + " is not a directory",
                      "give the directory that holds it, with config.json and the tokenizer beside the weights");
  }
  std::vector<std::string> skipped;
  bool has_pickle = false;
  NS_ASSIGN_OR_RETURN(std::vector<LocalFile> files, Scan(directory, &skipped, &has_pickle));
  DropSecondCopy(&files);
  std::sort(files.begin(), files.end(), [](const LocalFile& a, const LocalFile& b) { return a.name < b.name; });
  std::sort(skipped.begin(), skipped.end());
  const auto is_weights = [](const LocalFile& f) { return EndsWith(Lower(f.name), ".safetensors"); };
  if (std::none_of(files.begin(), files.end(), is_weights)) return NoWeights(directory, skipped, has_pickle);
  if (std::none_of(files.begin(), files.end(), [](const LocalFile& f) { return f.name == "config.json"; })) {
    return MakeError(absl::StatusCode::kNotFound, "NO_CONFIG", "there is no config.json in " + directory,
                     "copy config.json and the tokenizer files of the model beside its weights");
  }
  return files;
}

}  // namespace nashswarm::cli
