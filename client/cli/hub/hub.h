// Models of the Hugging Face hub as directories of this machine.
#ifndef NASHSWARM_CLIENT_CLI_HUB_HUB_H_
#define NASHSWARM_CLIENT_CLI_HUB_HUB_H_

#include <string>

#include "absl/status/statusor.h"
#include "client/cli/hub/hub_settings.h"
#include "client/cli/interrupt.h"
#include "client/cli/progress.h"

namespace nashswarm::cli {

// Downloads what SelectFiles would send of the model, as far as the cache lacks it, and returns the directory in the
// cache. Goes on after lost connections and interruptions; every file is checked against its digest. When the hub
// does not answer, what the cache has of that revision is used, if it is whole.
absl::StatusOr<std::string> FetchFromHub(const HubName& name, const HubSettings& settings, Interrupt& interrupt,
                                         Progress& progress);

}  // namespace nashswarm::cli

#endif  // NASHSWARM_CLIENT_CLI_HUB_HUB_H_
