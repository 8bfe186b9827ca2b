#include <google/protobuf/empty.pb.h>

#include <ctime>
#include <memory>

#include "client/cli/app.h"
#include "client/cli/commands/commands.h"
#include "client/cli/digest.h"
#include "client/cli/json_format.h"
#include "client/cli/sizes.h"

namespace nashswarm::cli {
namespace {

struct CatalogFlags {
  std::string id;
  int64_t limit = 50;
};
using FlagsPtr = std::shared_ptr<CatalogFlags>;
using Action = absl::Status (*)(App&, const Session&, const CatalogFlags&);

std::string FilesTable(const google::protobuf::RepeatedPtrField<v1::FileEntry>& files, bool color) {
  Table table({{"FILE"}, {"SIZE", Table::Align::kRight}, {"SHA-256"}});
  for (const auto& file : files) {
    table.AddRow(
        {file.path(), FormatBytes(static_cast<double>(file.digest().size_bytes())), ToHex(file.digest().sha256())});
  }
  return table.Render(color);
}

absl::Status ListModels(App& app, const Session& session, const CatalogFlags& flags) {
  const auto call = [&](const v1::ListModelsRequest& page, v1::ListModelsResponse* response) {
    return CallUnary(session, session.server.models(), &v1::ModelService::Stub::ListModels, page, response);
  };
  NS_ASSIGN_OR_RETURN(const auto models, (ListPages<v1::Model, v1::ListModelsRequest, v1::ListModelsResponse>(
                                             {}, flags.limit, call, [](const auto& r) { return r.models(); })));
  if (app.flags().json) {
    nlohmann::json list = nlohmann::json::array();
    for (const v1::Model& model : models) list.push_back(ToJson(model));
    app.PrintJson({{"models", list}});
    return absl::OkStatus();
  }
  const std::time_t now = std::time(nullptr);
  Table table({{"MODEL"},
               {"KIND"},
               {"ARCHITECTURE"},
               {"PARAMETERS", Table::Align::kRight},
               {"SIZE", Table::Align::kRight},
               {"AGE", Table::Align::kRight}});
  for (const v1::Model& model : models) {
    const bool is_data = model.kind() == v1::Model::DATA;
    const auto known = [is_data](const std::string& text) { return is_data ? "-" : text; };
    // Where a FILE is asked for, "wiki" is one and "models/wiki" a data model.
    table.AddRow({is_data ? model.name() : IdOf(model.name()), KindName(model.kind()), known(model.architecture()),
                  known(FormatCount(static_cast<double>(model.parameter_count()))),
                  FormatBytes(static_cast<double>(is_data ? model.total_bytes() : model.weight_bytes())),
                  FormatAge(model.create_time(), now)});
  }
  app.PrintText(table.Render(app.out_color()));
  return absl::OkStatus();
}

absl::Status GetModel(App& app, const Session& session, const CatalogFlags& flags) {
  v1::GetModelRequest request;
  request.set_name(QualifiedName("models", flags.id));
  v1::Model model;
  NS_RETURN_IF_ERROR(CallUnary(session, session.server.models(), &v1::ModelService::Stub::GetModel, request, &model));
  if (app.flags().json) {
    app.PrintJson(ToJson(model));
    return absl::OkStatus();
  }
  Table table({{""}, {""}});
  table.AddRow({"model", model.name()});
  table.AddRow({"kind", KindName(model.kind())});
  if (model.kind() == v1::Model::DATA) {
    table.AddRow({"size", FormatBytes(static_cast<double>(model.total_bytes()))});
  } else {
    table.AddRow({"architecture", model.architecture()});
    table.AddRow({"parameters", FormatCount(static_cast<double>(model.parameter_count()))});
    table.AddRow({"tensors", std::to_string(model.tensor_count())});
    table.AddRow({"weight files", FormatBytes(static_cast<double>(model.weight_bytes()))});
  }
  table.AddRow({"digest", ToHex(model.manifest_digest().sha256())});
  table.AddRow({"created", FormatTime(model.create_time())});
  for (const auto& [key, value] : model.labels()) table.AddRow({"label", key + "=" + value});
  app.PrintText(table.Render(app.out_color()) + "\n" + FilesTable(model.files(), app.out_color()));
  return absl::OkStatus();
}

absl::Status DeleteModel(App& app, const Session& session, const CatalogFlags& flags) {
  v1::DeleteModelRequest request;
  request.set_name(QualifiedName("models", flags.id));
  google::protobuf::Empty empty;
  NS_RETURN_IF_ERROR(
      CallUnary(session, session.server.models(), &v1::ModelService::Stub::DeleteModel, request, &empty));
  if (app.flags().json) app.PrintJson({{"deleted", request.name()}});
  app.Say("deleted " + request.name());
  return absl::OkStatus();
}

absl::Status ListArtifacts(App& app, const Session& session, const CatalogFlags& flags) {
  const auto call = [&](const v1::ListArtifactsRequest& page, v1::ListArtifactsResponse* response) {
    return CallUnary(session, session.server.artifacts(), &v1::ArtifactService::Stub::ListArtifacts, page, response);
  };
  NS_ASSIGN_OR_RETURN(const auto artifacts,
                      (ListPages<v1::Artifact, v1::ListArtifactsRequest, v1::ListArtifactsResponse>(
                          {}, flags.limit, call, [](const auto& r) { return r.artifacts(); })));
  if (app.flags().json) {
    nlohmann::json list = nlohmann::json::array();
    for (const v1::Artifact& artifact : artifacts) list.push_back(ToJson(artifact));
    app.PrintJson({{"artifacts", list}});
    return absl::OkStatus();
  }
  // Not the job too: two such names and a model's do not fit side by side. `artifacts get` has it.
  const std::time_t now = std::time(nullptr);
  const auto right = Table::Align::kRight;
  Table table({{.title = "ARTIFACT", .whole = true}, {"MODEL"}, {"FORMAT"}, {"SIZE", right}, {"AGE", right}});
  for (const v1::Artifact& artifact : artifacts) {
    table.AddRow({IdOf(artifact.name()), IdOf(artifact.model()), artifact.format(),
                  FormatBytes(static_cast<double>(artifact.total_bytes())), FormatAge(artifact.create_time(), now)});
  }
  app.PrintText(table.Render(app.out_color()));
  return absl::OkStatus();
}

absl::Status ShowArtifact(App& app, const Session& session, const CatalogFlags& flags) {
  NS_ASSIGN_OR_RETURN(const v1::Artifact artifact, GetArtifact(session, QualifiedName("artifacts", flags.id)));
  if (app.flags().json) {
    app.PrintJson(ToJson(artifact));
    return absl::OkStatus();
  }
  Table table({{""}, {""}});
  table.AddRow({"artifact", artifact.name()});
  table.AddRow({"job", artifact.job()});
  table.AddRow({"model", artifact.model()});
  table.AddRow({"format", artifact.format()});
  table.AddRow({"created", FormatTime(artifact.create_time())});
  app.PrintText(table.Render(app.out_color()) + "\n" + FilesTable(artifact.files(), app.out_color()));
  return absl::OkStatus();
}

absl::Status DeleteArtifact(App& app, const Session& session, const CatalogFlags& flags) {
  v1::DeleteArtifactRequest request;
  request.set_name(QualifiedName("artifacts", flags.id));
  google::protobuf::Empty empty;
  NS_RETURN_IF_ERROR(
      CallUnary(session, session.server.artifacts(), &v1::ArtifactService::Stub::DeleteArtifact, request, &empty));
  if (app.flags().json) app.PrintJson({{"deleted", request.name()}});
  app.Say("deleted " + request.name());
  return absl::OkStatus();
}

void AddGroup(App& app, const std::string& name, const std::string& one, const std::string& description, Action list,
              Action get, Action remove) {
  CLI::App* group = app.AddCommand(&app.root(), name, description,
                                   "Examples:\n  nashswarm " + name + " list --server host:port\n  nashswarm " + name +
                                       " get ID --json --server host:port");
  group->require_subcommand(1);
  const auto flags = std::make_shared<CatalogFlags>();
  const auto add = [&](const std::string& verb, const std::string& help, Action action) {
    CLI::App* command = app.AddCommand(group, verb, help, "");
    command->callback([&app, flags, action] {
      app.SetAction([&app, flags, action] {
        return app.WithServer([&](const Session& session) { return action(app, session, *flags); });
      });
    });
    return command;
  };
  add("list", "List " + name, list)
      ->add_option("--limit", flags->limit, "At most so many; 0: all")
      ->type_name("N")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  add("get", "Show one " + one, get)->add_option("ID", flags->id, "Its name or id")->required()->type_name("ID");
  add("delete", "Delete one " + one, remove)
      ->add_option("ID", flags->id, "Its name or id")
      ->required()
      ->type_name("ID");
}

}  // namespace

void AddModels(App& app) {
  AddGroup(app, "models", "model", "Look at and delete pushed models and data files", ListModels, GetModel, DeleteModel);
}

void AddArtifacts(App& app) {
  AddGroup(app, "artifacts", "artifact", "Look at and delete artifacts", ListArtifacts, ShowArtifact, DeleteArtifact);
}

}  // namespace nashswarm::cli
