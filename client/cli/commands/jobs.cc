#include <google/protobuf/empty.pb.h>

#include <ctime>
#include <memory>

#include "client/cli/app.h"
#include "client/cli/commands/commands.h"
#include "client/cli/json_format.h"
#include "client/cli/sizes.h"
#include "client/cli/watch.h"

namespace nashswarm::cli {
namespace {

struct JobFlags {
  std::string id;
  bool events = false;
  std::string state;
  int64_t limit = 50;
};
using FlagsPtr = std::shared_ptr<JobFlags>;

std::string ProgressCell(const v1::Job& job) {
  if (job.state() == v1::Job::SUCCEEDED) return FormatBytes(static_cast<double>(job.result().output_bytes()));
  if (job.state() == v1::Job::FAILED) return ReasonOf(FromProto(job.error()));
  if (job.state() != v1::Job::RUNNING) return "";
  const auto& progress = job.progress();
  std::string cell = StageName(progress.stage());
  if (progress.weights_total() > 0) {
    cell += " " +
            FormatPercent(static_cast<double>(progress.weights_done()) / static_cast<double>(progress.weights_total()));
  }
  return cell;
}

absl::Status List(App& app, const Session& session, const JobFlags& flags) {
  v1::ListJobsRequest request;
  if (!flags.state.empty()) {
    v1::Job::State state = v1::Job::STATE_UNSPECIFIED;
    v1::Job::State_Parse(flags.state, &state);
    request.set_state(state);
  }
  const auto call = [&](const v1::ListJobsRequest& page, v1::ListJobsResponse* response) {
    return CallUnary(session, session.server.jobs(), &v1::JobService::Stub::ListJobs, page, response);
  };
  NS_ASSIGN_OR_RETURN(const auto jobs, (ListPages<v1::Job, v1::ListJobsRequest, v1::ListJobsResponse>(
                                           request, flags.limit, call, [](const auto& r) { return r.jobs(); })));
  if (app.flags().json) {
    nlohmann::json list = nlohmann::json::array();
    for (const v1::Job& job : jobs) list.push_back(ToJson(job));
    app.PrintJson({{"jobs", list}});
    return absl::OkStatus();
  }
  const auto right = Table::Align::kRight;
  Table table({{.title = "JOB", .whole = true}, {"MODEL"}, {"TARGET"}, {"STATE"}, {"PROGRESS"}, {"AGE", right}});
  const std::time_t now = std::time(nullptr);
  for (const v1::Job& job : jobs) {
    table.AddRow({IdOf(job.name()), IdOf(job.model()), FormatTarget(job.spec()), StateName(job.state()), ProgressCell(job),
                  FormatAge(job.create_time(), now)});
  }
  app.PrintText(table.Render(app.out_color()));
  return absl::OkStatus();
}

void PrintJob(App& app, const v1::Job& job) {
  if (app.flags().json) return app.PrintJson(ToJson(job));
  app.PrintText(DescribeJob(job, app.out_color()));
}

absl::Status Get(App& app, const Session& session, const JobFlags& flags) {
  NS_ASSIGN_OR_RETURN(const v1::Job job, GetJob(session, QualifiedName("jobs", flags.id)));
  PrintJob(app, job);
  return absl::OkStatus();
}

absl::Status Watch(App& app, const Session& session, const JobFlags& flags) {
  const std::string name = QualifiedName("jobs", flags.id);
  if (!flags.events) {
    NS_ASSIGN_OR_RETURN(const v1::Job job, WatchOrDetach(session, name));
    PrintJob(app, job);
    return OutcomeOf(job, session.server.address());
  }
  const auto print = [&](const v1::JobEvent& event) { app.PrintEvent(ToJson(event)); };
  NS_ASSIGN_OR_RETURN(const v1::Job job, WatchJob(session, name, print));
  return OutcomeOf(job, session.server.address());
}

// As watch, for scripts: no progress.
absl::Status Wait(App& app, const Session& session, const JobFlags& flags) {
  Progress silent(app.err(), Progress::Style::kNone, false, 0);
  const Session quiet = {.server = session.server, .interrupt = session.interrupt, .progress = silent};
  NS_ASSIGN_OR_RETURN(const v1::Job job, WatchOrDetach(quiet, QualifiedName("jobs", flags.id)));
  PrintJob(app, job);
  return OutcomeOf(job, session.server.address());
}

absl::Status Cancel(App& app, const Session& session, const JobFlags& flags) {
  v1::CancelJobRequest request;
  request.set_name(QualifiedName("jobs", flags.id));
  v1::Job job;
  NS_RETURN_IF_ERROR(CallUnary(session, session.server.jobs(), &v1::JobService::Stub::CancelJob, request, &job));
  PrintJob(app, job);
  return absl::OkStatus();
}

absl::Status Retry(App& app, const Session& session, const JobFlags& flags) {
  v1::RetryJobRequest request;
  request.set_name(QualifiedName("jobs", flags.id));
  v1::Job job;
  NS_RETURN_IF_ERROR(CallUnary(session, session.server.jobs(), &v1::JobService::Stub::RetryJob, request, &job));
  PrintJob(app, job);
  app.Say("next: nashswarm jobs watch " + job.name() + " --server " + session.server.address());
  return absl::OkStatus();
}

absl::Status Delete(App& app, const Session& session, const JobFlags& flags) {
  v1::DeleteJobRequest request;
  request.set_name(QualifiedName("jobs", flags.id));
  google::protobuf::Empty empty;
  NS_RETURN_IF_ERROR(CallUnary(session, session.server.jobs(), &v1::JobService::Stub::DeleteJob, request, &empty));
  if (app.flags().json) app.PrintJson({{"deleted", request.name()}});
  app.Say("deleted " + request.name());
  return absl::OkStatus();
}

using JobAction = absl::Status (*)(App&, const Session&, const JobFlags&);

CLI::App* AddJobCommand(App& app, CLI::App* group, const FlagsPtr& flags, const std::string& name,
                        const std::string& description, const std::string& examples, JobAction action) {
  CLI::App* command = app.AddCommand(group, name, description, examples);
  command->callback([&app, flags, action] {
    app.SetAction([&app, flags, action] {
      return app.WithServer([&](const Session& session) { return action(app, session, *flags); });
    });
  });
  return command;
}

}  // namespace

void AddJobs(App& app) {
  CLI::App* group = app.AddCommand(&app.root(), "jobs", "Look at, follow and change jobs",
                                   "Examples:\n"
                                   "  nashswarm jobs list --state RUNNING --server host:port\n"
                                   "  nashswarm jobs watch JOB --server host:port");
  group->require_subcommand(1);
  const auto flags = std::make_shared<JobFlags>();
  const auto with_id = [flags](CLI::App* command) {
    command->add_option("JOB", flags->id, "Name or id of a job")->required()->type_name("JOB");
    return command;
  };
  CLI::App* list = AddJobCommand(app, group, flags, "list", "List jobs, newest first",
                                 "Example:\n  nashswarm jobs list --limit 10 --server host:port", List);
  list->add_option("--state", flags->state, "Only jobs in this state")
      ->type_name("STATE")
      ->transform(CLI::IsMember({"QUEUED", "RUNNING", "SUCCEEDED", "FAILED", "CANCELLED"}, CLI::ignore_case));
  list->add_option("--limit", flags->limit, "At most so many; 0: all")
      ->type_name("N")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  with_id(AddJobCommand(app, group, flags, "get", "Show one job", "", Get));
  with_id(AddJobCommand(app, group, flags, "watch", "Follow a job until it ends; Ctrl-C detaches",
                        "The exit code is that of the job: 0 when it succeeded.", Watch))
      ->add_flag("--events", flags->events, "Print every event as one line of JSON on stdout");
  with_id(AddJobCommand(app, group, flags, "wait", "Wait in silence until a job ends",
                        "The exit code is that of the job: 0 when it succeeded.", Wait));
  with_id(AddJobCommand(app, group, flags, "cancel", "Stop a job", "", Cancel));
  with_id(AddJobCommand(app, group, flags, "retry", "Run a failed or cancelled job again; finished tasks are kept", "",
                        Retry));
  with_id(AddJobCommand(app, group, flags, "delete", "Delete an ended job; its artifact stays", "", Delete));
}

}  // namespace nashswarm::cli
