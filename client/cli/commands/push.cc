#include <memory>

#include "client/cli/app.h"
#include "client/cli/commands/commands.h"
#include "client/cli/data_files.h"
#include "client/cli/json_format.h"
#include "client/cli/sizes.h"
#include "client/cli/target.h"
#include "client/cli/upload.h"
#include "client/cli/watch.h"

namespace nashswarm::cli {
namespace {

struct PushFlags {
  std::string directory;
  std::string data_file;
  std::string model_id;
  std::vector<std::string> labels;
};

struct SubmitFlags {
  std::string model;
  TargetFlags target;
  std::vector<std::string> labels;
  bool watch = false;
};

void SayPushed(App& app, const PushResult& result, const std::string& server) {
  const v1::Model& model = result.model;
  const bool is_data = model.kind() == v1::Model::DATA;
  const std::string what =
      is_data ? "a data file"
              : model.architecture() + ", " + FormatCount(static_cast<double>(model.parameter_count())) + " parameters";
  app.Say(what + "; sent " + FormatBytes(static_cast<double>(result.bytes_sent)) + ", " +
          FormatBytes(static_cast<double>(result.bytes_known)) + " were there already");
  app.Say("next: nashswarm submit " + (is_data ? "MODEL --bpw 4.5 --calibrate " + model.name()
                                               : model.name() + " --bpw 4.5") +
          " --server " + server);
}

absl::Status RunPush(App& app, const PushFlags& flags) {
  if (flags.directory.empty() == flags.data_file.empty()) {
    return UsageError(flags.directory.empty() ? "there is nothing to push"
                                              : "a checkpoint and a data file are two pushes",
                      "give either the DIR of a checkpoint or --data FILE");
  }
  NS_ASSIGN_OR_RETURN(const std::string directory, LocalDirectory(app, flags.directory));
  PushRequest request = {.directory = directory, .data_file = flags.data_file, .model_id = flags.model_id};
  NS_ASSIGN_OR_RETURN(request.labels, ParseLabels(flags.labels));
  return app.WithServer([&](const Session& session) -> absl::Status {
    const auto result = Push(session, request);
    if (!result.ok()) {
      if (ExitCodeOf(result.status()) != kExitInterrupted) return result.status();
      return InterruptedError("interrupted; what was sent is kept", "run the same command again to go on from there");
    }
    const v1::Model& model = result->model;
    if (app.flags().json) {
      app.PrintJson(
          {{"model", ToJson(model)}, {"bytes_sent", result->bytes_sent}, {"bytes_known", result->bytes_known}});
      return absl::OkStatus();
    }
    app.PrintText(model.name() + "\n");
    SayPushed(app, *result, session.server.address());
    return absl::OkStatus();
  });
}

absl::Status RunSubmit(App& app, const SubmitFlags& flags) {
  NS_ASSIGN_OR_RETURN(v1::CompressionSpec spec, BuildSpec(flags.target));
  NS_RETURN_IF_ERROR(CheckDataFiles(spec, DataNames::kModelsToo));
  NS_ASSIGN_OR_RETURN(const auto labels, ParseLabels(flags.labels));
  const UserFiles files = FilesOf("", spec);
  return app.WithServer([&](const Session& session) -> absl::Status {
    NS_RETURN_IF_ERROR(PushDataFiles(session, DataNames::kModelsToo, &spec));
    NS_ASSIGN_OR_RETURN(v1::Job job, CreateJob(session, flags.model, spec, labels));
    if (flags.watch) {
      NS_ASSIGN_OR_RETURN(job, WatchOrDetach(session, job.name()));
    }
    if (app.flags().json) {
      app.PrintJson(ToJson(job));
    } else {
      app.PrintText(job.name() + "\n");
      if (!flags.watch) {
        app.Say("next: nashswarm jobs watch " + job.name() + " --server " + session.server.address());
      }
    }
    return flags.watch ? OutcomeOf(job, session.server.address(), files) : absl::OkStatus();
  });
}

}  // namespace

void AddPush(App& app) {
  const auto flags = std::make_shared<PushFlags>();
  CLI::App* command =
      app.AddCommand(&app.root(), "push", "Upload a Hugging Face checkpoint or a data file; prints its name",
                     "A push that was broken off goes on where it stopped when it is run again; files\n"
                     "the server knows are not sent.\n\n"
                     "Examples:\n"
                     "  nashswarm push ./gpt2 --server host:port\n"
                     "  nashswarm push ./gpt2 --model-id gpt2 --label team=research --server host:port\n"
                     "  nashswarm push --data wiki.txt --model-id wiki --server host:port");
  command->add_option("DIR", flags->directory, "Directory with config.json, tokenizer and *.safetensors, or hf://ORG/NAME[@REVISION]")
      ->type_name("DIR");
  command
      ->add_option("--data", flags->data_file,
                   "Instead: one file for --calibrate, --imatrix or --evaluate of submit, by the name it gets")
      ->type_name("FILE");
  command->add_option("--model-id", flags->model_id, "Id of the model: small letters, digits and dashes")
      ->type_name("ID");
  command->add_option("--label", flags->labels, "A label of the model; may be repeated")
      ->type_name("KEY=VALUE")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  command->callback([&app, flags] { app.SetAction([&app, flags] { return RunPush(app, *flags); }); });
}

void AddSubmit(App& app) {
  const auto flags = std::make_shared<SubmitFlags>();
  CLI::App* command =
      app.AddCommand(&app.root(), "submit", "Start a job on a pushed model; prints the job's name",
                     "Where a FILE is asked for, models/ID names one that was pushed with:\n"
                     "nashswarm push --data FILE\n\n"
                     "Examples:\n"
                     "  nashswarm submit gpt2 --bpw 4.5 --server host:port\n"
                     "  nashswarm submit gpt2 --bpw 3.5 --calibrate models/wiki --server host:port\n"
                     "  nashswarm submit gpt2 --ratio 90% --rule '.*wte.*=Q8_0' --watch --server host:port");
  command->add_option("MODEL", flags->model, "Name or id of a model")->required()->type_name("MODEL");
  AddTargetFlags(command, &flags->target);
  command->add_option("--label", flags->labels, "A label of the job; may be repeated")
      ->type_name("KEY=VALUE")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  command->add_flag("--watch", flags->watch, "Follow the job until it ends");
  command->callback([&app, flags] { app.SetAction([&app, flags] { return RunSubmit(app, *flags); }); });
}

}  // namespace nashswarm::cli
