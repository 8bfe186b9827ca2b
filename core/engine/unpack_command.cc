#include <iostream>

#include "core/artifact/dense.h"
#include "core/artifact/nsq_artifact.h"
#include "core/base/file.h"
#include "core/base/json.h"
#include "core/base/status.h"
#include "core/engine/commands.h"
#include "core/engine/progress_line.h"

namespace nashswarm::engine {
namespace {

checkpoint::DType TypeOf(const std::string& name) {
  return name == "f16" ? checkpoint::DType::kF16 : name == "bf16" ? checkpoint::DType::kBF16 : checkpoint::DType::kF32;
}

absl::Status UnpackInto(const UnpackFlags& flags, const std::string& file, const std::function<void(uint64_t, uint64_t)>& progress) {
  if (PathExists(file) && !flags.force) {
    return MakeError(absl::StatusCode::kAlreadyExists, "FILE_EXISTS", absl::StrCat(file, ": exists already"),
                     "give another directory, or --force to overwrite it");
  }
  if (artifact::IsNsq(flags.path)) {
    NS_ASSIGN_OR_RETURN(const artifact::OpenNsq open, artifact::ReadNsq(flags.path));
    return artifact::Unpack(open, TypeOf(flags.dtype), flags.out, flags.threads, progress);
  }
  NS_ASSIGN_OR_RETURN(const artifact::OpenGguf open, artifact::Open(flags.path));
  NS_RETURN_IF_ERROR(MakeDirectories(DirName(file)));
  return artifact::WriteDense(open, TypeOf(flags.dtype), file, progress);
}

}  // namespace

int RunUnpack(const UnpackFlags& flags, bool json) {
  const std::string file = JoinPath(flags.out, "model.safetensors");
  ProgressLine line;
  const absl::Status status = UnpackInto(flags, file, [&line](uint64_t done, uint64_t total) { line.Show("unpacking", done, total); });
  if (!status.ok()) return ReportError(status, json);
  if (json) std::cout << Json{{"file", file}, {"bytes", *FileSize(file)}}.dump() << "\n";
  else std::cout << file << ": " << *FileSize(file) << " bytes\n";
  return 0;
}

}  // namespace nashswarm::engine
