#include "core/model/model_card.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "core/base/file.h"
#include "core/base/status.h"
#include "core/base/utf8.h"

namespace nashswarm::model {
namespace {

constexpr uint64_t kMaxCardBytes = 4 << 20;
constexpr size_t kMaxEntries = 64, kMaxTextBytes = 500;

bool IsDigit(char c) { return absl::ascii_isdigit(static_cast<unsigned char>(c)); }

// "135M", "0.5B", "8x7B", "A3B"; not "4bit".
bool IsSize(absl::string_view part) {
  if (part.size() < 2 || absl::string_view("KMBT").find(absl::ascii_toupper(static_cast<unsigned char>(part.back()))) == absl::string_view::npos) {
    return false;
  }
  part.remove_suffix(1);
  if (part[0] == 'A' || part[0] == 'a' || part[0] == 'E') part.remove_prefix(1);
  return !part.empty() && IsDigit(part[0]) && std::all_of(part.begin(), part.end(), [](char c) { return IsDigit(c) || c == '.' || c == '_' || c == 'x'; });
}

// "v0.2", "2507", "3.1".
bool IsVersion(absl::string_view part) {
  if (!part.empty() && (part[0] == 'v' || part[0] == 'V')) part.remove_prefix(1);
  return !part.empty() && IsDigit(part[0]) && std::all_of(part.begin(), part.end(), [](char c) { return IsDigit(c) || c == '.'; });
}

// Names of directories that say nothing about the model.
bool IsPlaceholder(std::string_view name) {
  constexpr std::string_view kNames[] = {"", ".", "..", "/", "model", "models", "checkpoint", "hf", "out", "output", "final", "tmp"};
  return std::find(std::begin(kNames), std::end(kNames), absl::AsciiStrToLower(ToAbsl(name))) != std::end(kNames) ||
         absl::StartsWith(ToAbsl(name), "checkpoint-");
}

// README.md's lines between "---" and "---"; null when there are none, or they are no YAML.
YAML::Node FrontMatter(const std::string& directory) {
  const std::string path = JoinPath(directory, "README.md");
  const absl::StatusOr<std::string> text = PathExists(path) ? ReadFile(path, kMaxCardBytes) : absl::StatusOr<std::string>("");
  if (!text.ok() || !absl::StartsWith(*text, "---")) return {};
  const size_t begin = text->find('\n'), end = text->find("\n---", 3);
  if (begin == std::string::npos || end == std::string::npos || end <= begin) return {};
  try {
    return YAML::Load(text->substr(begin + 1, end - begin));
  } catch (const YAML::Exception&) {
    return {};  // a card is for people first
  }
}

// Bytes of another encoding, which neither JSON nor GGUF takes, are replaced.
std::string TextOf(const YAML::Node& card, const char* key) {
  if (!card.IsMap() || !card[key] || !card[key].IsScalar()) return {};
  const std::string text = card[key].Scalar();
  return text.size() > kMaxTextBytes ? "" : ValidUtf8(text);
}

// A text or a list of texts.
std::vector<std::string> TextsOf(const YAML::Node& card, const char* key) {
  std::vector<std::string> out;
  if (!card.IsMap() || !card[key]) return out;
  if (card[key].IsScalar()) return {TextOf(card, key)};
  if (!card[key].IsSequence()) return out;
  for (const YAML::Node& entry : card[key]) {
    if (entry.IsScalar() && entry.Scalar().size() <= kMaxTextBytes && out.size() < kMaxEntries) out.push_back(ValidUtf8(entry.Scalar()));
  }
  return out;
}

std::string NameOf(const YAML::Node& card, const std::string& name, const Json& config, std::string_view architecture, uint64_t parameters) {
  if (!IsPlaceholder(BaseName(name))) return name;
  if (std::string own = TextOf(card, "model_name"); !own.empty()) return own;
  if (std::string own = JsonString(config, "_name_or_path"); !IsPlaceholder(BaseName(own))) {
    // A path of somebody's machine is not a name of the hub.
    return std::count(own.begin(), own.end(), '/') == 1 && own[0] != '.' ? own : BaseName(own);
  }
  return absl::StrCat(ToAbsl(architecture), "-", SizeLabel(parameters));
}

}  // namespace

std::string SizeLabel(uint64_t parameters) {
  const auto label = [](double amount, char unit) {
    return amount < 9.95 ? absl::StrFormat("%.1f%c", amount, unit) : absl::StrFormat("%.0f%c", amount, unit);
  };
  const double count = static_cast<double>(parameters);
  if (count >= 999.5e9) return label(count / 1e12, 'T');
  if (count >= 999.5e6) return label(count / 1e9, 'B');
  if (count >= 999.5e3) return label(count / 1e6, 'M');
  return label(count / 1e3, 'K');
}

NameParts SplitName(std::string_view name) {
  NameParts out;
  const size_t slash = name.rfind('/');
  if (slash != std::string_view::npos) out.organization = std::string(name.substr(0, slash));
  out.name = std::string(name.substr(slash == std::string_view::npos ? 0 : slash + 1));
  if (absl::StrContains(out.name, ' ')) return out;  // a sentence
  std::vector<std::string> base, sizes, tunes, versions;
  for (const absl::string_view part : absl::StrSplit(out.name, '-', absl::SkipEmpty())) {
    const bool first = base.empty();
    if (!first && IsSize(part)) sizes.emplace_back(part);
    else if (!first && IsVersion(part)) (sizes.empty() && tunes.empty() ? base : versions).emplace_back(part);
    else (sizes.empty() && tunes.empty() && versions.empty() ? base : tunes).emplace_back(part);
  }
  if (sizes.empty() && tunes.empty() && versions.empty()) return out;  // too little to tell the parts apart
  out.basename = absl::StrJoin(base, "-");
  out.size_label = absl::StrJoin(sizes, "-");
  out.finetune = absl::StrJoin(tunes, "-");
  out.version = absl::StrJoin(versions, "-");
  return out;
}

ModelCard ReadModelCard(const std::string& directory, const std::string& name, const Json& config, std::string_view architecture,
                        uint64_t parameters) {
  const YAML::Node card = FrontMatter(directory);
  ModelCard out;
  out.name = SplitName(NameOf(card, name, config, architecture, parameters));
  if (out.name.size_label.empty()) out.name.size_label = SizeLabel(parameters);
  out.license = TextOf(card, "license");
  out.license_name = TextOf(card, "license_name");
  out.license_link = TextOf(card, "license_link");
  out.base_models = TextsOf(card, "base_model");
  out.tags = TextsOf(card, "tags");
  out.languages = TextsOf(card, "language");
  return out;
}

void AppendMetadata(const ModelCard& card, std::vector<checkpoint::GgufMetadata>* out) {
  using checkpoint::GgufValue;
  const auto add = [&](const std::string& key, const std::string& text) {
    if (!text.empty()) out->push_back({absl::StrCat("general.", key), GgufValue::String(text)});
  };
  add("name", card.name.name);
  add("organization", card.name.organization);
  add("basename", card.name.basename);
  add("finetune", card.name.finetune);
  add("version", card.name.version);
  add("size_label", card.name.size_label);
  add("license", card.license);
  add("license.name", card.license_name);
  add("license.link", card.license_link);
  if (!card.base_models.empty()) {
    out->push_back({"general.base_model.count", GgufValue::U32(static_cast<uint32_t>(card.base_models.size()))});
    for (size_t i = 0; i < card.base_models.size(); ++i) {
      const NameParts parts = SplitName(card.base_models[i]);
      const std::string prefix = absl::StrCat("base_model.", i, ".");
      add(prefix + "name", parts.name);
      add(prefix + "organization", parts.organization);
      if (!parts.organization.empty()) add(prefix + "repo_url", absl::StrCat("https://huggingface.co/", card.base_models[i]));
    }
  }
  if (!card.tags.empty()) out->push_back({"general.tags", GgufValue::Strings(card.tags)});
  if (!card.languages.empty()) out->push_back({"general.languages", GgufValue::Strings(card.languages)});
}

}  // namespace nashswarm::model
