// A nashswarm server in memory, in this process, on a port of its own choice, that loses connections and damages bytes
// when a test says so.
#ifndef NASHSWARM_TESTS_UNIT_CLIENT_FAKE_SERVER_H_
#define NASHSWARM_TESTS_UNIT_CLIENT_FAKE_SERVER_H_

#include <grpcpp/grpcpp.h>

#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "client/cli/digest.h"
#include "nashswarm/v1/nashswarm.grpc.pb.h"
#include "tests/unit/client/seen_metadata.h"

namespace nashswarm::cli {

inline grpc::Status FakeError(grpc::StatusCode code, const std::string& reason, const std::string& message,
                              const std::string& hint = "") {
  v1::ErrorInfo info;
  info.set_reason(reason);
  info.set_domain("nashswarm");
  (*info.mutable_metadata())["hint"] = hint;
  v1::Error error;
  error.set_code(code);
  error.set_message(message);
  auto* detail = error.add_details();
  detail->set_type_url("type.googleapis.com/google.rpc.ErrorInfo");
  detail->set_value(info.SerializeAsString());
  return {code, message, error.SerializeAsString()};
}

struct FakeState {
  std::mutex mutex;

  // ---- what a test arranges ----
  int64_t max_chunk_bytes = 1000;
  std::deque<int64_t> drop_write_after;   // a WriteFile ends with UNAVAILABLE once it has committed so many bytes
  std::deque<grpc::Status> write_errors;  // a WriteFile ends at once with this
  int corrupt_uploads = 0;                // so many finished files are DIGEST_MISMATCH
  std::set<std::string> lost_files;       // these lose their bytes before their upload is complete
  std::deque<grpc::Status> read_errors;   // a ReadFile ends at once with this
  std::deque<int64_t> drop_read_after;    // a ReadFile ends with UNAVAILABLE after so many bytes
  int corrupt_chunks = 0;                 // so many chunks arrive with a wrong checksum
  bool wrong_content = false;             // ReadFile sends other bytes, with right checksums
  std::deque<std::deque<v1::JobEvent>> watches;  // one list a WatchJob; the last ends OK, the others UNAVAILABLE
  std::map<std::string, v1::Job> jobs;
  std::map<std::string, v1::Artifact> artifacts;
  std::map<std::string, std::string> artifact_bytes;  // by path
  grpc::Status complete_error;                        // of every CompleteUpload
  grpc::Status next_error;                            // of the next unary call

  // ---- what a test looks at ----
  std::map<std::string, v1::Upload> uploads;    // by name
  std::map<std::string, v1::CreateUploadRequest> created_uploads;  // by name
  std::map<std::string, v1::Model::Kind> kinds;  // as asked for, by upload
  std::map<std::string, std::string> requests;  // request_id -> upload
  std::map<std::string, std::string> bytes;     // of uploaded files, by path
  std::map<std::string, v1::Model> models;
  std::vector<int64_t> write_offsets;
  std::vector<int64_t> read_offsets;
  std::vector<int64_t> watch_sequences;
  int64_t bytes_received = 0;
  v1::CreateJobRequest created;
  std::vector<std::string> cancelled;

  grpc::Status TakeError() {
    const grpc::Status error = next_error;
    next_error = grpc::Status::OK;
    return error;
  }
};

class FakeUploads final : public v1::UploadService::Service {
 public:
  explicit FakeUploads(FakeState& state) : s_(state) {}

  grpc::Status CreateUpload(grpc::ServerContext*, const v1::CreateUploadRequest* request, v1::Upload* upload) override {
    const std::lock_guard lock(s_.mutex);
    if (const grpc::Status error = s_.TakeError(); !error.ok()) return error;
    std::string& name = s_.requests[request->request_id()];
    if (name.empty()) {
      name = "uploads/u" + std::to_string(s_.uploads.size() + 1);
      v1::Upload& fresh = s_.uploads[name];
      s_.created_uploads[name] = *request;
      fresh.set_name(name);
      fresh.set_state(v1::Upload::ACTIVE);
      s_.kinds[name] = request->kind();
      const std::string chosen = request->kind() == v1::Model::DATA ? "d-" + request->files(0).path() : "m";
      fresh.set_model("models/" + (request->model_id().empty() ? chosen : request->model_id()));
      for (const auto& entry : request->files()) {
        auto* file = fresh.add_files();
        *file->mutable_entry() = entry;
        const std::string& held = s_.bytes[entry.path()];
        if (Sha256Of(held) == entry.digest().sha256()) {
          file->set_complete(true);
          file->set_deduplicated(true);
          file->set_committed_size(static_cast<int64_t>(held.size()));
        } else {
          s_.bytes[entry.path()].clear();
        }
      }
    }
    *upload = s_.uploads[name];
    if (upload->state() != v1::Upload::COMPLETED) upload->clear_model();
    return grpc::Status::OK;
  }

  grpc::Status GetUpload(grpc::ServerContext*, const v1::GetUploadRequest* request, v1::Upload* upload) override {
    const std::lock_guard lock(s_.mutex);
    *upload = s_.uploads[request->name()];
    return grpc::Status::OK;
  }

  grpc::Status WriteFile(grpc::ServerContext*, grpc::ServerReader<v1::WriteFileRequest>* reader,
                         v1::WriteFileResponse* response) override {
    v1::WriteFileRequest message;
    if (!reader->Read(&message) || !message.has_header()) return {grpc::StatusCode::INVALID_ARGUMENT, "no header"};
    const std::lock_guard lock(s_.mutex);
    if (!s_.write_errors.empty()) {
      const grpc::Status error = s_.write_errors.front();
      s_.write_errors.pop_front();
      return error;
    }
    v1::Upload::File* file = Find(message.header().upload(), message.header().path());
    std::string& held = s_.bytes[message.header().path()];
    s_.write_offsets.push_back(message.header().write_offset());
    if (message.header().write_offset() != file->committed_size()) {
      return FakeError(grpc::StatusCode::ABORTED, "OFFSET_MISMATCH", "wrong offset");
    }
    int64_t drop_after = -1;
    if (!s_.drop_write_after.empty()) {
      drop_after = s_.drop_write_after.front();
      s_.drop_write_after.pop_front();
    }
    int64_t taken = 0;
    while (reader->Read(&message)) {
      if (message.has_finish()) return Finish(message.finish(), file, &held, response);
      const std::string& data = message.chunk().data();
      if (Crc32c(data) != message.chunk().crc32c()) return FakeError(grpc::StatusCode::DATA_LOSS, "CHUNK_CORRUPT", "");
      if (static_cast<int64_t>(data.size()) > s_.max_chunk_bytes) {
        return FakeError(grpc::StatusCode::INVALID_ARGUMENT, "CHUNK_TOO_LARGE", "too large");
      }
      held += data;
      taken += static_cast<int64_t>(data.size());
      s_.bytes_received += static_cast<int64_t>(data.size());
      file->set_committed_size(static_cast<int64_t>(held.size()));
      if (drop_after >= 0 && taken >= drop_after) return {grpc::StatusCode::UNAVAILABLE, "connection reset"};
    }
    return {grpc::StatusCode::UNAVAILABLE, "client went away"};
  }

  grpc::Status CompleteUpload(grpc::ServerContext*, const v1::CompleteUploadRequest* request,
                              v1::Model* model) override {
    const std::lock_guard lock(s_.mutex);
    if (!s_.complete_error.ok()) return s_.complete_error;
    v1::Upload& upload = s_.uploads[request->name()];
    for (auto& file : *upload.mutable_files()) {
      if (s_.lost_files.erase(file.entry().path()) == 0) continue;
      file.set_complete(false);
      file.set_committed_size(0);
      s_.bytes[file.entry().path()].clear();
      return FakeError(grpc::StatusCode::FAILED_PRECONDITION, "UPLOAD_INCOMPLETE", "it is gone");
    }
    for (const auto& file : upload.files()) {
      if (!file.complete()) return FakeError(grpc::StatusCode::FAILED_PRECONDITION, "INCOMPLETE", "not whole");
      *model->add_files() = file.entry();
    }
    upload.set_state(v1::Upload::COMPLETED);
    model->set_name(upload.model());
    model->set_kind(s_.kinds[request->name()]);
    if (model->kind() == v1::Model::DATA) {
      model->set_total_bytes(model->files(0).digest().size_bytes());
    } else {
      model->set_architecture("gpt2");
      model->set_parameter_count(1000);
    }
    s_.models[model->name()] = *model;
    return grpc::Status::OK;
  }

 private:
  v1::Upload::File* Find(const std::string& upload, const std::string& path) {
    for (auto& file : *s_.uploads[upload].mutable_files()) {
      if (file.entry().path() == path) return &file;
    }
    return nullptr;
  }

  grpc::Status Finish(const v1::Digest& digest, v1::Upload::File* file, std::string* held,
                      v1::WriteFileResponse* response) {
    if (s_.corrupt_uploads > 0 || Sha256Of(*held) != digest.sha256()) {
      --s_.corrupt_uploads;
      held->clear();
      file->set_committed_size(0);
      return FakeError(grpc::StatusCode::DATA_LOSS, "DIGEST_MISMATCH", "the digest does not match");
    }
    *file->mutable_entry()->mutable_digest() = digest;
    file->set_complete(true);
    response->set_complete(true);
    response->set_committed_size(file->committed_size());
    return grpc::Status::OK;
  }

  FakeState& s_;
};

class FakeModels final : public v1::ModelService::Service {
 public:
  explicit FakeModels(FakeState& state) : s_(state) {}
  grpc::Status GetModel(grpc::ServerContext*, const v1::GetModelRequest* request, v1::Model* model) override {
    const std::lock_guard lock(s_.mutex);
    if (s_.models.count(request->name()) == 0) {
      return FakeError(grpc::StatusCode::NOT_FOUND, "MODEL_NOT_FOUND", "no such model", "nashswarm models list");
    }
    *model = s_.models[request->name()];
    return grpc::Status::OK;
  }
  // Pages of one, whatever is asked: a client must follow the token.
  grpc::Status ListModels(grpc::ServerContext*, const v1::ListModelsRequest* request,
                          v1::ListModelsResponse* response) override {
    const std::lock_guard lock(s_.mutex);
    auto next = s_.models.upper_bound(request->page_token());
    if (next == s_.models.end()) return grpc::Status::OK;
    *response->add_models() = next->second;
    if (std::next(next) != s_.models.end()) response->set_next_page_token(next->first);
    return grpc::Status::OK;
  }

 private:
  FakeState& s_;
};

class FakeJobs final : public v1::JobService::Service {
 public:
  explicit FakeJobs(FakeState& state) : s_(state) {}
  grpc::Status CreateJob(grpc::ServerContext*, const v1::CreateJobRequest* request, v1::Job* job) override {
    const std::lock_guard lock(s_.mutex);
    if (const grpc::Status error = s_.TakeError(); !error.ok()) return error;
    s_.created = *request;
    job->set_name("jobs/j");
    job->set_model(request->model());
    *job->mutable_spec() = request->spec();
    job->set_state(v1::Job::QUEUED);
    return grpc::Status::OK;
  }
  grpc::Status GetJob(grpc::ServerContext*, const v1::GetJobRequest* request, v1::Job* job) override {
    const std::lock_guard lock(s_.mutex);
    if (const grpc::Status error = s_.TakeError(); !error.ok()) return error;
    if (s_.jobs.count(request->name()) == 0) {
      return FakeError(grpc::StatusCode::NOT_FOUND, "JOB_NOT_FOUND", "there is no " + request->name(),
                       "nashswarm jobs list");
    }
    *job = s_.jobs[request->name()];
    return grpc::Status::OK;
  }
  grpc::Status ListJobs(grpc::ServerContext*, const v1::ListJobsRequest*, v1::ListJobsResponse* response) override {
    const std::lock_guard lock(s_.mutex);
    for (const auto& [name, job] : s_.jobs) *response->add_jobs() = job;
    return grpc::Status::OK;
  }
  grpc::Status CancelJob(grpc::ServerContext*, const v1::CancelJobRequest* request, v1::Job* job) override {
    const std::lock_guard lock(s_.mutex);
    s_.cancelled.push_back(request->name());
    *job = s_.jobs[request->name()];
    return grpc::Status::OK;
  }
  // An empty list of events: silence until the client goes away.
  grpc::Status WatchJob(grpc::ServerContext* context, const v1::WatchJobRequest* request,
                        grpc::ServerWriter<v1::JobEvent>* writer) override {
    std::deque<v1::JobEvent> events;
    bool last = false;
    {
      const std::lock_guard lock(s_.mutex);
      s_.watch_sequences.push_back(request->after_sequence());
      if (s_.watches.empty()) return FakeError(grpc::StatusCode::NOT_FOUND, "JOB_NOT_FOUND", "no such job");
      events = s_.watches.front();
      s_.watches.pop_front();
      last = s_.watches.empty();
    }
    for (const v1::JobEvent& event : events) writer->Write(event);
    while (events.empty() && !context->IsCancelled()) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    return last ? grpc::Status::OK : grpc::Status(grpc::StatusCode::UNAVAILABLE, "connection reset");
  }

 private:
  FakeState& s_;
};

class FakeArtifacts final : public v1::ArtifactService::Service {
 public:
  explicit FakeArtifacts(FakeState& state) : s_(state) {}
  grpc::Status GetArtifact(grpc::ServerContext*, const v1::GetArtifactRequest* request,
                           v1::Artifact* artifact) override {
    const std::lock_guard lock(s_.mutex);
    if (s_.artifacts.count(request->name()) == 0) {
      return FakeError(grpc::StatusCode::NOT_FOUND, "ARTIFACT_NOT_FOUND", "there is no " + request->name());
    }
    *artifact = s_.artifacts[request->name()];
    return grpc::Status::OK;
  }
  grpc::Status ReadFile(grpc::ServerContext*, const v1::ReadFileRequest* request,
                        grpc::ServerWriter<v1::ReadFileResponse>* writer) override {
    constexpr size_t kPiece = 700;
    const std::lock_guard lock(s_.mutex);
    s_.read_offsets.push_back(request->read_offset());
    if (!s_.read_errors.empty()) {
      const grpc::Status error = s_.read_errors.front();
      s_.read_errors.pop_front();
      return error;
    }
    const bool of_model = request->name().rfind("models/", 0) == 0;
    std::string content = of_model ? s_.bytes[request->path()] : s_.artifact_bytes[request->path()];
    if (request->read_limit() > 0) {
      content = content.substr(0, static_cast<size_t>(request->read_offset() + request->read_limit()));
    }
    if (s_.wrong_content) content.assign(content.size(), 'x');
    int64_t drop_after = -1;
    if (!s_.drop_read_after.empty()) {
      drop_after = s_.drop_read_after.front();
      s_.drop_read_after.pop_front();
    }
    int64_t sent = 0;
    for (size_t at = static_cast<size_t>(request->read_offset()); at < content.size(); at += kPiece) {
      v1::ReadFileResponse response;
      response.set_data(content.substr(at, kPiece));
      const bool corrupt = s_.corrupt_chunks > 0;
      if (corrupt) --s_.corrupt_chunks;
      response.set_crc32c(Crc32c(response.data()) ^ (corrupt ? 1u : 0u));
      writer->Write(response);
      sent += static_cast<int64_t>(response.data().size());
      if (drop_after >= 0 && sent >= drop_after) return {grpc::StatusCode::UNAVAILABLE, "connection reset"};
    }
    return grpc::Status::OK;
  }

 private:
  FakeState& s_;
};

class FakeInfo final : public v1::InfoService::Service {
 public:
  explicit FakeInfo(FakeState& state) : s_(state) {}
  grpc::Status GetServerInfo(grpc::ServerContext*, const v1::GetServerInfoRequest*, v1::ServerInfo* info) override {
    const std::lock_guard lock(s_.mutex);
    if (const grpc::Status error = s_.TakeError(); !error.ok()) return error;
    info->set_version("fake");
    info->mutable_limits()->set_max_chunk_bytes(s_.max_chunk_bytes);
    auto* format = info->add_formats();
    format->set_name("Q6_K");
    format->set_bits_per_weight(6.5625);
    format->set_block_weights(256);
    info->add_artifact_formats("gguf");
    info->add_architectures("gpt2");
    return grpc::Status::OK;
  }

 private:
  FakeState& s_;
};

class FakeServer {
 public:
  FakeServer() : uploads_(state), models_(state), jobs_(state), artifacts_(state), info_(state) {
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(&uploads_);
    builder.RegisterService(&models_);
    builder.RegisterService(&jobs_);
    builder.RegisterService(&artifacts_);
    builder.RegisterService(&info_);
    std::vector<std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>> interceptors;
    interceptors.push_back(std::make_unique<SeenMetadata>(&calls));
    builder.experimental().SetInterceptorCreators(std::move(interceptors));
    server_ = builder.BuildAndStart();
    address = "127.0.0.1:" + std::to_string(port);
  }
  ~FakeServer() { server_->Shutdown(std::chrono::system_clock::now()); }

  // An artifact of a job that has succeeded.
  void AddArtifact(const std::string& id, const std::map<std::string, std::string>& files,
                   const std::string& format = "gguf") {
    v1::Artifact& artifact = state.artifacts["artifacts/" + id];
    artifact.Clear();
    artifact.set_format(format);
    artifact.set_name("artifacts/" + id);
    for (const auto& [path, content] : files) {
      auto* entry = artifact.add_files();
      entry->set_path(path);
      entry->mutable_digest()->set_sha256(Sha256Of(content));
      entry->mutable_digest()->set_size_bytes(static_cast<int64_t>(content.size()));
      state.artifact_bytes[path] = content;
      artifact.set_total_bytes(artifact.total_bytes() + static_cast<int64_t>(content.size()));
    }
  }

  FakeState state;
  std::string address;
  std::vector<SeenMetadata::Call> calls;

 private:
  FakeUploads uploads_;
  FakeModels models_;
  FakeJobs jobs_;
  FakeArtifacts artifacts_;
  FakeInfo info_;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace nashswarm::cli

#endif  // NASHSWARM_TESTS_UNIT_CLIENT_FAKE_SERVER_H_
