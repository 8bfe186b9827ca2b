// Load on a nashswarmd: many watchers, uploads and queued jobs at once, and what one upload reaches of what the machine can
// do. Prints one JSON object; tests/load/run.py starts the servers and prints the table.
//
//   load sink                                             a server that receives uploads and drops them; prints its port
//   load upload ADDRESS BYTES                             one file, one stream; {"seconds", "bytes"}
//   load crowd ADDRESS PID MODEL WATCHERS UPLOADS JOBS    {"calls": {...}, "errors": {...}, ...}
#include <grpcpp/grpcpp.h>
#include <isa-l/crc.h>
#include <openssl/sha.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <fstream>
#include <iostream>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "nashswarm/v1/nashswarm.grpc.pb.h"
#include "nlohmann/json.hpp"

namespace {

namespace v1 = nashswarm::v1;
using Clock = std::chrono::steady_clock;
using Json = nlohmann::json;

constexpr size_t kChunkBytes = 1 << 20;

double SecondsSince(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

std::shared_ptr<grpc::Channel> Connect(const std::string& address) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);  // a connection of its own
  arguments.SetMaxReceiveMessageSize(64 << 20);
  return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
}

// Latencies of unary calls by method, and errors by code and message.
class Tally {
 public:
  void Call(const std::string& method, double seconds, const grpc::Status& status) {
    std::lock_guard<std::mutex> lock(mutex_);
    seconds_[method].push_back(seconds);
    Count(status);
  }
  void Error(const grpc::Status& status) {
    std::lock_guard<std::mutex> lock(mutex_);
    Count(status);
  }
  Json Report() {
    std::lock_guard<std::mutex> lock(mutex_);
    Json report = {{"calls", Json::object()}, {"errors", errors_}};
    for (auto& [method, seconds] : seconds_) {
      std::sort(seconds.begin(), seconds.end());
      const auto at = [&](double share) { return seconds[static_cast<size_t>(share * (seconds.size() - 1))] * 1e3; };
      report["calls"][method] = {{"count", seconds.size()}, {"p50_ms", at(0.5)}, {"p99_ms", at(0.99)}, {"max_ms", at(1)}};
    }
    return report;
  }

 private:
  void Count(const grpc::Status& status) {
    if (!status.ok()) ++errors_[std::to_string(status.error_code()) + " " + status.error_message()];
  }
  std::mutex mutex_;
  std::map<std::string, std::vector<double>> seconds_;
  std::map<std::string, int> errors_;
};

template <typename Stub, typename Request, typename Response>
grpc::Status Call(Tally& tally, const std::string& name, Stub& stub,
                  grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*), const Request& request,
                  Response* response) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
  const auto start = Clock::now();
  const grpc::Status status = (stub.*method)(&context, request, response);
  tally.Call(name, SecondsSince(start), status);
  return status;
}

// Bytes that no other upload has, or the server would not want them.
std::string Noise(uint64_t seed) {
  std::string bytes(kChunkBytes, '\0');
  for (char& byte : bytes) {
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    byte = static_cast<char>(seed >> 56);
  }
  return bytes;
}

// Sends a DATA file of so many bytes, the same chunk again and again; the time of the stream alone.
double Upload(const std::string& address, int64_t bytes, uint64_t seed, Tally& tally, bool complete) {
  const auto stub = v1::UploadService::NewStub(Connect(address));
  v1::WriteFileRequest chunk;
  chunk.mutable_chunk()->set_data(Noise(seed));
  const std::string& data = chunk.chunk().data();
  chunk.mutable_chunk()->set_crc32c(
      ~crc32_iscsi(reinterpret_cast<unsigned char*>(const_cast<char*>(data.data())), static_cast<int>(data.size()), ~0u));
  const int64_t chunks = bytes / static_cast<int64_t>(kChunkBytes);
  SHA256_CTX hash;
  SHA256_Init(&hash);
  for (int64_t i = 0; i < chunks; ++i) SHA256_Update(&hash, data.data(), data.size());
  std::string digest(32, '\0');
  SHA256_Final(reinterpret_cast<unsigned char*>(digest.data()), &hash);

  v1::CreateUploadRequest create;
  create.set_kind(v1::Model::DATA);
  v1::FileEntry* file = create.add_files();
  file->set_path("noise.txt");
  file->mutable_digest()->set_size_bytes(chunks * static_cast<int64_t>(kChunkBytes));
  v1::Upload upload;
  if (!Call(tally, "CreateUpload", *stub, &v1::UploadService::Stub::CreateUpload, create, &upload).ok()) return 0;

  grpc::ClientContext context;
  v1::WriteFileResponse response;
  const auto start = Clock::now();
  const auto writer = stub->WriteFile(&context, &response);
  v1::WriteFileRequest message;
  message.mutable_header()->set_upload(upload.name());
  message.mutable_header()->set_path("noise.txt");
  bool going = writer->Write(message);
  for (int64_t i = 0; i < chunks && going; ++i) going = writer->Write(chunk);
  message.mutable_finish()->set_sha256(digest);
  message.mutable_finish()->set_size_bytes(file->digest().size_bytes());
  if (going) writer->Write(message);
  writer->WritesDone();
  const grpc::Status status = writer->Finish();
  const double seconds = SecondsSince(start);
  tally.Error(status);
  if (complete && status.ok()) {
    v1::CompleteUploadRequest request;
    request.set_name(upload.name());
    v1::Model model;
    Call(tally, "CompleteUpload", *stub, &v1::UploadService::Stub::CompleteUpload, request, &model);
  }
  return seconds;
}

class Sink : public v1::UploadService::Service {
  grpc::Status CreateUpload(grpc::ServerContext*, const v1::CreateUploadRequest*, v1::Upload* upload) override {
    upload->set_name("uploads/sink");
    return grpc::Status::OK;
  }
  grpc::Status WriteFile(grpc::ServerContext*, grpc::ServerReader<v1::WriteFileRequest>* reader,
                         v1::WriteFileResponse*) override {
    v1::WriteFileRequest message;
    while (reader->Read(&message)) {
    }
    return grpc::Status::OK;
  }
};

int RunSink() {
  Sink sink;
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(&sink);
  const auto server = builder.BuildAndStart();
  std::cout << port << std::endl;
  server->Wait();
  return 0;
}

int64_t ResidentKiB(int pid) {
  std::ifstream in("/proc/" + std::to_string(pid) + "/status");
  for (std::string word; in >> word;) {
    int64_t value = 0;
    if (word == "VmRSS:" && in >> value) return value;
  }
  return 0;
}

struct Crowd {
  std::string address, model;
  int pid = 0, watchers = 0, uploads = 0, jobs = 0;
};

Json RunCrowd(const Crowd& crowd) {
  Tally tally;
  const auto channel = Connect(crowd.address);
  const auto jobs = v1::JobService::NewStub(channel);
  std::vector<std::string> names;
  for (int i = 0; i < crowd.jobs; ++i) {
    v1::CreateJobRequest create;
    create.set_model(crowd.model);
    create.mutable_spec()->set_bits_per_weight(4);
    v1::Job job;
    if (Call(tally, "CreateJob", *jobs, &v1::JobService::Stub::CreateJob, create, &job).ok()) names.push_back(job.name());
  }

  const int64_t before = ResidentKiB(crowd.pid);
  std::atomic<bool> stop{false};
  std::atomic<int64_t> events{0};
  std::mutex mutex;
  std::vector<grpc::ClientContext*> watching;
  std::vector<std::thread> threads;
  for (int i = 0; i < crowd.watchers; ++i) {
    threads.emplace_back([&, i] {
      const auto stub = v1::JobService::NewStub(Connect(crowd.address));
      grpc::ClientContext context;
      {
        std::lock_guard<std::mutex> lock(mutex);
        watching.push_back(&context);
      }
      v1::WatchJobRequest request;
      request.set_name(names[static_cast<size_t>(i) * names.size() / static_cast<size_t>(crowd.watchers)]);
      const auto reader = stub->WatchJob(&context, request);
      for (v1::JobEvent event; reader->Read(&event);) ++events;
      const grpc::Status status = reader->Finish();
      if (!stop) tally.Error(status);
      std::lock_guard<std::mutex> lock(mutex);
      std::erase(watching, &context);
    });
  }
  while (events < crowd.watchers) std::this_thread::sleep_for(std::chrono::milliseconds(10));  // a snapshot each
  const int64_t after = ResidentKiB(crowd.pid);

  constexpr int64_t kUploadBytes = 32 << 20;
  const auto start = Clock::now();
  std::atomic<int> uploading{crowd.uploads};
  std::vector<std::thread> uploads;
  for (int i = 0; i < crowd.uploads; ++i) {
    uploads.emplace_back([&, i] {
      Upload(crowd.address, kUploadBytes, static_cast<uint64_t>(i + 1), tally, /*complete=*/true);
      --uploading;
    });
  }
  const auto models = v1::ModelService::NewStub(channel);
  for (size_t i = 0; uploading > 0; ++i) {  // what people do meanwhile
    v1::GetJobRequest get;
    get.set_name(names[i * 7919 % names.size()]);
    v1::Job job;
    Call(tally, "GetJob", *jobs, &v1::JobService::Stub::GetJob, get, &job);
    v1::ListJobsRequest list;
    v1::ListJobsResponse page;
    if (i % 10 == 0) Call(tally, "ListJobs", *jobs, &v1::JobService::Stub::ListJobs, list, &page);
    v1::GetModelRequest get_model;
    get_model.set_name(crowd.model);
    v1::Model model;
    Call(tally, "GetModel", *models, &v1::ModelService::Stub::GetModel, get_model, &model);
  }
  for (std::thread& thread : uploads) thread.join();
  const double seconds = SecondsSince(start);
  stop = true;
  {
    std::lock_guard<std::mutex> lock(mutex);
    for (grpc::ClientContext* context : watching) context->TryCancel();
  }
  for (std::thread& thread : threads) thread.join();

  Json report = tally.Report();
  report["jobs"] = names.size();
  report["events"] = events.load();
  report["kib_per_watcher"] = static_cast<double>(after - before) / crowd.watchers;
  report["upload_mb_per_second"] = static_cast<double>(crowd.uploads) * kUploadBytes / 1e6 / seconds;
  return report;
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  if (words.size() == 1 && words[0] == "sink") return RunSink();
  if (words.size() == 3 && words[0] == "upload") {
    Tally tally;
    const int64_t bytes = std::stoll(words[2]);
    const double seconds = Upload(words[1], bytes, static_cast<uint64_t>(getpid()), tally, /*complete=*/false);
    std::cout << Json{{"seconds", seconds}, {"bytes", bytes}, {"errors", tally.Report()["errors"]}} << std::endl;
    return 0;
  }
  if (words.size() == 7 && words[0] == "crowd") {
    const Crowd crowd{words[1],           words[3],           std::stoi(words[2]),
                      std::stoi(words[4]), std::stoi(words[5]), std::stoi(words[6])};
    std::cout << RunCrowd(crowd) << std::endl;
    return 0;
  }
  std::cerr << "see the head of tests/load/load.cc\n";
  return 2;
}
