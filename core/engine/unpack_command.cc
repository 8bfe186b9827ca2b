#include <filesystem>
#include <functional>
#include <iostream>
#include <map>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_format.h"
#include "core/artifact/dense.h"
#include "core/artifact/nsq_artifact.h"
#include "core/base/file.h"
#include "core/base/json.h"
#include "core/base/status.h"
#include "core/engine/commands.h"
#include "core/engine/progress_line.h"
#include "core/pipeline/gguf_from_checkpoint.h"

namespace nashswarm::engine {
namespace {

// "": the checkpoint's own. A GGUF file does not say it.
checkpoint::DType TypeOf(const std::string& name, checkpoint::DType own) {
  return name.empty() ? own : name == "f16" ? checkpoint::DType::kF16 : name == "bf16" ? checkpoint::DType::kBF16 : checkpoint::DType::kF32;
}

// What was written.
struct Unpacked {
  std::string file;
  std::vector<std::string> notes;
};

using Progress = std::function<void(uint64_t, uint64_t)>;

absl::StatusOr<Unpacked> ToGguf(const UnpackFlags& flags, const std::string& file, ProgressLine* line) {
  if (!artifact::IsNsq(flags.path)) {
    return MakeError(absl::StatusCode::kFailedPrecondition, "FORMAT_INVALID", absl::StrCat(flags.path, ": --format gguf is for nsq artifacts"),
                     "a GGUF file can be used as it is; for another size compress the checkpoint again");
  }
  NS_ASSIGN_OR_RETURN(const artifact::OpenNsq open, artifact::ReadNsq(flags.path));
  NS_ASSIGN_OR_RETURN(const artifact::ExpertOrders orders, artifact::ExpertOrdersOf(open));
  NS_ASSIGN_OR_RETURN(const TemporaryDirectory dense, TemporaryDirectory::Create());
  NS_RETURN_IF_ERROR(artifact::Unpack(open, checkpoint::DType::kF32, dense.path(), flags.threads,
                                      [&](uint64_t done, uint64_t total) { line->Show("unpacking", done, total); }));
  NS_RETURN_IF_ERROR(MakeDirectories(DirName(file)));
  const Json source = open.manifest.has_value() && open.manifest->contains("source") ? (*open.manifest)["source"] : Json();
  const pipeline::HeadOptions options{JsonString(source, "name"), flags.allow_tokenizer_mismatch};
  NS_ASSIGN_OR_RETURN(const pipeline::WrittenGguf written,
                      pipeline::WriteGgufOf(dense.path(), file, flags.threads, options, orders,
                                            [&](uint64_t done, uint64_t total) { line->Show("writing", done, total); }));
  Unpacked out{file, written.warnings};
  std::map<std::string, int> formats;
  for (const auto& tensor : written.tensors) ++formats[std::string(quant::InfoOf(tensor.format).name)];
  std::string types;
  for (const auto& [name, count] : formats) absl::StrAppend(&types, types.empty() ? "" : ", ", count, " ", name);
  out.notes.push_back(absl::StrFormat("tensors: %s; the most one lost in them is %.2g of its squared weights%s", types,
                                      written.greatest_relative_error, written.worst.empty() ? "" : absl::StrCat(" (", written.worst, ")")));
  return out;
}

absl::StatusOr<Unpacked> UnpackTo(const UnpackFlags& flags, ProgressLine* line) {
  const bool gguf = flags.format == "gguf";
  const std::string file = !gguf                                ? JoinPath(flags.out, artifact::kUnpackedFile)
                           : absl::EndsWith(flags.out, ".gguf") ? flags.out
                                                                : JoinPath(flags.out, artifact::kGgufFile);
  if (PathExists(file) && !flags.force) {
    return MakeError(absl::StatusCode::kAlreadyExists, "FILE_EXISTS", absl::StrCat(file, ": exists already"),
                     "give another directory, or --force to overwrite it");
  }
  if (gguf) return ToGguf(flags, file, line);
  const Progress progress = [line](uint64_t done, uint64_t total) { line->Show("unpacking", done, total); };
  if (artifact::IsNsq(flags.path)) {
    if (std::error_code error; std::filesystem::equivalent(flags.path, flags.out, error)) {  // its config.json would be replaced
      return MakeError(absl::StatusCode::kInvalidArgument, "OUTPUT_IS_ARTIFACT", absl::StrCat(flags.out, ": is the artifact itself"),
                       "give another directory");
    }
    NS_ASSIGN_OR_RETURN(const artifact::OpenNsq open, artifact::ReadNsq(flags.path));
    NS_RETURN_IF_ERROR(artifact::Unpack(open, TypeOf(flags.dtype, artifact::CheckpointDtype(open)), flags.out, flags.threads, progress));
    return Unpacked{file, {}};
  }
  NS_ASSIGN_OR_RETURN(const artifact::OpenGguf open, artifact::Open(flags.path));
  NS_RETURN_IF_ERROR(MakeDirectories(flags.out));
  NS_RETURN_IF_ERROR(artifact::WriteDense(open, TypeOf(flags.dtype, checkpoint::DType::kF32), file, progress));
  return Unpacked{file, {}};
}

}  // namespace

int RunUnpack(const UnpackFlags& flags, bool json) {
  absl::StatusOr<Unpacked> unpacked = absl::UnknownError("");
  {
    ProgressLine line;
    unpacked = UnpackTo(flags, &line);
  }
  if (!unpacked.ok()) return ReportError(unpacked.status(), json);
  const uint64_t bytes = *FileSize(unpacked->file);
  if (json) {
    std::cout << Json{{"file", unpacked->file}, {"bytes", bytes}, {"notes", unpacked->notes}}.dump() << "\n";
    return 0;
  }
  std::cout << unpacked->file << ": " << bytes << " bytes\n";
  for (const std::string& note : unpacked->notes) std::cout << "note: " << note << "\n";
  return 0;
}

}  // namespace nashswarm::engine
