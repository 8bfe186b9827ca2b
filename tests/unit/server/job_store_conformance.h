// What the conformance tests of Stores share: the fixture, and the implementations it runs against. A new store is one
// more factory here.
#ifndef NASHSWARM_TESTS_UNIT_SERVER_JOB_STORE_CONFORMANCE_H_
#define NASHSWARM_TESTS_UNIT_SERVER_JOB_STORE_CONFORMANCE_H_

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "gtest/gtest.h"
#include "server/stages/flow.h"
#include "server/store/sql/sql_store.h"
#include "server/store/sql/sqlite.h"
#include "tests/unit/server/postgres_fixture.h"
#include "tests/unit/server/store_fixtures.h"

namespace nashswarm::server {

inline constexpr int64_t kLease = 60 * kSecond;

class JobStoreConformanceTest : public ::testing::TestWithParam<std::pair<const char*, JobStoreFactory>> {
 protected:
  void SetUp() override {
    if (std::string(GetParam().first) == "postgres") SKIP_WITHOUT_POSTGRES();
    under_test_ = GetParam().second();
  }
  Store& store() { return *under_test_.store; }

  ClaimedTask Claim(const std::string& owner = "w1") {
    const auto task = Must(store().ClaimTask(owner, kLease));
    EXPECT_TRUE(task.has_value());
    return task.value_or(ClaimedTask());
  }
  bool NothingToClaim() { return !Must(store().ClaimTask("w1", kLease)).has_value(); }
  // Ends a task well, as the worker does.
  TaskEnd Finish(const ClaimedTask& task, int shards = 2, std::optional<int> search_rounds = std::nullopt) {
    TaskFinish finish;
    const Stage stage = task.lease.key.stage;
    finish.result_json = absl::StrCat("{\"shard\":", task.lease.key.shard, "}");
    const BlobDigest digest = DigestOf(absl::StrCat("output of ", StageName(stage), task.lease.key.shard));
    EXPECT_TRUE(store().RegisterBlob(digest).ok());
    finish.outputs = {{absl::StrCat(StageName(stage), "-", task.lease.key.shard), digest}};
    if (stage == v1::Job::PREPARE) finish.shards = shards, finish.stage_weights = 100;
    finish.search_rounds = search_rounds;
    finish.next = NextTasks(stage, task.lease.key.shard, {shards, search_rounds.value_or(task.search_rounds)}, task.spec);
    if (stage == v1::Job::PUBLISH) {
      finish.success.emplace();
      finish.success->format = "gguf";
      finish.success->files = {{"model.gguf", digest}};
    }
    return Must(store().FinishTask(task.lease, finish));
  }
  v1::Job Job(const std::string& id) { return Must(store().GetJob(kDefaultTenant, id)); }

  JobStoreUnderTest under_test_;
};

inline JobStoreUnderTest MakeSqlite() {
  JobStoreUnderTest made;
  made.directory = std::make_unique<TemporaryDirectory>(*TemporaryDirectory::Create());
  const std::string path = made.directory->path() + "/test.db";
  made.reopen = [path, clock = made.clock]() -> std::unique_ptr<Store> {
    return Must(SqlStore::Open(Must(sql::OpenSqlite(path, [clock] { return clock->load(); }))));
  };
  made.store = made.reopen();
  return made;
}

inline JobStoreUnderTest MakePostgres() {
  JobStoreUnderTest made;
  const auto schema = std::make_shared<PostgresSchema>();
  made.reopen = [schema]() -> std::unique_ptr<Store> {
    return Must(SqlStore::Open(Must(sql::OpenPostgres(schema->url()))));
  };
  made.store = made.reopen();
  made.clock_moved = [schema](int64_t now_us) { schema->FakeClock(now_us); };
  made.Advance(0);
  return made;
}

inline auto EveryJobStore() {
  return ::testing::Values(std::pair<const char*, JobStoreFactory>("sqlite", MakeSqlite),
                           std::pair<const char*, JobStoreFactory>("postgres", MakePostgres));
}

}  // namespace nashswarm::server

#endif  // NASHSWARM_TESTS_UNIT_SERVER_JOB_STORE_CONFORMANCE_H_
