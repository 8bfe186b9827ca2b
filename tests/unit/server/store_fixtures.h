// What the store's tests share: a clock that only moves when told, and short ways to make uploads, models and jobs.
#ifndef NASHSWARM_TESTS_UNIT_SERVER_STORE_FIXTURES_H_
#define NASHSWARM_TESTS_UNIT_SERVER_STORE_FIXTURES_H_

#include <atomic>
#include <functional>
#include <memory>
#include <string>

#include "core/base/file.h"
#include "core/base/hash.h"
#include "core/base/status.h"
#include "gtest/gtest.h"
#include "server/auth/caller.h"
#include "server/store/store.h"

namespace nashswarm::server {

inline constexpr int64_t kSecond = 1000000;
inline constexpr int kMaxLosses = 10;

// A Store with its own storage and a clock the test moves.
struct JobStoreUnderTest {
  std::unique_ptr<TemporaryDirectory> directory;
  std::shared_ptr<std::atomic<int64_t>> clock = std::make_shared<std::atomic<int64_t>>(1'000'000'000'000'000);
  std::unique_ptr<Store> store;
  // Opens the same storage again, as a new process would.
  std::function<std::unique_ptr<Store>()> reopen;

  // Told whenever the clock was moved; may be empty.
  std::function<void(int64_t)> clock_moved;

  void Advance(int64_t micros) {
    *clock += micros;
    if (clock_moved) clock_moved(*clock);
  }
};
using JobStoreFactory = std::function<JobStoreUnderTest()>;

template <typename T>
T Must(absl::StatusOr<T> value) {
  EXPECT_TRUE(value.ok()) << value.status();
  return value.ok() ? *std::move(value) : T();
}

inline BlobDigest DigestOf(const std::string& content) {
  return {Sha256Of(content), static_cast<int64_t>(content.size())};
}

// Publishes a model with one file of this content.
inline v1::Model MakeModel(Store& store, const std::string& id, const std::string& content,
                           v1::Model::Kind kind = v1::Model::CHECKPOINT) {
  const BlobDigest digest = DigestOf(content);
  EXPECT_TRUE(store.RegisterBlob(digest).ok());
  NewUpload upload;
  upload.tenant = kDefaultTenant;
  upload.model_id = id;
  upload.kind = kind;
  upload.ttl_us = 1000 * kSecond;
  upload.files = {{"w.bin", digest.size_bytes, digest.sha256, true}};
  const v1::Upload created = Must(store.CreateUpload(upload));
  NewModel model;
  model.id = id;
  model.kind = kind;
  model.manifest = DigestOf("manifest " + content);
  return Must(store.PublishModel(kDefaultTenant, created.name().substr(8), model));
}

inline v1::Model MakeData(Store& store, const std::string& id, const std::string& content) {
  return MakeModel(store, id, content, v1::Model::DATA);
}

inline absl::StatusOr<v1::Job> CreateJobWith(Store& store, const std::string& model,
                                             const v1::CompressionSpec& spec) {
  JobStore::NewJob job;
  job.tenant = kDefaultTenant;
  job.model_id = model;
  job.spec = spec;
  job.max_queued_jobs = 100;
  job.first_task = {v1::Job::PREPARE, 0};
  return store.CreateJob(job);
}

inline std::string MakeJob(Store& store, const std::string& model, int max_attempts = 3, int priority = 5) {
  JobStore::NewJob job;
  job.tenant = kDefaultTenant;
  job.model_id = model;
  job.spec.set_bits_per_weight(4);
  job.priority = priority;
  job.max_attempts = max_attempts;
  job.max_queued_jobs = 100;
  job.first_task = {v1::Job::PREPARE, 0};
  return Must(store.CreateJob(job)).name().substr(5);
}

}  // namespace nashswarm::server

#endif  // NASHSWARM_TESTS_UNIT_SERVER_STORE_FIXTURES_H_
