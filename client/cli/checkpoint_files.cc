#include "client/cli/checkpoint_files.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <filesystem>
#include <system_error>

#include "client/cli/errors.h"
#include "client/cli/files.h"
#include "client/cli/hub/hub_settings.h"
#include "client/cli/no_source.h"
#include "nlohmann/json.hpp"

namespace nashswarm::cli {
namespace {

namespace fs = std::filesystem;

constexpr std::array<const char*, 5> kWantedEndings = {".safetensors", ".json", ".model", ".txt", ".jinja"};
constexpr std::array<const char*, 6> kPickleEndings = {".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle"};
// Named for what a message may list; longer lists help nobody.
constexpr size_t kMaxNamesShown = 5;
// The one folder of a checkpoint whose files are sent: chat templates by other names than "default".
constexpr char kTemplates[] = "additional_chat_templates";
// Of CompressionSpec.model_name.
constexpr size_t kMaxNameBytes = 200;

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

// What proto3 lets a string hold, and the server a name. The writer of JSON leaves out what is no UTF-8.
bool IsName(const std::string& text) {
  const auto is_control = [](unsigned char c) { return c < 0x20 || c == 0x7f; };
  if (std::any_of(text.begin(), text.end(), is_control)) return false;
  return nlohmann::json::parse(nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::ignore)) == text;
}

// Its beginning that fits into `bytes`, without a part of a character at the end.
std::string Beginning(const std::string& text, size_t bytes) {
  if (text.size() <= bytes) return text;
  while (bytes > 0 && (static_cast<unsigned char>(text[bytes]) & 0xc0) == 0x80) --bytes;
  return text.substr(0, bytes);
}

// ORG/NAME of models--ORG--NAME/snapshots/COMMIT, else the last part of the path.
std::string NameOf(const fs::path& path) {
  const std::string cached = path.parent_path().parent_path().filename().string();
  constexpr char kPrefix[] = "models--";
  if (path.parent_path().filename() != "snapshots" || !StartsWith(cached, kPrefix)) return path.filename().string();
  std::string name = cached.substr(sizeof(kPrefix) - 1);
  const size_t split = name.find("--");
  return split == std::string::npos ? name : name.replace(split, 2, "/");
}

bool IsBelow(const fs::path& path, const fs::path& directory) {
  return std::mismatch(directory.begin(), directory.end(), path.begin(), path.end()).first == directory.end();
}

// A directory from elsewhere may hold a link to any file of whoever compresses it, and what is sent ends up in artifacts that
// are passed on. A link may lead within the directory, and to the blobs of a Hugging Face cache, where
// models--x/snapshots/<revision>/<name> is a link to models--x/blobs/<digest>.
absl::Status CheckLink(const std::string& directory, const fs::directory_entry& entry) {
  std::error_code error;
  if (!entry.is_symlink(error)) return absl::OkStatus();
  const fs::path own = fs::canonical(directory, error), target = fs::canonical(entry.path(), error);
  if (!error && (IsBelow(target, own) || target.parent_path() == own.parent_path().parent_path() / "blobs")) {
    return absl::OkStatus();
  }
  return MakeError(absl::StatusCode::kDataLoss, "LINK_OUTSIDE",
                   entry.path().string() + " is a symbolic link that leads out of " + directory,
                   "if the file belongs to the model, put a copy in the link's place; otherwise remove the link");
}

// Appends the files of `folder` to be sent under names that begin with `prefix`, of a directory that is sent.
absl::Status Scan(const std::string& directory, const fs::path& folder, const std::string& prefix,
                  std::vector<LocalFile>* files, std::vector<std::string>* skipped, bool* has_pickle) {
  std::error_code error;
  fs::directory_iterator entries(folder, error);
  if (error) return ErrnoError(error.value(), folder.string());
  for (const fs::directory_entry& entry : entries) {
    const std::string name = prefix + entry.path().filename().string();
    std::error_code unreadable;
    if (prefix.empty() && name == kTemplates && entry.is_directory(unreadable)) {
      NS_RETURN_IF_ERROR(Scan(directory, entry.path(), name + "/", files, skipped, has_pickle));
    }
    if (name.empty() || name.front() == '.' || !entry.is_regular_file(unreadable)) continue;
    const FileKind kind = ClassifyFile(name);
    if (kind != FileKind::kWanted) {
      *has_pickle |= kind == FileKind::kPickle;
      skipped->push_back(name);
      continue;
    }
    // Weights are often kept on another disk, and nothing but weights is accepted as such.
    if (!IsSafetensors(name)) NS_RETURN_IF_ERROR(CheckLink(directory, entry));
    NS_ASSIGN_OR_RETURN(const int64_t size, FileSize(entry.path().string()));
    files->push_back({name, entry.path().string(), size});
  }
  return absl::OkStatus();
}

}  // namespace

bool IsPlaceOfCheckpoint(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos || path.substr(0, slash) == kTemplates;
}

std::string NameOfCheckpoint(const std::string& directory) {
  std::error_code error;
  const fs::path whole = fs::weakly_canonical(fs::absolute(directory, error), error);
  const std::string name = NameOf(whole.has_filename() ? whole : whole.parent_path());
  return IsName(name) ? Beginning(name, kMaxNameBytes) : "";
}

bool IsSafetensors(const std::string& name) { return EndsWith(Lower(name), ".safetensors"); }

std::vector<std::string> WithoutSecondCopy(std::vector<std::string> names) {
  const auto begins = [](const std::string& name, const char* with) {
    return StartsWith(name, with) && EndsWith(name, ".safetensors");
  };
  const bool has_model =
      std::any_of(names.begin(), names.end(), [&](const std::string& name) { return begins(name, "model"); });
  if (has_model) std::erase_if(names, [&](const std::string& name) { return begins(name, "consolidated"); });
  return names;
}

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
    const std::string meant = HubNameMeantBy(directory);
    return MakeError(absl::StatusCode::kNotFound, "FILE_NOT_FOUND", directory + " does not exist",
                     meant.empty() ? "give the directory of a Hugging Face checkpoint"
                                   : "give the directory of a Hugging Face checkpoint; a model of the hub is written " + meant);
  }
  if (!IsDirectory(directory)) {
    NS_RETURN_IF_ERROR(RefuseGgufFile(directory));
    return UsageError(directory + " is not a directory",
                      "give the directory that holds it, with config.json and the tokenizer beside the weights");
  }
  std::vector<std::string> skipped;
  bool has_pickle = false;
  std::vector<LocalFile> files;
  NS_RETURN_IF_ERROR(Scan(directory, directory, "", &files, &skipped, &has_pickle));
  std::vector<std::string> names;
  for (const LocalFile& file : files) names.push_back(file.name);
  names = WithoutSecondCopy(std::move(names));
  std::erase_if(files, [&](const LocalFile& f) { return std::find(names.begin(), names.end(), f.name) == names.end(); });
  std::sort(files.begin(), files.end(), [](const LocalFile& a, const LocalFile& b) { return a.name < b.name; });
  std::sort(skipped.begin(), skipped.end());
  const auto is_weights = [](const LocalFile& f) { return IsSafetensors(f.name) && !IsAdapterFile(f.name); };
  if (std::none_of(files.begin(), files.end(), is_weights)) {
    if (std::any_of(files.begin(), files.end(), [](const LocalFile& f) { return IsAdapterFile(f.name); })) return AdapterError(directory);
    NS_RETURN_IF_ERROR(RefuseGgufAmong(directory, skipped));
    NS_RETURN_IF_ERROR(RefuseNsqAmong(directory, skipped));
    return NoWeights(directory, skipped, has_pickle);
  }
  if (std::none_of(files.begin(), files.end(), [](const LocalFile& f) { return f.name == "config.json"; })) {
    return MakeError(absl::StatusCode::kNotFound, "NO_CONFIG", "there is no config.json in " + directory,
                     "copy config.json and the tokenizer files of the model beside its weights");
  }
  return files;
}

}  // namespace nashswarm::cli
