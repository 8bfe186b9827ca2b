// How near an artifact's predictions are to the checkpoint's, for people and for programs.
#ifndef NASHSWARM_CLIENT_CLI_QUALITY_H_
#define NASHSWARM_CLIENT_CLI_QUALITY_H_

#include "client/cli/output.h"
#include "nashswarm/v1/nashswarm.pb.h"
#include "nlohmann/json.hpp"

namespace nashswarm::cli {

// The fields of the message, and "perplexity_change": relative to the checkpoint's, 0.02 is 2 % worse.
nlohmann::json ToJson(const v1::Job::Quality& quality);
// Rows of a table of two columns.
void AddQualityRows(const v1::Job::Quality& quality, Table* table);

}  // namespace nashswarm::cli

#endif  // NASHSWARM_CLIENT_CLI_QUALITY_H_
