#include "client/cli/hub/hub_settings.h"

#include <algorithm>
#include <cctype>
#include <sstream>
#include <string_view>
#include <vector>

#include "client/cli/access.h"
#include "client/cli/errors.h"
#include "client/cli/files.h"

namespace nashswarm::cli {
namespace {

constexpr char kScheme[] = "hf://";
constexpr char kDefaultEndpoint[] = "https://huggingface.co";
constexpr size_t kMaxToken = 10'000;
constexpr char kNameHint[] = "write hf://ORG/NAME, or hf://ORG/NAME@REVISION for a branch, tag or commit";

std::string Trim(std::string text) {
  const auto is_space = [](unsigned char c) { return std::isspace(c) != 0; };
  text.erase(text.begin(), std::find_if_not(text.begin(), text.end(), is_space));
  text.erase(std::find_if_not(text.rbegin(), text.rend(), is_space).base(), text.end());
  return text;
}

bool IsOn(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::toupper(c); });
  return text == "1" || text == "ON" || text == "YES" || text == "TRUE";
}

// "HOST:PORT" of a URL.
std::string AuthorityOf(const std::string& url) {
  const size_t begin = url.find("://") + 3;
  return url.substr(begin, url.find('/', begin) - begin);
}

// What follows the hub's name in an address; "" for what is none.
std::string WithoutHost(std::string text) {
  for (const char* scheme : {"https://", "http://"}) {
    if (text.rfind(scheme, 0) == 0) text.erase(0, std::string_view(scheme).size());
  }
  if (text.rfind("www.", 0) == 0) text.erase(0, 4);
  for (const char* host : {"huggingface.co/", "hf.co/"}) {
    if (text.rfind(host, 0) == 0) return text.substr(std::string_view(host).size());
  }
  return "";
}

std::vector<std::string> Parts(const std::string& path) {
  std::vector<std::string> parts;
  std::istringstream in(path);
  for (std::string part; std::getline(in, part, '/');) {
    if (!part.empty()) parts.push_back(part);
  }
  return parts;
}

// The rules of the hub: such a part is a part of a URL, and of a directory's name.
bool IsPart(std::string_view part) {
  if (part.empty() || part.size() > 96 || part.front() == '.' || part.front() == '-') return false;
  if (part.find("..") != std::string_view::npos || part.find("--") != std::string_view::npos) return false;
  return std::all_of(part.begin(), part.end(), [](unsigned char c) {
    return c < 0x80 && (std::isalnum(c) || c == '-' || c == '_' || c == '.');
  });
}

// Branches may have slashes.
bool IsRevision(std::string_view revision) {
  if (revision.empty() || revision.size() > 200 || revision.front() == '/' || revision.front() == '.') return false;
  if (revision.find("..") != std::string_view::npos || revision.find("//") != std::string_view::npos) return false;
  return std::all_of(revision.begin(), revision.end(), [](unsigned char c) {
    return c < 0x80 && (std::isalnum(c) || c == '-' || c == '_' || c == '.' || c == '/');
  });
}

}  // namespace

absl::StatusOr<HubSettings> ReadHubSettings(const std::function<const char*(const char*)>& getenv) {
  const auto variable = [&](const char* name) {
    const char* value = getenv(name);
    return Trim(value == nullptr ? "" : value);
  };
  HubSettings settings;
  settings.endpoint = variable("HF_ENDPOINT");
  if (settings.endpoint.empty()) settings.endpoint = kDefaultEndpoint;
  while (settings.endpoint.back() == '/') settings.endpoint.pop_back();
  const bool encrypted = settings.endpoint.rfind("https://", 0) == 0;
  if (!encrypted && settings.endpoint.rfind("http://", 0) != 0) {
    return UsageError("HF_ENDPOINT is '" + settings.endpoint + "'", "it must begin with https:// (or http://)");
  }

  // What stands before an '@' is not the host, whatever it looks like.
  if (settings.endpoint.find_first_of("@\\?# ") != std::string::npos) {
    return UsageError("HF_ENDPOINT is more than an address: '" + settings.endpoint + "'", "write https://HOST or https://HOST:PORT");
  }

  std::string home = variable("HF_HOME");
  if (home.empty() && !variable("XDG_CACHE_HOME").empty()) home = variable("XDG_CACHE_HOME") + "/huggingface";
  if (home.empty() && !variable("HOME").empty()) home = variable("HOME") + "/.cache/huggingface";
  settings.cache = variable("HF_HUB_CACHE");
  if (settings.cache.empty() && !home.empty()) settings.cache = home + "/hub";
  if (settings.cache.empty()) {
    return UsageError("there is no directory for models from the hub", "set HF_HOME to a directory with space");
  }
  settings.offline = IsOn(variable("HF_HUB_OFFLINE"));

  settings.token = variable("HF_TOKEN");
  std::string token_file = variable("HF_TOKEN_PATH");
  if (token_file.empty() && !home.empty()) token_file = home + "/token";
  if (settings.token.empty() && !token_file.empty() && FileExists(token_file)) {
    NS_ASSIGN_OR_RETURN(const std::string content, ReadSmallFile(token_file, kMaxToken));
    settings.token = Trim(content);
  }
  const bool printable =
      std::all_of(settings.token.begin(), settings.token.end(), [](char c) { return c > ' ' && c < 0x7f; });
  if (!printable) return UsageError("the hub's token has characters that no token has", "check HF_TOKEN");
  if (!settings.token.empty() && !encrypted && !IsLocal(AuthorityOf(settings.endpoint))) {
    return UsageError("HF_ENDPOINT is not encrypted, and the hub's token would be sent to it",
                      "use https://, or run without a token: HF_TOKEN= HF_TOKEN_PATH=/dev/null");
  }
  return settings;
}

bool IsHubAddress(const std::string& text) { return !WithoutHost(text).empty(); }

std::string HubNameMeantBy(const std::string& text) {
  const std::string path = IsHubAddress(text) ? WithoutHost(text) : text;
  const std::vector<std::string> parts = Parts(path.substr(0, path.find_first_of("?#")));
  const bool bare = !IsHubAddress(text);
  if (bare && !text.empty() && (text.front() == '/' || text.back() == '/')) return "";  // a path
  if (!parts.empty() && (parts[0] == "datasets" || parts[0] == "spaces")) return "";
  if (parts.size() < 2 || (bare && parts.size() != 2) || !IsPart(parts[0]) || !IsPart(parts[1])) return "";
  std::string name = kScheme + parts[0] + "/" + parts[1];
  // ORG/NAME/tree/REVISION; also blob/ and resolve/, with a file behind.
  const bool has_revision = parts.size() > 3 && (parts[2] == "tree" || parts[2] == "blob" || parts[2] == "resolve");
  if (has_revision && parts[3] != "main" && IsRevision(parts[3])) name += "@" + parts[3];
  return name;
}

bool IsHubName(const std::string& text) { return text.rfind(kScheme, 0) == 0; }

absl::StatusOr<HubName> ParseHubName(const std::string& text) {
  HubName name;
  std::string rest = text.substr(std::string_view(kScheme).size());
  if (const size_t at = rest.find('@'); at != std::string::npos) {
    name.revision = rest.substr(at + 1);
    rest.resize(at);
  }
  const size_t slash = rest.find('/');
  const bool valid = slash == std::string::npos ? IsPart(rest) : IsPart(rest.substr(0, slash)) && IsPart(rest.substr(slash + 1));
  if (!valid) return UsageError("'" + text + "' names no model of the hub", kNameHint);
  if (!IsRevision(name.revision)) return UsageError("'" + name.revision + "' is no revision", kNameHint);
  name.repository = rest;
  return name;
}

}  // namespace nashswarm::cli
