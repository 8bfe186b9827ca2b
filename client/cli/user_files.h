// Errors by the user's own names. A server knows a checkpoint's files as they are within it and a job's texts by their purpose,
// and whoever reads the error has them somewhere else.
#ifndef NASHSWARM_CLIENT_CLI_USER_FILES_H_
#define NASHSWARM_CLIENT_CLI_USER_FILES_H_

#include <string>

#include "absl/status/status.h"
#include "nashswarm/v1/nashswarm.pb.h"

namespace nashswarm::cli {

// What was pushed, as the user wrote it; "" for what was not.
struct UserFiles {
  std::string directory;    // of the checkpoint
  std::string calibration;  // a text or an importance matrix
  std::string evaluation;   // a text
};

// `spec` as BuildSpec made it, before PushDataFiles.
UserFiles FilesOf(const std::string& directory, const v1::CompressionSpec& spec);

// "model.safetensors: ends early" becomes "DIR/model.safetensors: ends early", "calibration: is empty" "FILE: is empty". An error
// that names none of the files but is about the model is put behind its directory. Others stay as they are.
absl::Status InUserTerms(const absl::Status& error, const UserFiles& files);

}  // namespace nashswarm::cli

#endif  // NASHSWARM_CLIENT_CLI_USER_FILES_H_
