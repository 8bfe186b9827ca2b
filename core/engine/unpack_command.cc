#include <iostream>

#include "core/artifact/dense.h"
#include "core/base/file.h"
#include "core/base/json.h"
#include "core/base/status.h"
#include "core/engine/commands.h"

namespace nashswarm::engine {
namespace {

absl::Status Unpack(const std::string& path, const std::string& file, const std::string& dtype, bool force) {
  if (PathExists(file) && !force) {
    return MakeError(absl::StatusCode::kAlreadyExists, "FILE_EXISTS", absl::StrCat(file, ": exists already"),
                     "give another directory, or --force to overwrite it");
  }
  NS_ASSIGN_OR_RETURN(const artifact::OpenGguf open, artifact::Open(path));
  NS_RETURN_IF_ERROR(MakeDirectories(DirName(file)));
  const auto type = dtype == "f16"    ? checkpoint::DType::kF16
                    : dtype == "bf16" ? checkpoint::DType::kBF16
                                      : checkpoint::DType::kF32;
  return artifact::WriteDense(open, type, file, [](uint64_t, uint64_t) {});
}

}  // namespace

int RunUnpack(const std::string& path, const std::string& out, const std::string& dtype, bool force, bool json) {
  const std::string file = JoinPath(out, "model.safetensors");
  if (const absl::Status status = Unpack(path, file, dtype, force); !status.ok()) return ReportError(status, json);
  if (json) std::cout << Json{{"file", file}, {"bytes", *FileSize(file)}}.dump() << "\n";
  else std::cout << file << ": " << *FileSize(file) << " bytes\n";
  return 0;
}

}  // namespace nashswarm::engine
