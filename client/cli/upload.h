// push: a directory, or a data file, becomes a model on the server, whatever happens on the way.
#ifndef NASHSWARM_CLIENT_CLI_UPLOAD_H_
#define NASHSWARM_CLIENT_CLI_UPLOAD_H_

#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "client/cli/checkpoint_files.h"
#include "client/cli/rpc.h"
#include "nashswarm/v1/nashswarm.pb.h"

namespace nashswarm::cli {

struct PushRequest {
  std::string directory;
  std::string data_file;  // instead of a directory: one file, which becomes a model of kind DATA
  std::string model_id;  // "": the server chooses
  std::map<std::string, std::string> labels;
  // Files from this size on that the server cannot have, since it has none of their size and with the same bytes here and
  // there, are hashed while they are sent and not before.
  int64_t hash_later_from = 64 << 20;
};

struct PushResult {
  v1::Model model;
  int64_t bytes_sent = 0;
  int64_t bytes_known = 0;  // the server had them already
};

// Hashes the files that the server may have, sends what the server lacks, resumes after lost connections, publishes the model. Running it again
// after a crash goes on from the last durable byte; running it again after success sends nothing and returns the
// same model.
absl::StatusOr<PushResult> Push(const Session& session, const PushRequest& request);

// The same directory of the same user on the same machine with the same content asks under the same id, so a second
// run finds the first one's upload. Others with the same content get their own upload and do not fence each other out;
// the server still stores the bytes once.
std::string RequestIdOf(const PushRequest& request, const std::vector<v1::FileEntry>& files, const std::string& owner);

}  // namespace nashswarm::cli

#endif  // NASHSWARM_CLIENT_CLI_UPLOAD_H_
