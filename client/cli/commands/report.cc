#include <memory>

#include "client/cli/app.h"
#include "client/cli/commands/commands.h"
#include "client/cli/download.h"
#include "client/cli/fetch.h"
#include "client/cli/files.h"
#include "client/cli/report_text.h"

namespace nashswarm::cli {
namespace {

// Far above the report of the largest model: a row a tensor.
constexpr int64_t kMaxReportBytes = 64 << 20;

absl::Status NoReport(const std::string& name) {
  return MakeError(absl::StatusCode::kNotFound, "NO_REPORT", name + " has no " + kReportFile,
                   "it was made by a nashswarm that wrote none; compress the model again to get one");
}

bool IsWeightsOfDirectory(const std::string& path) { return path.ends_with(".nsq") || path.ends_with(".safetensors"); }

// Where the report of something on this machine is: of a pulled directory, of a weight file, or the report itself.
std::string LocalReport(const std::string& path) {
  if (IsDirectory(path)) return JoinPath(path, kReportFile);
  if (IsWeightsOfDirectory(path)) return JoinPath(ParentOf(path), kReportFile);
  if (!IsSingleFile(path)) return path;
  const std::string beside = BesideSingleFile(path, kReportFile);
  return FileExists(beside) ? beside : JoinPath(ParentOf(path), kReportFile);
}

absl::StatusOr<nlohmann::json> ReadLocal(const std::string& path) {
  const std::string file = LocalReport(path);
  if (!FileExists(file)) return NoReport(path);
  NS_ASSIGN_OR_RETURN(const std::string text, ReadSmallFile(file, kMaxReportBytes));
  return ParseReport(text, file);
}

absl::StatusOr<nlohmann::json> ReadFromServer(const Session& session, const std::string& name) {
  NS_ASSIGN_OR_RETURN(const v1::Artifact artifact, FindArtifact(session, name));
  for (const v1::FileEntry& file : artifact.files()) {
    if (file.path() != kReportFile) continue;
    NS_ASSIGN_OR_RETURN(const std::string text, FetchFile(session, artifact.name(), file, kMaxReportBytes));
    return ParseReport(text, artifact.name() + "/" + kReportFile);
  }
  return NoReport(artifact.name());
}

bool IsResourceName(const std::string& name) { return name.rfind("jobs/", 0) == 0 || name.rfind("artifacts/", 0) == 0; }

absl::Status Print(App& app, const absl::StatusOr<nlohmann::json>& report) {
  if (!report.ok()) return report.status();
  if (app.flags().json) {
    app.PrintJson(*report);
  } else {
    app.PrintText(RenderReport(*report, app.out_color()));
  }
  return absl::OkStatus();
}

absl::Status RunReport(App& app, const std::string& name) {
  const bool has_server = !app.flags().server.empty();
  if (FileExists(name) && !(has_server && IsResourceName(name))) return Print(app, ReadLocal(name));
  if (!has_server) {
    return MakeError(absl::StatusCode::kNotFound, "FILE_NOT_FOUND",
                     "there is no file or directory " + name + ", and no server to ask for it",
                     "give the directory of an artifact, or a job with --server HOST:PORT");
  }
  return app.WithServer([&](const Session& session) { return Print(app, ReadFromServer(session, name)); });
}

}  // namespace

void AddReport(App& app) {
  const auto name = std::make_shared<std::string>();
  CLI::App* command =
      app.AddCommand(&app.root(), "report", "Show the report of an artifact: sizes, quality, plan, texts, times",
                     "The same numbers as in report.html; --json prints report.json itself.\n\n"
                     "Examples:\n"
                     "  nashswarm report out\n"
                     "  nashswarm report gpt2.gguf --json\n"
                     "  nashswarm report JOB --server host:port");
  command
      ->add_option("NAME", *name, "A pulled directory, its .gguf or report.json, or the name of an artifact or job")
      ->required()
      ->type_name("PATH");
  command->callback([&app, name] { app.SetAction([&app, name] { return RunReport(app, *name); }); });
}

}  // namespace nashswarm::cli
