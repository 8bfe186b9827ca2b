// What an older nashswarmd wrote keeps working.
#include "server/store/sql/schema.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/stages/flow.h"
#include "server/store/sql/sql_store.h"
#include "server/store/sql/sqlite.h"
#include "tests/unit/server/store_fixtures.h"

namespace nashswarm::server {
namespace {

using J = v1::Job;
using sql::Blob;
using sql::Connection;
using sql::kSchemaVersion;
using sql::MigrateSchema;
using ::testing::ElementsAre;
using ::testing::SizeIs;

class SqliteSchemaTest : public ::testing::Test {
 protected:
  SqliteSchemaTest() : directory_(*TemporaryDirectory::Create()), path_(directory_.path() + "/test.db") {}

  absl::Status Migrate(int version) { return MigrateSchema(*Must(sql::OpenSqlite(path_, Clock())), version); }
  static std::function<int64_t()> Clock() {
    return [] { return int64_t{5000}; };
  }
  void Insert(Connection& db, const std::string& sql) { EXPECT_TRUE(db.Script(sql).ok()) << sql; }

  // A model, and a job in the middle of ENCODE, whose first shard is done and whose second runs.
  void WriteVersion1() {
    const auto database = Must(sql::OpenSqlite(path_, Clock()));
    ASSERT_TRUE(MigrateSchema(*database, 1).ok());
    const Blob blob{blob_.sha256};
    const absl::Status written = database->Write([&](Connection& db) -> absl::Status {
      NS_RETURN_IF_ERROR(
          db.Execute("INSERT INTO blobs VALUES (?, ?, 1, 1)", blob, blob_.size_bytes).status());
      NS_RETURN_IF_ERROR(
          db.Execute("INSERT INTO models VALUES ('m', ?, 1, 'gpt2', 10, 2, 7, 7, '{}', 1)", blob).status());
      NS_RETURN_IF_ERROR(db.Execute("INSERT INTO files VALUES ('models/m', 'w.bin', ?)", blob).status());
      Insert(db, "INSERT INTO uploads VALUES ('u', 1, 'next', NULL, NULL, '{}', NULL, 1, 9999, NULL)");
      Insert(db, "INSERT INTO upload_files (upload_id, path, ordinal, size_bytes) VALUES ('u', 'a', 0, 3)");
      v1::CompressionSpec spec;
      spec.set_bits_per_weight(4);
      NS_RETURN_IF_ERROR(db.Execute("INSERT INTO jobs (id, model_id, spec, state, priority, max_attempts, shards, labels, "
                                    "created_us, started_us) VALUES ('j', 'm', ?, 2, 5, 3, 2, '{}', 1, 1)",
                                    Blob{spec.SerializeAsString()})
                             .status());
      for (const auto& [stage, shard] : std::vector<std::pair<int, int>>{{1, 0}, {2, 0}, {2, 1}, {3, 0}, {4, 0}}) {
        NS_RETURN_IF_ERROR(db.Execute("INSERT INTO tasks (job_id, stage, shard, state, not_before_us, result, updated_us) "
                                      "VALUES ('j', ?, ?, 'succeeded', 1, '{}', 1)",
                                      stage, shard)
                               .status());
        NS_RETURN_IF_ERROR(db.Execute("INSERT INTO task_outputs VALUES ('j', ?, ?, ?, ?)", stage, shard,
                                      absl::StrCat("stage", stage, "-", shard), blob)
                               .status());
      }
      Insert(db,
             "INSERT INTO tasks (job_id, stage, shard, state, lease_owner, lease_expires_us, not_before_us, updated_us) "
             "VALUES ('j', 4, 1, 'running', 'old', 9999, 1, 1)");
      return absl::OkStatus();
    });
    ASSERT_TRUE(written.ok()) << written;
  }

  // A job with a text, whose next task is SOLVE, or ENCODE when that is done.
  void WriteVersion2(bool solved) {
    const auto database = Must(sql::OpenSqlite(path_, Clock()));
    ASSERT_TRUE(MigrateSchema(*database, 2).ok());
    const Blob blob{blob_.sha256};
    const absl::Status written = database->Write([&](Connection& db) -> absl::Status {
      NS_RETURN_IF_ERROR(db.Execute("INSERT INTO blobs VALUES (?, ?, 1, 1)", blob, blob_.size_bytes).status());
      for (const auto& [id, kind] : std::vector<std::pair<std::string, int>>{{"m", 1}, {"wiki", 2}}) {
        NS_RETURN_IF_ERROR(
            db.Execute("INSERT INTO models VALUES (?, ?, 1, 'gpt2', 10, 2, 7, 7, '{}', 1, ?)", id, blob, kind).status());
        NS_RETURN_IF_ERROR(db.Execute("INSERT INTO files VALUES ('models/' || ?, 'w.bin', ?)", id, blob).status());
      }
      v1::CompressionSpec spec;
      spec.set_bits_per_weight(4);
      spec.mutable_calibration()->set_text("models/wiki");
      NS_RETURN_IF_ERROR(db.Execute("INSERT INTO jobs (id, model_id, spec, state, priority, max_attempts, shards, labels, "
                                    "created_us, started_us) VALUES ('j', 'm', ?, 2, 5, 3, 1, '{}', 1, 1)",
                                    Blob{spec.SerializeAsString()})
                             .status());
      NS_RETURN_IF_ERROR(db.Execute("INSERT INTO job_data VALUES ('j', 'calibration', 'wiki', ?)", blob).status());
      const std::vector<int> all = {10, 20, 30, 40, 50};
      const size_t done = solved ? 4 : 3;
      for (size_t i = 0; i <= done; ++i) {
        NS_RETURN_IF_ERROR(db.Execute("INSERT INTO tasks (job_id, stage, shard, state, not_before_us, updated_us) VALUES "
                                      "('j', ?, 0, ?, 1, 1)",
                                      all[i], i < done ? "succeeded" : "pending")
                               .status());
        if (i == done) break;
        NS_RETURN_IF_ERROR(
            db.Execute("INSERT INTO task_outputs VALUES ('j', ?, 0, ?, ?)", all[i], absl::StrCat("stage", all[i]), blob)
                .status());
      }
      return absl::OkStatus();
    });
    ASSERT_TRUE(written.ok()) << written;
  }

  TemporaryDirectory directory_;
  const std::string path_;
  const BlobDigest blob_ = DigestOf("content");
};

TEST_F(SqliteSchemaTest, JobOfVersion1GoesOnWhereItWas) {
  WriteVersion1();
  const auto store = Must(SqlStore::Open(Must(sql::OpenSqlite(path_, Clock()))));
  ASSERT_NE(store, nullptr);
  EXPECT_EQ(Must(store->GetJob(kDefaultTenant, "j")).progress().stage(), J::ENCODE);
  EXPECT_THAT(Must(store->TaskOutputs("j", {J::PREPARE, J::MEASURE, J::SOLVE, J::ENCODE})),
              SizeIs(5));
  EXPECT_EQ(Must(store->TaskOutputs("j", {J::SOLVE}))[0].name, "stage3-0");
  const std::vector<LostTask> lost = Must(store->ReapEveryLease(kMaxLosses));
  ASSERT_EQ(lost.size(), 1);
  EXPECT_EQ(lost[0].key.job_id, "j");
  const ClaimedTask task = *Must(store->ClaimTask("new", kSecond));
  EXPECT_EQ(task.lease.key.stage, J::ENCODE);
  EXPECT_EQ(task.lease.key.shard, 1);
  TaskFinish finish;
  finish.outputs = {{"shard-1.bin", blob_}};
  finish.next = NextTasks(task.lease.key.stage, task.lease.key.shard, ShapeAfter(task, finish), task.spec);
  Must(store->FinishTask(task.lease, finish));
  EXPECT_EQ(Must(store->ClaimTask("new", kSecond))->lease.key.stage, J::PUBLISH);
}

TEST_F(SqliteSchemaTest, JobOfVersion2GoesOnWithoutASearch) {
  WriteVersion2(/*solved=*/true);
  const auto store = Must(SqlStore::Open(Must(sql::OpenSqlite(path_, Clock()))));
  ASSERT_NE(store, nullptr);
  const v1::Job::Progress progress = Must(store->GetJob(kDefaultTenant, "j")).progress();
  EXPECT_EQ(progress.stage(), J::ENCODE);
  EXPECT_EQ(progress.tasks_total(), 7) << "prepare, calibrate, measure, solve, encode, evaluate, publish";
  const ClaimedTask task = *Must(store->ClaimTask("new", kSecond));
  EXPECT_EQ(task.lease.key.stage, J::ENCODE);
  EXPECT_EQ(task.search_rounds, 0);
  EXPECT_THAT(task.data, SizeIs(1)) << "what version 2 knew is kept";
  EXPECT_THAT(Must(store->TaskOutputs("j", InputStages(J::ENCODE, task.spec))), SizeIs(3));
}

TEST_F(SqliteSchemaTest, JobOfVersion2CanStillBeSearchedFor) {
  WriteVersion2(/*solved=*/false);
  const auto store = Must(SqlStore::Open(Must(sql::OpenSqlite(path_, Clock()))));
  const ClaimedTask solve = *Must(store->ClaimTask("new", kSecond));
  ASSERT_EQ(solve.lease.key.stage, J::SOLVE);
  TaskFinish finish;
  finish.outputs = {{"plan.json", blob_}};
  finish.search_rounds = 2;
  finish.next = NextTasks(J::SOLVE, 0, ShapeAfter(solve, finish), solve.spec);
  Must(store->FinishTask(solve.lease, finish));
  const ClaimedTask search = *Must(store->ClaimTask("new", kSecond));
  EXPECT_EQ(search.lease.key.stage, J::SEARCH);
  EXPECT_EQ(search.search_rounds, 2);
  EXPECT_EQ(Must(store->GetJob(kDefaultTenant, "j")).progress().tasks_total(), 9);
}

TEST_F(SqliteSchemaTest, WhatVersion1KnewIsACheckpoint) {
  WriteVersion1();
  const auto store = Must(SqlStore::Open(Must(sql::OpenSqlite(path_, Clock()))));
  EXPECT_EQ(Must(store->GetModel(kDefaultTenant, "m")).kind(), v1::Model::CHECKPOINT);
  EXPECT_EQ(Must(store->GetUploadIntent(kDefaultTenant, "u")).kind, v1::Model::CHECKPOINT);
  EXPECT_EQ(Must(store->GetUploadIntent(kDefaultTenant, "u")).model_id, "next");
  EXPECT_EQ(ReasonOf(store->DeleteModel(kDefaultTenant, "m")), "MODEL_IN_USE");
  Must(store->CancelJob(kDefaultTenant, "j"));
  Must(store->ReapEveryLease(kMaxLosses));
  EXPECT_TRUE(store->DeleteJob(kDefaultTenant, "j").ok()) << "its outputs hang on its tasks as before";
}

TEST_F(SqliteSchemaTest, UpgradeHappensOnce) {
  WriteVersion1();
  for (int i = 0; i < 3; ++i) {
    const auto store = Must(SqlStore::Open(Must(sql::OpenSqlite(path_, Clock()))));
    EXPECT_EQ(Must(store->GetJob(kDefaultTenant, "j")).progress().stage(), J::ENCODE);
  }
}

TEST_F(SqliteSchemaTest, NewerSchemaIsRefused) {
  ASSERT_TRUE(Migrate(kSchemaVersion).ok());
  EXPECT_EQ(ReasonOf(Migrate(kSchemaVersion - 1)), "SCHEMA_TOO_NEW");
}

}  // namespace
}  // namespace nashswarm::server
