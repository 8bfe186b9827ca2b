#include <algorithm>
#include <chrono>
#include <filesystem>
#include <memory>
#include <system_error>

#include "client/cli/app.h"
#include "client/cli/checkpoint_files.h"
#include "client/cli/commands/commands.h"
#include "client/cli/data_files.h"
#include "client/cli/download.h"
#include "client/cli/private_server.h"
#include "client/cli/programs.h"
#include "client/cli/quality.h"
#include "client/cli/report_text.h"
#include "client/cli/sizes.h"
#include "client/cli/stage_cache.h"
#include "client/cli/target.h"
#include "client/cli/upload.h"
#include "client/cli/user_files.h"
#include "client/cli/watch.h"

namespace nashswarm::cli {
namespace {

constexpr char kServerHint[] =
    "compress without --server starts a private nashswarmd: install nashswarmd and nashswarm-engine beside nashswarm, "
    "or give --server HOST:PORT";
// A cancel that does not get through must not hold up the end.
constexpr std::chrono::seconds kCancelDeadline(2);

struct CompressFlags {
  std::string directory;
  std::string out;
  TargetFlags target;
  bool force = false;
  std::string keep_server_data;
  bool no_cache = false;
  std::string cache_size = "20GB";
};

// Deleting what a model of some hundred gigabytes has left takes its time.
constexpr std::chrono::seconds kCacheStopLimit(60);

struct Outcome {
  v1::Model model;
  v1::Job job;
  v1::Artifact artifact;
  std::vector<std::string> paths;
};

// Cancels on the way out of a private server, where nobody can come back for the job. Not through CallUnary, which
// refuses to start calls after Ctrl-C.
void CancelQuietly(const Session& session, const std::string& job) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kCancelDeadline);
  v1::CancelJobRequest request;
  request.set_name(job);
  v1::Job ignored;
  (void)session.server.jobs()->CancelJob(&context, request, &ignored);
}

// Sends what the job needs: the data files, which are small, before the checkpoint.
absl::StatusOr<v1::Model> PushEverything(const Session& session, const std::string& directory,
                                         v1::CompressionSpec* spec) {
  NS_RETURN_IF_ERROR(PushDataFiles(session, DataNames::kFilesOnly, spec));
  NS_ASSIGN_OR_RETURN(PushResult pushed, Push(session, {.directory = directory}));
  return std::move(pushed.model);
}

absl::StatusOr<Outcome> RunSteps(const Session& session, const CompressFlags& flags, v1::CompressionSpec spec,
                                 bool is_private) {
  Outcome outcome;
  const UserFiles files = FilesOf(flags.directory, spec);
  auto pushed = PushEverything(session, flags.directory, &spec);
  if (!pushed.ok()) {
    if (is_private || ExitCodeOf(pushed.status()) != kExitInterrupted) return pushed.status();
    return InterruptedError("interrupted; what was sent is kept on the server",
                            "run the same command again to go on from there");
  }
  outcome.model = *std::move(pushed);
  NS_ASSIGN_OR_RETURN(const v1::Job created, CreateJob(session, outcome.model.name(), spec, {}));

  auto ended = WatchJob(session, created.name());
  if (!ended.ok()) {
    const bool interrupted = ExitCodeOf(ended.status()) == kExitInterrupted;
    if (is_private) {
      if (interrupted) CancelQuietly(session, created.name());
      return ended.status();
    }
    if (!interrupted) return ended.status();
    const std::string server = " --server " + session.server.address();
    return InterruptedError("detached; " + created.name() + " goes on on the server",
                            "come back with: nashswarm jobs watch " + created.name() + server +
                                "; then: nashswarm pull " + created.name() + " -o " + flags.out + server);
  }
  outcome.job = *std::move(ended);
  NS_RETURN_IF_ERROR(OutcomeOf(outcome.job, is_private ? "" : session.server.address(), files));
  NS_ASSIGN_OR_RETURN(outcome.artifact, GetArtifact(session, outcome.job.result().artifact()));
  std::vector<std::string> written;
  auto paths = Pull(session, outcome.artifact, flags.out, flags.force, &written);
  if (!paths.ok()) {
    if (is_private) RemoveBrokenPull(outcome.artifact, flags.out, written);
    return paths.status();
  }
  outcome.paths = *std::move(paths);
  return outcome;
}

// An error for somebody who has no server to look at: it is about to go, with its log.
absl::Status ExplainPrivately(const absl::Status& status, PrivateServer& server, bool keeps_stages, bool no_cache) {
  if (ReasonOf(status) == kUnreachableReason) {
    if (const absl::Status ended = server.CheckAlive(); !ended.ok()) return ended;
  }
  if (ExitCodeOf(status) == kExitInterrupted) {
    if (keeps_stages) {
      return InterruptedError("interrupted; nothing was written",
                              "finished stages are kept: run the same command again to go on after them");
    }
    return InterruptedError("interrupted; nothing was written",
                            std::string("to keep finished stages of the next run, ") + (no_cache ? "leave out --no-cache or " : "") +
                                "give --keep-server-data DIR");
  }
  if (ReasonOf(status) == kServerEndedReason) return status;
  if (status.code() == absl::StatusCode::kInternal || status.code() == absl::StatusCode::kUnknown) {
    return MakeError(status.code(), ReasonOf(status), std::string(status.message()) + server.EndOfLog(),
                     "run it again; if it stays, report it with the lines above");
  }
  const bool names_server = HintOf(status).find(server.address()) != std::string::npos;
  return names_server ? WithHint(status, "") : status;
}

// Where the private server keeps its data: where --keep-server-data says, in the cache, or nowhere.
struct KeptStages {
  StageCache cache;
  PrivateServerOptions server;
  bool any() const { return !server.keep_data.empty(); }
};

absl::StatusOr<KeptStages> ChooseData(App& app, const CompressFlags& flags, const std::string& program) {
  KeptStages kept;
  kept.server = {.program = program, .near = flags.out, .keep_data = flags.keep_server_data};
  if (flags.no_cache || !flags.keep_server_data.empty()) return kept;
  NS_ASSIGN_OR_RETURN(const int64_t cache_bytes, ParseSize(flags.cache_size));
  StageCacheRequest request = {.getenv = app.environment(),
                               .server = program,
                               .engine = JoinPath(ParentOf(program), "nashswarm-engine"),
                               .instead = ParentOf(flags.out)};
  NS_ASSIGN_OR_RETURN(const std::vector<LocalFile> files, SelectFiles(flags.directory));
  for (const LocalFile& file : files) request.model_bytes += file.size;
  kept.cache = TakeStageCache(request);
  if (!kept.cache.why_not.empty()) app.Say(kept.cache.why_not);
  if (kept.cache.data.empty()) return kept;
  kept.server.keep_data = kept.cache.data;
  // The size bounds the cache, not age.
  kept.server.flags = {"--keep-only-results", std::to_string(cache_bytes), "--cache-ttl", "87600h"};
  kept.server.stop_limit = kCacheStopLimit;
  return kept;
}

// A cache that a server cannot start on is worth less than the run. One that starts without it neither has another fault.
absl::StatusOr<std::unique_ptr<PrivateServer>> StartServer(App& app, const KeptStages& kept) {
  auto server = PrivateServer::Start(kept.server, app.interrupt());
  if (server.ok() || kept.cache.data.empty() || ReasonOf(server.status()) != kServerEndedReason) return server;
  if (!SetStagesAside(kept.cache)) return server;
  server = PrivateServer::Start(kept.server, app.interrupt());
  if (server.ok()) {
    DropStagesAside(kept.cache);
  } else {
    RestoreStages(kept.cache);
  }
  return server;
}

absl::StatusOr<Outcome> RunPrivately(App& app, const CompressFlags& flags, const v1::CompressionSpec& spec) {
  NS_ASSIGN_OR_RETURN(const std::string program, FindProgram("nashswarmd", kServerHint));
  NS_ASSIGN_OR_RETURN(const KeptStages kept, ChooseData(app, flags, program));
  NS_ASSIGN_OR_RETURN(const auto server, StartServer(app, kept));
  Connection connection(server->address());
  const Session session = {
      .server = connection, .interrupt = app.interrupt(), .progress = app.progress(), .alive = [&server] {
        return server->CheckAlive();
      }};
  auto outcome = RunSteps(session, flags, spec, /*is_private=*/true);
  if (!outcome.ok()) return ExplainPrivately(outcome.status(), *server, kept.any(), flags.no_cache);
  return outcome;
}

std::string GgufOf(const std::vector<std::string>& paths) {
  for (const std::string& path : paths) {
    if (IsSingleFile(path)) return path;
  }
  return "";
}

// "out/report.html", or "a.report.html" beside a single file.
std::string ReportPageOf(const Outcome& outcome) {
  for (size_t i = 0; i < outcome.paths.size(); ++i) {
    if (outcome.artifact.files(static_cast<int>(i)).path() == kReportPage) return outcome.paths[i];
  }
  return "";
}

nlohmann::json Summary(const Outcome& outcome, double seconds) {
  const auto& result = outcome.job.result();
  nlohmann::json warnings = nlohmann::json::array();
  for (const auto& warning : result.warnings()) warnings.push_back(warning);
  nlohmann::json summary = {{"job", outcome.job.name()},
                            {"artifact", outcome.artifact.name()},
                            {"format", outcome.artifact.format()},
                            {"model", outcome.model.name()},
                            {"architecture", outcome.model.architecture()},
                            {"parameters", result.parameter_count()},
                            {"paths", outcome.paths},
                            {"bytes", result.output_bytes()},
                            {"source_bytes", outcome.model.weight_bytes()},
                            {"bits_per_weight", result.bits_per_weight()},
                            {"ratio_fp32", result.ratio_fp32()},
                            {"ratio_source", result.ratio_source()},
                            {"relative_error", result.relative_error()},
                            {"plan_summary", result.plan_summary()},
                            {"warnings", warnings},
                            {"seconds", seconds}};
  if (result.has_quality()) summary["quality"] = ToJson(result.quality());
  return summary;
}

// What to do with the artifact, in one line.
std::string NextStep(const Outcome& outcome, const std::string& out) {
  if (outcome.artifact.format() == kNsq) {
    return "use it: nashswarm unpack " + out + " -o dense   (plain safetensors; --format gguf for llama.cpp)\n";
  }
  const std::string gguf = GgufOf(outcome.paths);
  if (gguf.empty()) return "";
  return "run it: llama-completion -m " + gguf + " -p \"Once upon a time\"   (llama.cpp; Ollama reads it too)\n";
}

std::string SummaryText(const Outcome& outcome, const std::string& out, double seconds, bool color) {
  const auto& result = outcome.job.result();
  Table table({{""}, {""}});
  table.AddRow({"parameters", FormatCount(static_cast<double>(result.parameter_count())) + " (" +
                                  outcome.model.architecture() + ")"});
  table.AddRow({"size", FormatBytes(static_cast<double>(outcome.model.weight_bytes())) + " -> " +
                            FormatBytes(static_cast<double>(result.output_bytes()))});
  table.AddRow({"bits per weight", FormatFixed(result.bits_per_weight(), 4)});
  table.AddRow({"saved", FormatPercent(result.ratio_fp32()) + " of FP32, " + FormatPercent(result.ratio_source()) +
                             " of the checkpoint"});
  table.AddRow({"relative error", FormatError(result.relative_error())});
  if (result.has_quality()) AddQualityRows(result.quality(), &table);
  if (!result.plan_summary().empty()) table.AddRow({"plan", result.plan_summary()});
  table.AddRow({"time", FormatDuration(seconds)});
  for (const std::string& path : outcome.paths) table.AddRow({"file", path});
  std::string text = table.Render(color);
  for (const auto& warning : result.warnings()) {
    text += (color ? "\x1b[33mwarning:\x1b[0m " : "warning: ") + warning + "\n";
  }
  text += NextStep(outcome, out);
  if (const std::string page = ReportPageOf(outcome); !page.empty()) {
    text += "report: open " + page + "\n";
  }
  return text;
}

// An nsq artifact has a config.json too: --force would put it in the checkpoint's place.
absl::Status CheckNotTheCheckpoint(const CompressFlags& flags) {
  std::error_code error;
  if (!std::filesystem::equivalent(flags.directory, flags.out, error) || flags.target.format != kNsq) {
    return absl::OkStatus();
  }
  return UsageError("-o " + flags.out + " is the checkpoint itself", "choose another directory for the artifact");
}

absl::Status RunCompress(App& app, CompressFlags flags) {
  const auto start = std::chrono::steady_clock::now();
  NS_ASSIGN_OR_RETURN(v1::CompressionSpec spec, BuildSpec(flags.target));
  // What can be refused at once is refused before any work.
  NS_RETURN_IF_ERROR(CheckDataFiles(spec, DataNames::kFilesOnly));
  NS_RETURN_IF_ERROR(CheckOutput(flags.out, spec.artifact_format(), flags.force));
  if (!app.flags().server.empty() && !flags.keep_server_data.empty()) {
    return UsageError("--keep-server-data is for a private server, and --server is given", "leave out one of them");
  }
  NS_RETURN_IF_ERROR(ParseSize(flags.cache_size).status());
  NS_ASSIGN_OR_RETURN(flags.directory, LocalDirectory(app, flags.directory));
  NS_RETURN_IF_ERROR(SelectFiles(flags.directory).status());
  NS_RETURN_IF_ERROR(CheckNotTheCheckpoint(flags));
  // The model's own label is of whoever pushed this content first, from a directory of another name perhaps.
  if (spec.model_name().empty()) spec.set_model_name(NameOfCheckpoint(flags.directory));
  Outcome outcome;
  if (app.flags().server.empty()) {
    NS_ASSIGN_OR_RETURN(outcome, RunPrivately(app, flags, spec));
  } else {
    NS_RETURN_IF_ERROR(app.WithServer([&](const Session& session) -> absl::Status {
      NS_ASSIGN_OR_RETURN(outcome, RunSteps(session, flags, spec, /*is_private=*/false));
      return absl::OkStatus();
    }));
  }
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  if (app.flags().json) {
    app.PrintJson(Summary(outcome, seconds.count()));
  } else {
    app.PrintText(SummaryText(outcome, flags.out, seconds.count(), app.out_color()));
  }
  return absl::OkStatus();
}

}  // namespace

void AddCompress(App& app) {
  const auto flags = std::make_shared<CompressFlags>();
  CLI::App* command =
      app.AddCommand(&app.root(), "compress", "Compress a Hugging Face checkpoint: directory in, GGUF or nsq out",
                     "Give a text with --calibrate: it shows which weights matter, and a part that is\n"
                     "held out measures what was lost. A megabyte of text like what the model is for\n"
                     "will do; without one, --calibrate self has the model write its own.\n"
                     "GGUF files run in llama.cpp; nsq is smaller and is unpacked before use.\n"
                     "OUT/model.gguf comes with report.html (open it), report.json and manifest.json.\n"
                     "Without --server everything happens on this machine. Finished stages are kept\n"
                     "in ~/.cache/nashswarm ($XDG_CACHE_HOME), so that another size of the same\n"
                     "model, or a run that was interrupted, begins where they end.\n\n"
                     "Examples:\n"
                     "  nashswarm compress ./gpt2 -o out --bpw 4.5 --calibrate train.txt\n"
                     "  nashswarm compress ./gpt2 -o out --bpw 3.5 --calibrate train.txt --evaluate test.txt\n"
                     "  nashswarm compress hf://openai-community/gpt2 -o gpt2.gguf --size 50MB --calibrate self\n"
                     "  nashswarm compress ./gpt2 -o out --max-ppl-increase 2% --calibrate train.txt\n"
                     "  nashswarm compress ./gpt2 -o out --format nsq --bpw 3 --calibrate train.txt --context-rounds 2\n"
                     "  nashswarm compress ./gpt2 -o out --bpw 4.5 --imatrix imatrix.gguf --rule '.*wte.*=Q8_0'\n"
                     "  nashswarm compress ./gpt2 -o out --bpw 3.5 --calibrate self --json --server host:port");
  command->add_option("DIR", flags->directory, "Directory with config.json, tokenizer and *.safetensors, or hf://ORG/NAME[@REVISION]")
      ->required()
      ->type_name("DIR");
  command->add_option("-o,--output", flags->out, "Directory for the files, or the name of one .gguf file")
      ->required()
      ->type_name("OUT");
  AddTargetFlags(command, &flags->target);
  command->add_flag("--force", flags->force, "Replace files that exist");
  command
      ->add_option("--keep-server-data", flags->keep_server_data,
                   "Keep everything of the private server there instead of the cache, model and artifacts too")
      ->type_name("DIR");
  command->add_flag("--no-cache", flags->no_cache, "Keep nothing of the finished stages for later runs");
  command
      ->add_option("--cache-size", flags->cache_size,
                   "Keep at most so much of finished stages, those that were used last")
      ->type_name("SIZE")
      ->capture_default_str();
  command->callback([&app, flags] { app.SetAction([&app, flags] { return RunCompress(app, *flags); }); });
}

}  // namespace nashswarm::cli
