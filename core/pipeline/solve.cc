// SOLVE: the game. Curves and a target in, a plan out.
#include "absl/strings/str_format.h"
#include "core/base/checked.h"
#include "core/base/file.h"
#include "core/base/status.h"
#include "core/game/game.h"
#include "core/game/loss_weights.h"
#include "core/pipeline/prepared.h"
#include "core/pipeline/stages.h"

namespace nashswarm::pipeline {
namespace {

// The plan is "at the target" when its file is within this share of it.
constexpr double kClose = 0.001;

absl::StatusOr<std::vector<game::Player>> ReadPlayers(const Prepared& prepared, const model::Model& model,
                                                      const std::string& in_dir) {
  std::vector<game::Player> players(prepared.tensors.size());
  const bool tied = std::none_of(model.tensors.begin(), model.tensors.end(),
                                 [](const model::MappedTensor& t) { return t.role == model::Role::kOutput; });
  for (size_t shard = 0; shard < prepared.shards.size(); ++shard) {
    const std::string file = absl::StrCat("curves-", shard, ".json");
    NS_ASSIGN_OR_RETURN(const std::string text, ReadFile(JoinPath(in_dir, file)));
    NS_ASSIGN_OR_RETURN(const Json json, ParseJson(text, file));
    for (const Json& entry : json.at("tensors")) {
      const size_t t = entry.at("tensor");
      game::Player& player = players.at(t);
      player.name = prepared.tensors[t].source;
      player.loss_weight = game::DefaultLossWeight(model.tensors.at(t), tied);
      for (const Json& point : entry.at("curve")) {
        // The file aligns every tensor, and the alignment is part of its price.
        player.strategies.push_back({AlignUp(point.at("bytes").get<uint64_t>(), checkpoint::kGgufAlignment),
                                     point.at("distortion")});
      }
    }
  }
  return players;
}

double BitsPerWeight(uint64_t bytes, uint64_t parameters) { return 8.0 * bytes / parameters; }

absl::Status CheckFeasible(const Prepared& prepared, uint64_t target, uint64_t smallest) {
  if (smallest <= target) return absl::OkStatus();
  const double bits = BitsPerWeight(smallest, prepared.parameters);
  // Rounded up to three decimals, so that asking for it works.
  const double ask = std::ceil(bits * 1000) / 1000;
  return MakeError(absl::StatusCode::kInvalidArgument, "TARGET_INFEASIBLE",
                   absl::StrFormat("the target of %d bytes (%.3f bits a weight) is below the smallest GGUF of this model: "
                                   "%d bytes (%.3f bits a weight, %d bytes of them header and tokenizer)",
                                   target, BitsPerWeight(target, prepared.parameters), smallest, bits, prepared.header_bytes),
                   absl::StrFormat("nearest feasible target: --bpw %.3f or --size %d", ask, smallest));
}

std::string Summarize(const game::Plan& plan, uint64_t file_bytes, uint64_t target, uint64_t parameters) {
  const double below = 1 - static_cast<double>(file_bytes) / target;
  std::string where;
  if (plan.nobody_wants_more) {
    where = "every tensor has all the precision it can use";
  } else if (below <= kClose) {
    where = "at the target";
  } else {
    where = "the nearest point where the formats lower the loss any more";
  }
  const std::string optimum =
      plan.proved_best ? "proved the best plan of its size"
                       : absl::StrFormat("loss at most %.3f %% above the best plan's",
                                         plan.loss > 0 ? 100 * plan.duality_gap() / plan.loss : 0.0);
  return absl::StrFormat("%.4f bits a weight, %.3f %% under the target: %s; %s", BitsPerWeight(file_bytes, parameters),
                         100 * below, where, optimum);
}

}  // namespace

absl::StatusOr<Json> SolvePlan(const Task& task) {
  NS_ASSIGN_OR_RETURN(const Prepared prepared, ReadPrepared(task.in_dir));
  NS_ASSIGN_OR_RETURN(const OpenModel open, OpenAndMap(task.model_dir));
  NS_ASSIGN_OR_RETURN(const std::vector<game::Player> players, ReadPlayers(prepared, open.model, task.in_dir));

  const uint64_t target = task.spec.TargetBytes(prepared.parameters);
  NS_RETURN_IF_ERROR(CheckFeasible(prepared, target, prepared.header_bytes + game::SmallestBytes(players)));
  NS_ASSIGN_OR_RETURN(const game::Plan plan, game::Solve(players, target - prepared.header_bytes));

  const uint64_t file_bytes = prepared.header_bytes + plan.bytes;
  const std::string summary = Summarize(plan, file_bytes, target, prepared.parameters);
  task.observer->Log("info", summary);
  Json tensors = Json::array();
  for (size_t t = 0; t < players.size(); ++t) {
    const game::Strategy& chosen = players[t].strategies[plan.choice[t]];
    tensors.push_back({{"format", quant::InfoOf(prepared.tensors[t].formats[plan.choice[t]]).name},
                       {"bytes", chosen.bytes},
                       {"distortion", chosen.distortion},
                       {"loss_weight", players[t].loss_weight}});
  }
  Json path = Json::array();
  for (const game::PriceStep& step : plan.path) {
    path.push_back({{"price", step.price}, {"bytes", step.bytes + prepared.header_bytes}, {"loss", step.loss}});
  }
  const Json json = {{"target_bytes", target},
                     {"file_bytes", file_bytes},
                     {"price", plan.price},
                     {"loss", plan.loss},
                     {"lower_bound", plan.lower_bound},
                     {"duality_gap", plan.duality_gap()},
                     {"proved_best", plan.proved_best},
                     {"summary", summary},
                     {"path", std::move(path)},
                     {"tensors", std::move(tensors)}};
  NS_RETURN_IF_ERROR(WriteFileUnsynced(JoinPath(task.out_dir, "plan.json"), json.dump(1)));
  return Json{{"file_bytes", file_bytes}, {"summary", summary}};
}

}  // namespace nashswarm::pipeline
