// What a stage is: one row of the table (table.cc), which says everything that the server knows of it. Whoever wants to know
// something of a stage asks its row, and names no stage. A new stage is a value of v1::Job::Stage, a row, and a file for what its
// result says, if it says something. All of it is constant, so any thread may ask; core/engine/README.md is the specification.
#ifndef NASHSWARM_SERVER_STAGES_STAGE_H_
#define NASHSWARM_SERVER_STAGES_STAGE_H_

#include <array>
#include <initializer_list>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "core/base/json.h"
#include "server/store/task.h"

namespace nashswarm::server {

// Into how many tasks a stage is cut.
enum class FanOut {
  kOne,     // one
  kShards,  // one a shard, side by side, each of which passes over its part of the weights; how many, PREPARE's result says
  kRounds,  // one a round, one after another, until there are as many as SOLVE's result said or one says that it was the last;
            // the task's shard is its round
};

// What its progress counts.
enum class Unit { kWeights, kTokens };
// As people and the API read it: "weights".
std::string_view UnitName(Unit unit);

// How much memory a task of it takes where nothing better is known.
enum class Load {
  kTensors,  // a tensor at a time
  kModel,    // the model as floats, several times over at worst
};

// What a task's result line says to the server, beside the names of its outputs, which are in `finish`. INTERNAL /
// ENGINE_PROTOCOL when it is not what the protocol promises.
struct StageResult {
  int shard = 0;
  const Json& json;
  const std::string& artifact_format;
};
using ResultReader = absl::Status (*)(const StageResult& result, TaskFinish* finish);

// A short list that is part of a row.
template <typename T>
class ShortList {
 public:
  constexpr ShortList() = default;
  constexpr ShortList(std::initializer_list<T> items) {
    for (const T& item : items) items_[size_++] = item;  // one too many does not compile: rows are constants
  }
  constexpr const T* begin() const { return items_.data(); }
  constexpr const T* end() const { return items_.data() + size_; }
  constexpr size_t size() const { return size_; }

 private:
  std::array<T, 8> items_{};
  size_t size_ = 0;
};

struct StageRow {
  using SpecTest = bool (*)(const v1::CompressionSpec& spec);

  Stage stage = v1::Job::STAGE_UNSPECIFIED;
  const char* name = "";  // as the engine, the metrics and the log call it
  FanOut tasks = FanOut::kOne;
  SpecTest runs = nullptr;  // in which jobs; null: in all (rounds: in those that have any)
  // The stages whose outputs it reads, where the job has them; of a stage of rounds its own earlier ones.
  ShortList<Stage> inputs;
  // What it must leave in out/; '#' is the task's shard.
  ShortList<const char*> outputs;
  Unit unit = Unit::kWeights;
  // Of the spec, as the engine reads it (spec_json.h), what its outputs do not depend on: all else is in its cache key.
  ShortList<const char*> unread;
  // Whether another job's identical task may reuse the outputs.
  bool kept = false;
  Load load = Load::kTensors;
  // What PREPARE's result says of this stage's needs is said of another one, when the spec is like that.
  struct {
    Stage stage = v1::Job::STAGE_UNSPECIFIED;
    SpecTest when = nullptr;
  } needs_of;
  bool reads_history = false;     // it is told the results of all earlier tasks
  ResultReader reader = nullptr;  // null: its result says nothing to the server
};

// In the order they run.
absl::Span<const StageRow> Stages();
// Of a stage that is not in the table (a newer server's): a row that says nothing.
const StageRow& RowOf(Stage stage);

// RowOf(stage).name: "prepare".
std::string StageName(Stage stage);
bool RunsIn(const StageRow& row, const v1::CompressionSpec& spec);

// INTERNAL / ENGINE_PROTOCOL.
absl::Status ProtocolError(Stage stage, const std::string& what);

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_STAGES_STAGE_H_
