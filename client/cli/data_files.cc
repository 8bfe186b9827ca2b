#include "client/cli/data_files.h"

#include <filesystem>
#include <vector>

#include "client/cli/files.h"
#include "client/cli/upload.h"

namespace nashswarm::cli {
namespace {

struct DataField {
  const char* flag;
  std::string* value;
};

// The fields that are set and hold a FILE.
std::vector<DataField> FileFields(DataNames names, v1::CompressionSpec* spec) {
  std::vector<DataField> fields;
  const auto add = [&](const char* flag, std::string* value) {
    const bool is_name = names == DataNames::kModelsToo && value->rfind("models/", 0) == 0;
    if (!value->empty() && !is_name) fields.push_back({flag, value});
  };
  if (spec->calibration().has_text()) add("--calibrate", spec->mutable_calibration()->mutable_text());
  if (spec->calibration().has_imatrix()) add("--imatrix", spec->mutable_calibration()->mutable_imatrix());
  if (!spec->evaluation().text().empty()) add("--evaluate", spec->mutable_evaluation()->mutable_text());
  return fields;
}

}  // namespace

absl::StatusOr<LocalFile> SelectDataFile(const std::string& path) {
  if (!FileExists(path)) {
    return MakeError(absl::StatusCode::kNotFound, "FILE_NOT_FOUND", path + " does not exist",
                     "give a UTF-8 text, or an importance matrix of llama.cpp");
  }
  if (IsDirectory(path)) {
    return UsageError(path + " is a directory", "give one file: a UTF-8 text or an importance matrix");
  }
  NS_ASSIGN_OR_RETURN(const int64_t size, FileSize(path));
  if (size == 0) return MakeError(absl::StatusCode::kInvalidArgument, "EMPTY_FILE", path + " is empty");
  return LocalFile{std::filesystem::path(path).filename().string(), path, size};
}

absl::Status CheckDataFiles(const v1::CompressionSpec& spec, DataNames names) {
  v1::CompressionSpec copy = spec;
  for (const DataField& field : FileFields(names, &copy)) {
    const auto file = SelectDataFile(*field.value);
    if (!file.ok()) return Annotate(file.status(), field.flag);
  }
  return absl::OkStatus();
}

absl::Status PushDataFiles(const Session& session, DataNames names, v1::CompressionSpec* spec) {
  for (const DataField& field : FileFields(names, spec)) {
    const auto pushed = Push(session, {.data_file = *field.value});
    if (!pushed.ok()) return Annotate(pushed.status(), field.flag);
    *field.value = pushed->model.name();
  }
  return absl::OkStatus();
}

}  // namespace nashswarm::cli
