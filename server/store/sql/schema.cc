#include "server/store/sql/schema.h"

#include <iterator>

#include "absl/strings/str_replace.h"
#include "core/base/status.h"

namespace nashswarm::server::sql {
namespace {

// Times are unix microseconds of now_us(). Digests are 32 raw bytes. Foreign keys to blobs are what keeps content
// alive: garbage collection deletes a blobs row first, which fails while any row names it. Written in SQLite's words;
// InDialect() puts PostgreSQL's in their place.
constexpr const char* kMigrations[] = {
    R"sql(
CREATE TABLE blobs (
  sha256     BLOB    PRIMARY KEY CHECK (length(sha256) = 32),
  size_bytes INTEGER NOT NULL CHECK (size_bytes >= 0),
  created_us INTEGER NOT NULL,
  touched_us INTEGER NOT NULL              -- renewed before every new reference: the grace period counts from here
) WITHOUT ROWID;
CREATE INDEX blobs_touched ON blobs (touched_us);

CREATE TABLE uploads (
  id             TEXT    PRIMARY KEY,
  state          INTEGER NOT NULL,         -- Upload.State
  model_id       TEXT,                     -- as asked for
  request_id     TEXT,
  request_digest BLOB,
  labels         TEXT    NOT NULL,         -- JSON
  published      TEXT,                     -- model id, once COMPLETED
  created_us     INTEGER NOT NULL,
  expires_us     INTEGER NOT NULL,
  ended_us       INTEGER,
  CHECK ((state = 2) = (published IS NOT NULL)),
  CHECK ((state = 1) = (ended_us IS NULL))
);
CREATE UNIQUE INDEX uploads_request ON uploads (request_id) WHERE request_id IS NOT NULL;
CREATE INDEX uploads_expiry ON uploads (expires_us) WHERE state = 1;

CREATE TABLE upload_files (
  upload_id    TEXT    NOT NULL REFERENCES uploads (id) ON DELETE CASCADE,
  path         TEXT    NOT NULL,
  ordinal      INTEGER NOT NULL,
  size_bytes   INTEGER NOT NULL CHECK (size_bytes >= 0),
  expected_sha BLOB,                       -- as declared
  committed    INTEGER NOT NULL DEFAULT 0 CHECK (committed BETWEEN 0 AND size_bytes),
  writer_epoch INTEGER NOT NULL DEFAULT 0, -- fences an older writer
  sha256       BLOB,                       -- set once whole and verified
  blob         BLOB REFERENCES blobs (sha256),  -- the same while the upload is active: keeps the content alive
  deduplicated INTEGER NOT NULL DEFAULT 0,
  PRIMARY KEY (upload_id, path)
);
CREATE INDEX upload_files_blob ON upload_files (blob) WHERE blob IS NOT NULL;

CREATE TABLE upload_parts (                -- durable pieces in staging, never rewritten
  upload_id   TEXT    NOT NULL,
  path        TEXT    NOT NULL,
  start       INTEGER NOT NULL,
  size_bytes  INTEGER NOT NULL CHECK (size_bytes > 0),
  storage_key TEXT    NOT NULL,
  PRIMARY KEY (upload_id, path, start),
  FOREIGN KEY (upload_id, path) REFERENCES upload_files (upload_id, path) ON DELETE CASCADE
);

CREATE TABLE models (
  id            TEXT    PRIMARY KEY,
  manifest_sha  BLOB    NOT NULL,
  manifest_size INTEGER NOT NULL,
  architecture  TEXT    NOT NULL,
  parameters    INTEGER NOT NULL,
  tensors       INTEGER NOT NULL,
  total_bytes   INTEGER NOT NULL,
  weight_bytes  INTEGER NOT NULL,
  labels        TEXT    NOT NULL,
  created_us    INTEGER NOT NULL
);
CREATE INDEX models_list ON models (created_us DESC, id DESC);
CREATE INDEX models_manifest ON models (manifest_sha);

CREATE TABLE jobs (
  id               TEXT    PRIMARY KEY,
  model_id         TEXT    NOT NULL,       -- no foreign key: a finished job outlives its model
  spec             BLOB    NOT NULL,       -- serialized CompressionSpec
  request_id       TEXT,
  request_digest   BLOB,
  state            INTEGER NOT NULL,       -- Job.State
  cancel_requested INTEGER NOT NULL DEFAULT 0,
  priority         INTEGER NOT NULL CHECK (priority BETWEEN 0 AND 9),
  max_attempts     INTEGER NOT NULL CHECK (max_attempts > 0),
  shards           INTEGER NOT NULL DEFAULT 0,
  stage_weights    INTEGER NOT NULL DEFAULT 0,
  result           BLOB,                   -- serialized Job.Result
  error            BLOB,                   -- serialized Error of the last failed attempt
  last_sequence    INTEGER NOT NULL DEFAULT 0,
  labels           TEXT    NOT NULL,
  created_us       INTEGER NOT NULL,
  started_us       INTEGER,
  finished_us      INTEGER,
  CHECK ((state IN (3, 4, 5)) = (finished_us IS NOT NULL)),
  CHECK ((state = 3) = (result IS NOT NULL))
);
CREATE UNIQUE INDEX jobs_request ON jobs (request_id) WHERE request_id IS NOT NULL;
CREATE INDEX jobs_list ON jobs (created_us DESC, id DESC);
CREATE INDEX jobs_state ON jobs (state);
CREATE INDEX jobs_model ON jobs (model_id);

CREATE TABLE tasks (
  job_id           TEXT    NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
  stage            INTEGER NOT NULL,       -- Job.Stage
  shard            INTEGER NOT NULL,
  state            TEXT    NOT NULL DEFAULT 'pending'
                   CHECK (state IN ('pending','running','succeeded','failed','cancelled')),
  attempt          INTEGER NOT NULL DEFAULT 0,
  losses           INTEGER NOT NULL DEFAULT 0,  -- attempts given back because the worker vanished
  not_before_us    INTEGER NOT NULL,       -- back-off; the creation time at first
  lease_owner      TEXT,
  lease_epoch      INTEGER NOT NULL DEFAULT 0,  -- fencing token, +1 per claim
  lease_expires_us INTEGER,
  claimed_us       INTEGER,                -- of the last claim: blobs touched since are not garbage while it runs
  error            BLOB,                   -- serialized Error of the last attempt
  result           TEXT,                   -- JSON of the engine's result line
  weights_done     INTEGER NOT NULL DEFAULT 0,
  weights_total    INTEGER NOT NULL DEFAULT 0,
  tensor           TEXT    NOT NULL DEFAULT '',
  updated_us       INTEGER NOT NULL,
  PRIMARY KEY (job_id, stage, shard),
  CHECK ((state = 'running') = (lease_owner IS NOT NULL AND lease_expires_us IS NOT NULL))
);
CREATE INDEX tasks_claim ON tasks (not_before_us) WHERE state = 'pending';
CREATE INDEX tasks_leases ON tasks (lease_expires_us) WHERE state = 'running';

CREATE TABLE task_outputs (
  job_id TEXT    NOT NULL,
  stage  INTEGER NOT NULL,
  shard  INTEGER NOT NULL,
  name   TEXT    NOT NULL,
  blob   BLOB    NOT NULL REFERENCES blobs (sha256),
  PRIMARY KEY (job_id, stage, shard, name),
  FOREIGN KEY (job_id, stage, shard) REFERENCES tasks (job_id, stage, shard) ON DELETE CASCADE
);
CREATE INDEX task_outputs_blob ON task_outputs (blob);

CREATE TABLE task_results (                -- what identical tasks of other jobs may reuse
  cache_key  BLOB    PRIMARY KEY,
  model_sha  BLOB    NOT NULL,             -- manifest digest: goes when the model goes
  result     TEXT    NOT NULL,
  used_us    INTEGER NOT NULL
);
CREATE INDEX task_results_used ON task_results (used_us);
CREATE INDEX task_results_model ON task_results (model_sha);
CREATE TABLE task_result_outputs (
  cache_key BLOB NOT NULL REFERENCES task_results (cache_key) ON DELETE CASCADE,
  name      TEXT NOT NULL,
  blob      BLOB NOT NULL REFERENCES blobs (sha256),
  PRIMARY KEY (cache_key, name)
);
CREATE INDEX task_result_outputs_blob ON task_result_outputs (blob);

CREATE TABLE job_events (                  -- the WatchJob log
  job_id   TEXT    NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
  sequence INTEGER NOT NULL,
  time_us  INTEGER NOT NULL,
  event    BLOB    NOT NULL,               -- serialized JobEvent without sequence and time
  PRIMARY KEY (job_id, sequence)
) WITHOUT ROWID;

CREATE TABLE artifacts (
  id          TEXT    PRIMARY KEY,
  job_id      TEXT    NOT NULL,            -- no foreign key: an artifact outlives its job
  model_id    TEXT    NOT NULL,
  format      TEXT    NOT NULL,
  total_bytes INTEGER NOT NULL,
  created_us  INTEGER NOT NULL
);
CREATE INDEX artifacts_list ON artifacts (created_us DESC, id DESC);

CREATE TABLE files (                       -- the files of models and artifacts
  owner TEXT NOT NULL,                     -- 'models/<id>' | 'artifacts/<id>'
  path  TEXT NOT NULL,
  blob  BLOB NOT NULL REFERENCES blobs (sha256),
  PRIMARY KEY (owner, path)
) WITHOUT ROWID;
CREATE INDEX files_blob ON files (blob);
)sql",

    // Stages got numbers with room between them, data files came beside checkpoints.
    R"sql(
PRAGMA defer_foreign_keys = ON;            -- task_outputs follows tasks below; checked at the commit
UPDATE tasks SET stage =
  CASE stage WHEN 1 THEN 10 WHEN 2 THEN 30 WHEN 3 THEN 40 WHEN 4 THEN 50 WHEN 5 THEN 70 ELSE stage END;
UPDATE task_outputs SET stage =
  CASE stage WHEN 1 THEN 10 WHEN 2 THEN 30 WHEN 3 THEN 40 WHEN 4 THEN 50 WHEN 5 THEN 70 ELSE stage END;

ALTER TABLE models ADD COLUMN kind INTEGER NOT NULL DEFAULT 1;   -- Model.Kind; what was there are checkpoints
ALTER TABLE uploads ADD COLUMN kind INTEGER NOT NULL DEFAULT 1;

CREATE TABLE job_data (                    -- the data files a job reads beside its checkpoint
  job_id   TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
  purpose  TEXT NOT NULL,                  -- 'calibration' | 'evaluation'
  model_id TEXT NOT NULL,                  -- no foreign key: a finished job outlives its data
  sha256   BLOB NOT NULL,                  -- of the file when the job was made: a retry must find the same
  PRIMARY KEY (job_id, purpose)
) WITHOUT ROWID;
CREATE INDEX job_data_model ON job_data (model_id);
)sql",

    // SEARCH came between SOLVE and ENCODE. A job that has solved already goes on to ENCODE, as it would have.
    R"sql(
ALTER TABLE jobs ADD COLUMN search_rounds INTEGER NOT NULL DEFAULT 0;  -- set by SOLVE, lowered by the round that ends it
)sql",

    // Tenants; the hash of what an unfinished file has so far; what a task needs to run.
    R"sql(
DROP INDEX models_list;
DROP INDEX models_manifest;
ALTER TABLE models RENAME TO models_3;
CREATE TABLE models (
  tenant        TEXT    NOT NULL,
  id            TEXT    NOT NULL,          -- two tenants may choose the same
  kind          INTEGER NOT NULL,          -- Model.Kind
  manifest_sha  BLOB    NOT NULL,
  manifest_size INTEGER NOT NULL,
  architecture  TEXT    NOT NULL,
  parameters    INTEGER NOT NULL,
  tensors       INTEGER NOT NULL,
  total_bytes   INTEGER NOT NULL,
  weight_bytes  INTEGER NOT NULL,
  labels        TEXT    NOT NULL,
  created_us    INTEGER NOT NULL,
  PRIMARY KEY (tenant, id)
);
INSERT INTO models (tenant, id, kind, manifest_sha, manifest_size, architecture, parameters, tensors, total_bytes,
                    weight_bytes, labels, created_us)
  SELECT 'default', id, kind, manifest_sha, manifest_size, architecture, parameters, tensors, total_bytes, weight_bytes,
         labels, created_us FROM models_3;
DROP TABLE models_3;
CREATE INDEX models_list ON models (tenant, created_us DESC, id DESC);
CREATE INDEX models_manifest ON models (tenant, manifest_sha);

DROP INDEX files_blob;
ALTER TABLE files RENAME TO files_3;
CREATE TABLE files (                       -- the files of models and artifacts
  tenant TEXT NOT NULL,
  owner  TEXT NOT NULL,                    -- 'models/<id>' | 'artifacts/<id>'
  path   TEXT NOT NULL,
  blob   BLOB NOT NULL REFERENCES blobs (sha256),
  PRIMARY KEY (tenant, owner, path)
) WITHOUT ROWID;
INSERT INTO files (tenant, owner, path, blob) SELECT 'default', owner, path, blob FROM files_3;
DROP TABLE files_3;
CREATE INDEX files_blob ON files (blob, tenant);

ALTER TABLE uploads ADD COLUMN tenant TEXT NOT NULL DEFAULT 'default';
DROP INDEX uploads_request;
CREATE UNIQUE INDEX uploads_request ON uploads (tenant, request_id) WHERE request_id IS NOT NULL;
CREATE INDEX uploads_active ON uploads (tenant) WHERE state = 1;
ALTER TABLE upload_files ADD COLUMN hash_state BLOB;  -- SHA-256 of [0, committed), to go on from

ALTER TABLE jobs ADD COLUMN tenant TEXT NOT NULL DEFAULT 'default';
DROP INDEX jobs_request;
DROP INDEX jobs_list;
DROP INDEX jobs_state;
DROP INDEX jobs_model;
CREATE UNIQUE INDEX jobs_request ON jobs (tenant, request_id) WHERE request_id IS NOT NULL;
CREATE INDEX jobs_list ON jobs (tenant, created_us DESC, id DESC);
CREATE INDEX jobs_state ON jobs (state, tenant);
CREATE INDEX jobs_model ON jobs (tenant, model_id);

ALTER TABLE artifacts ADD COLUMN tenant TEXT NOT NULL DEFAULT 'default';
DROP INDEX artifacts_list;
CREATE INDEX artifacts_list ON artifacts (tenant, created_us DESC, id DESC);

ALTER TABLE task_results ADD COLUMN tenant TEXT NOT NULL DEFAULT 'default';
DROP INDEX task_results_model;
CREATE INDEX task_results_model ON task_results (tenant, model_sha);

ALTER TABLE tasks ADD COLUMN need_memory INTEGER NOT NULL DEFAULT 0;  -- bytes; 0: not known
ALTER TABLE tasks ADD COLUMN need_disk INTEGER NOT NULL DEFAULT 0;
)sql",
    R"sql(
ALTER TABLE jobs ADD COLUMN traceparent TEXT NOT NULL DEFAULT '';  -- W3C trace context of who made it
)sql",
};
static_assert(std::size(kMigrations) == kSchemaVersion);

// PostgreSQL's clock, as a function of the name that SQLite's connections bring along. STABLE: an index on times is used.
constexpr char kPostgresClock[] =
    "CREATE OR REPLACE FUNCTION now_us() RETURNS BIGINT LANGUAGE sql STABLE AS "
    "$$ SELECT (extract(epoch FROM statement_timestamp()) * 1000000)::BIGINT $$";

std::string InDialect(Dialect dialect, const char* statements) {
  if (dialect == Dialect::kSqlite) return statements;
  return absl::StrReplaceAll(statements, {{" INTEGER", " BIGINT"},
                                          {" BLOB", " BYTEA"},
                                          {" TEXT", " TEXT COLLATE \"C\""},  // in the order of bytes, as SQLite and we
                                          {" WITHOUT ROWID", ""},
                                          {"PRAGMA defer_foreign_keys = ON;", ""}});
}

}  // namespace

absl::Status MigrateSchema(Database& database, int to_version) {
  return database.Migrate([to_version](Connection& db) -> absl::Status {
    const Dialect dialect = db.dialect();
    NS_RETURN_IF_ERROR(db.Script(InDialect(
        dialect, "CREATE TABLE IF NOT EXISTS schema_version (version INTEGER PRIMARY KEY, applied_us INTEGER NOT NULL)")));
    int64_t version = 0;
    {
      Query query = db.Select("SELECT coalesce(max(version), 0) FROM schema_version");
      if (query.Next()) version = query.Int(0);
      NS_RETURN_IF_ERROR(query.status());
    }
    if (version > to_version) {
      return MakeError(absl::StatusCode::kFailedPrecondition, "SCHEMA_TOO_NEW",
                       absl::StrCat("the database has schema version ", version, ", this nashswarmd knows ", to_version),
                       "run the newer nashswarmd");
    }
    if (version == 0 && dialect == Dialect::kPostgres) NS_RETURN_IF_ERROR(db.Script(kPostgresClock));
    for (; version < to_version; ++version) {
      NS_RETURN_IF_ERROR(db.Script(InDialect(dialect, kMigrations[version])));
      NS_RETURN_IF_ERROR(db.Execute("INSERT INTO schema_version VALUES (?, now_us())", version + 1).status());
    }
    return absl::OkStatus();
  });
}

}  // namespace nashswarm::server::sql
