#include "client/cli/app.h"
#include "client/cli/commands/commands.h"
#include "client/cli/json_format.h"
#include "client/cli/sizes.h"

namespace nashswarm::cli {
namespace {

template <typename List>
std::string Join(const List& list) {
  std::string text;
  for (const auto& item : list) text += (text.empty() ? "" : ", ") + item;
  return text;
}

absl::Status Info(App& app, const Session& session) {
  v1::ServerInfo info;
  NS_RETURN_IF_ERROR(CallUnary(session, session.server.info(), &v1::InfoService::Stub::GetServerInfo,
                               v1::GetServerInfoRequest(), &info));
  if (app.flags().json) {
    app.PrintJson(ToJson(info));
    return absl::OkStatus();
  }
  const auto& limits = info.limits();
  const auto bytes = [](int64_t n) { return FormatBytes(static_cast<double>(n)); };
  Table table({{""}, {""}});
  table.AddRow({"server", session.server.address()});
  table.AddRow({"version", info.version()});
  table.AddRow({"workers", std::to_string(info.workers())});
  table.AddRow({"jobs", std::to_string(info.jobs_running()) + " running, " + std::to_string(info.jobs_queued()) +
                            " queued (at most " + std::to_string(limits.max_queued_jobs()) + ")"});
  table.AddRow({"artifacts", Join(info.artifact_formats())});
  table.AddRow({"architectures", Join(info.architectures())});
  table.AddRow({"largest file", bytes(limits.max_file_bytes())});
  table.AddRow({"largest upload",
                bytes(limits.max_upload_bytes()) + " in " + std::to_string(limits.max_files_per_upload()) + " files"});
  table.AddRow({"largest chunk", bytes(limits.max_chunk_bytes())});
  table.AddRow({"attempts of a task", std::to_string(limits.max_attempts())});
  Table formats({{"FORMAT"}, {"BITS", Table::Align::kRight}, {"BLOCK", Table::Align::kRight}});
  for (const auto& format : info.formats()) {
    formats.AddRow({format.name(), FormatFixed(format.bits_per_weight(), 4), std::to_string(format.block_weights())});
  }
  app.PrintText(table.Render(app.out_color()) + "\n" + formats.Render(app.out_color()));
  return absl::OkStatus();
}

}  // namespace

void AddServer(App& app) {
  CLI::App* group = app.AddCommand(&app.root(), "server", "Ask a server about itself",
                                   "Example:\n  nashswarm server info --server host:port");
  group->require_subcommand(1);
  CLI::App* command = app.AddCommand(group, "info", "Version, limits, formats and load",
                                     "Example:\n  nashswarm server info --json --server host:port");
  command->callback([&app] {
    app.SetAction([&app] { return app.WithServer([&](const Session& session) { return Info(app, session); }); });
  });
}

}  // namespace nashswarm::cli
