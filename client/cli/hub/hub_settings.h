// Where models come from and go to, by the variables that every program for the Hugging Face hub reads
// (https://huggingface.co/docs/huggingface_hub/package_reference/environment_variables).
#ifndef NASHSWARM_CLIENT_CLI_HUB_HUB_SETTINGS_H_
#define NASHSWARM_CLIENT_CLI_HUB_HUB_SETTINGS_H_

#include <functional>
#include <string>

#include "absl/status/statusor.h"

namespace nashswarm::cli {

struct HubSettings {
  std::string endpoint;  // HF_ENDPOINT, without a slash at the end
  std::string cache;     // HF_HUB_CACHE, or hub/ in HF_HOME, or in the user's cache directory
  std::string token;     // HF_TOKEN, or the file that `hf auth login` wrote; may be empty
  bool offline = false;  // HF_HUB_OFFLINE
};

// USAGE when there is no directory for the cache, or a token would go over an unencrypted network.
absl::StatusOr<HubSettings> ReadHubSettings(const std::function<const char*(const char*)>& getenv);

// "hf://[ORG/]NAME[@REVISION]", as a user writes it.
struct HubName {
  std::string repository;           // "ORG/NAME" or "NAME"
  std::string revision = "main";  // a branch, a tag or a commit
};

// What somebody who wrote `text` may mean: "hf://ORG/NAME" for the address of a model's page, or of a file of it, and for a bare
// "ORG/NAME"; "" otherwise, a path that begins or ends with a slash among it.
std::string HubNameMeantBy(const std::string& text);
// Whether `text` is an address of the hub: no path of this machine looks like it.
bool IsHubAddress(const std::string& text);

bool IsHubName(const std::string& text);
absl::StatusOr<HubName> ParseHubName(const std::string& text);  // USAGE

}  // namespace nashswarm::cli

#endif  // NASHSWARM_CLIENT_CLI_HUB_HUB_SETTINGS_H_
