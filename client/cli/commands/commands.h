// One function a command or group of commands: adds it to the tree, with its flags and its action.
#ifndef NASHSWARM_CLIENT_CLI_COMMANDS_COMMANDS_H_
#define NASHSWARM_CLIENT_CLI_COMMANDS_COMMANDS_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "client/cli/rpc.h"
#include "nashswarm/v1/nashswarm.pb.h"

namespace nashswarm::cli {

class App;

void AddCompress(App& app);
void AddPush(App& app);
void AddSubmit(App& app);
void AddJobs(App& app);
void AddPull(App& app);
void AddReport(App& app);
void AddModels(App& app);
void AddArtifacts(App& app);
void AddEngineCommands(App& app);
void AddServer(App& app);
void AddCompletion(App& app);

// ---- shared by several commands ----

// A directory as the user names it: itself, or that of a model of the hub ("hf://ORG/NAME"), which is downloaded.
absl::StatusOr<std::string> LocalDirectory(App& app, const std::string& name);

// "k=v" pairs; USAGE for anything else.
absl::StatusOr<std::map<std::string, std::string>> ParseLabels(const std::vector<std::string>& labels);
absl::StatusOr<v1::Job> CreateJob(const Session& session, const std::string& model, const v1::CompressionSpec& spec,
                                  const std::map<std::string, std::string>& labels);
absl::StatusOr<v1::Job> GetJob(const Session& session, const std::string& name);
absl::StatusOr<v1::Artifact> GetArtifact(const Session& session, const std::string& name);
// The artifact, or that of the job, which `name` or bare id names.
absl::StatusOr<v1::Artifact> FindArtifact(const Session& session, const std::string& name);
// Follows the job, and says on Ctrl-C how to come back.
absl::StatusOr<v1::Job> WatchOrDetach(const Session& session, const std::string& job);
// Facts about a job, one a line.
std::string DescribeJob(const v1::Job& job, bool color);

// A random UUID, for requests that must happen once however often they are sent.
std::string NewRequestId();

// Every page of a listing, or the newest `limit` entries (0: all). `call` fetches one page, `items` gives its list.
template <typename Item, typename Request, typename Response, typename Call, typename Items>
absl::StatusOr<std::vector<Item>> ListPages(Request request, int64_t limit, const Call& call, const Items& items) {
  constexpr int64_t kPage = 1000;  // the API's largest
  std::vector<Item> all;
  while (true) {
    const int64_t left = limit == 0 ? kPage : limit - static_cast<int64_t>(all.size());
    request.set_page_size(static_cast<int32_t>(left < kPage ? left : kPage));
    Response response;
    if (const absl::Status status = call(request, &response); !status.ok()) return status;
    for (const auto& item : items(response)) all.push_back(item);
    const bool enough = limit != 0 && static_cast<int64_t>(all.size()) >= limit;
    if (enough || response.next_page_token().empty()) return all;
    request.set_page_token(response.next_page_token());
  }
}

}  // namespace nashswarm::cli

#endif  // NASHSWARM_CLIENT_CLI_COMMANDS_COMMANDS_H_
