// pull: the files of an artifact, whole and verified or not at all.
#ifndef NASHSWARM_CLIENT_CLI_DOWNLOAD_H_
#define NASHSWARM_CLIENT_CLI_DOWNLOAD_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/cli/rpc.h"
#include "nashswarm/v1/nashswarm.pb.h"

namespace nashswarm::cli {

// The artifact format that is a directory, and no GGUF file in one.
inline constexpr char kNsq[] = "nsq";

// "OUT" is a directory, or a file when it ends with ".gguf": then the artifact's one GGUF gets that name, and its other
// files stand beside it ("a.gguf", "a.manifest.json", "a.report.html").
bool IsSingleFile(const std::string& out);
// "a.gguf", "report.html" -> "a.report.html".
std::string BesideSingleFile(const std::string& out, const std::string& name);
// USAGE when an artifact of `format` is a directory and `out` names a single file.
absl::Status CheckOutputKind(const std::string& out, const std::string& format);
// Where each file of the artifact goes. DATA_LOSS / UNSAFE_PATH for a path that would leave OUT.
absl::StatusOr<std::vector<std::string>> PlanPaths(const v1::Artifact& artifact, const std::string& out);
// Refuses early, before an hour of work, what would be refused at the end: ALREADY_EXISTS / FILE_EXISTS.
absl::Status CheckOutput(const std::string& out, const std::string& format, bool force);

// Downloads every file; returns the paths. A file that is there already with the same content is left alone, one with
// other content is an error unless `force`. An interrupted download leaves "NAME.<digest>.part" and goes on from it.
// `written` receives the paths of the files that this call has written, also when it fails.
absl::StatusOr<std::vector<std::string>> Pull(const Session& session, const v1::Artifact& artifact,
                                              const std::string& out, bool force,
                                              std::vector<std::string>* written = nullptr);

// Removes what a Pull that failed leaves behind, where nobody will come back for it: partial files, the files it has
// `written`, and directories below OUT that are empty then.
void RemoveBrokenPull(const v1::Artifact& artifact, const std::string& out, const std::vector<std::string>& written);

}  // namespace nashswarm::cli

#endif  // NASHSWARM_CLIENT_CLI_DOWNLOAD_H_
