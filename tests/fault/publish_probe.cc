// publish_probe OPERATION ROOT CONTENT ATTEMPT: makes the bytes of the file CONTENT durable below ROOT in one of the ways the
// server and the tools use ("has" only asks for them), and prints "ok" or "error REASON". Run under faults.c; fault_test.py knows the final names.
#include <iostream>
#include <memory>
#include <string>

#include "core/base/file.h"
#include "core/base/hash.h"
#include "core/base/status.h"
#include "server/store/directory_blob_store.h"

namespace nashswarm::server {
namespace {

struct Request {
  std::string operation, root, content, attempt;
};

absl::StatusOr<StagedPart> Stage(BlobStore& store, const std::string& key, std::string_view content) {
  NS_ASSIGN_OR_RETURN(const std::unique_ptr<StagedWriter> writer, store.CreateStaged(key));
  // In two pieces, so that a short write is not the only reason for two calls.
  const size_t half = content.size() / 2;
  NS_RETURN_IF_ERROR(writer->Append(absl::MakeConstSpan(content.data(), half)));
  NS_RETURN_IF_ERROR(writer->Append(absl::MakeConstSpan(content.data() + half, content.size() - half)));
  NS_RETURN_IF_ERROR(writer->Sync());
  return StagedPart{key, static_cast<int64_t>(content.size())};
}

// An engine's output, which nobody has synced.
absl::Status Put(BlobStore& store, const Request& request, const BlobDigest& digest) {
  const std::string output = JoinPath(request.root, "work/output");
  NS_RETURN_IF_ERROR(WriteFileUnsynced(output, request.content));
  return store.PutFile(output, digest);
}

absl::StatusOr<std::vector<StagedPart>> StageAll(BlobStore& store, const Request& request, int parts) {
  std::vector<StagedPart> staged;
  const size_t size = request.content.size() / static_cast<size_t>(parts) + 1;
  for (int i = 0; i < parts; ++i) {
    const std::string key = absl::StrCat("u1/part-", request.attempt, "-", i);
    NS_ASSIGN_OR_RETURN(StagedPart part, Stage(store, key, std::string_view(request.content).substr(i * size, size)));
    staged.push_back(std::move(part));
  }
  return staged;
}

// Parts that an earlier process has staged: their names and sizes came out of the database.
std::vector<StagedPart> Earlier(const Request& request, int parts) {
  std::vector<StagedPart> staged;
  const int64_t total = static_cast<int64_t>(request.content.size()), size = total / parts + 1;
  for (int i = 0; i < parts; ++i) staged.push_back({absl::StrCat("u1/part-stage-", i), std::min(size, total - i * size)});
  return staged;
}

absl::Status Run(const Request& request) {
  const std::string final_path = JoinPath(request.root, "work/final");
  if (request.operation == "write") return WriteFileDurably(final_path, request.content);
  if (request.operation == "rename") {
    NS_RETURN_IF_ERROR(WriteFileDurably(JoinPath(request.root, "work/before"), request.content));
    return DurableRename(JoinPath(request.root, "work/before"), final_path);
  }
  NS_ASSIGN_OR_RETURN(const auto store, DirectoryBlobStore::OpenAt(JoinPath(request.root, "store")));
  const BlobDigest digest{Sha256Of(request.content), static_cast<int64_t>(request.content.size())};
  if (request.operation == "has") {
    NS_ASSIGN_OR_RETURN(const bool there, store->Has(digest.sha256));
    return there ? absl::OkStatus() : MakeError(absl::StatusCode::kNotFound, "ABSENT", "");
  }
  if (request.operation == "put") return Put(*store, request, digest);
  const int parts = request.operation.back() - '0';
  if (request.operation.starts_with("stage")) return StageAll(*store, request, parts).status();
  if (request.operation.starts_with("retry")) {  // in the same process, as a client's second call would
    const absl::Status first = store->CommitStaged(Earlier(request, parts), digest);
    return first.ok() ? first : store->CommitStaged(Earlier(request, parts), digest);
  }
  if (request.operation.starts_with("commit")) return store->CommitStaged(Earlier(request, parts), digest);
  NS_ASSIGN_OR_RETURN(const std::vector<StagedPart> staged, StageAll(*store, request, parts));  // "upload"
  return store->CommitStaged(staged, digest);
}

}  // namespace
}  // namespace nashswarm::server

int main(int argc, char** argv) {
  if (argc != 5) return 2;
  const auto content = nashswarm::ReadFile(argv[3]);
  if (!content.ok()) return 2;
  const absl::Status status = nashswarm::server::Run({argv[1], argv[2], *content, argv[4]});
  std::cout << (status.ok() ? "ok" : "error " + nashswarm::ReasonOf(status)) << std::endl;
  return 0;
}
