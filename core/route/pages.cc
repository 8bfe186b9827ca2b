#include "core/route/pages.h"

#include <unistd.h>

#include <algorithm>
#include <memory>
#include <random>

#include "core/base/file.h"
#include "core/base/status.h"
#include "core/expert_cache/coactivation.h"
#include "core/expert_cache/cold_mapping.h"
#include "core/expert_cache/pages_touched.h"

namespace nashswarm::route {
namespace {

using expert_cache::ByteRange;
using expert_cache::ColdMapping;
using expert_cache::ExpertOrder;
using expert_cache::FileLayout;
using expert_cache::Trace;

struct Candidate {
  std::string name;
  FileLayout layout;
};

std::vector<ExpertOrder> RandomOrders(uint32_t layers, uint32_t experts) {
  std::mt19937_64 random(1);
  std::vector<ExpertOrder> orders;
  for (uint32_t layer = 0; layer < layers; ++layer) {
    ExpertOrder order = expert_cache::OriginalOrder(experts);
    for (uint32_t e = experts; e > 1; --e) std::swap(order[e - 1], order[random() % e]);  // the same everywhere
    orders.push_back(std::move(order));
  }
  return orders;
}

class ColdFiles {
 public:
  static absl::StatusOr<ColdFiles> Open(const ExpertFiles& files, expert_cache::Readahead readahead) {
    ColdFiles cold;
    for (const ExpertFiles::File& file : files.files) {
      NS_ASSIGN_OR_RETURN(auto mapping, ColdMapping::Open(file.path, readahead));
      cold.mappings_.push_back({file.begin, std::move(mapping)});
    }
    return cold;
  }
  absl::Status Drop() {
    for (const Mapping& mapping : mappings_) NS_RETURN_IF_ERROR(mapping.file->Drop());
    return absl::OkStatus();
  }
  absl::Status Touch(const ByteRange& part) {
    const auto after =
        std::find_if(mappings_.begin(), mappings_.end(), [&](const Mapping& m) { return m.begin > part.offset; });
    const Mapping& mapping = *std::prev(after);
    return mapping.file->Touch(part.offset - mapping.begin, part.bytes);
  }
  absl::StatusOr<uint64_t> Resident() const {
    uint64_t sum = 0;
    for (const Mapping& mapping : mappings_) {
      NS_ASSIGN_OR_RETURN(const uint64_t pages, mapping.file->ResidentPages());
      sum += pages;
    }
    return sum;
  }

 private:
  struct Mapping {
    uint64_t begin;
    std::unique_ptr<ColdMapping> file;
  };
  std::vector<Mapping> mappings_;  // by begin
};

absl::StatusOr<uint64_t> PagesOfToken(ColdFiles& cold, const Trace& trace, uint32_t token, const FileLayout& layout) {
  NS_RETURN_IF_ERROR(cold.Drop());
  for (uint32_t layer = 0; layer < trace.layers; ++layer) {
    for (const uint16_t expert : trace.Slots(token, layer)) {
      for (const ByteRange& part : layout.parts[trace.Key(layer, expert)]) NS_RETURN_IF_ERROR(cold.Touch(part));
    }
  }
  return cold.Resident();
}

// Means by candidate. Order after order for each token, so that what else the machine does is the same for all.
absl::StatusOr<std::vector<double>> Measure(const ExpertFiles& files, const Trace& trace,
                                            const std::vector<Candidate>& candidates, uint64_t tokens,
                                            expert_cache::Readahead readahead, const evaluate::Progress& progress) {
  NS_ASSIGN_OR_RETURN(ColdFiles cold, ColdFiles::Open(files, readahead));
  std::vector<double> means(candidates.size());
  for (uint64_t i = 0; i < tokens; ++i) {
    const auto token = static_cast<uint32_t>(i * trace.tokens / tokens);
    for (size_t c = 0; c < candidates.size(); ++c) {
      NS_ASSIGN_OR_RETURN(const uint64_t pages, PagesOfToken(cold, trace, token, candidates[c].layout));
      means[c] += static_cast<double>(pages) / static_cast<double>(tokens);
    }
    NS_RETURN_IF_ERROR(progress(i + 1, tokens));
  }
  return means;
}

}  // namespace

absl::StatusOr<std::vector<ExpertOrder>> OrderByUse(const Trace& trace) {
  NS_ASSIGN_OR_RETURN(const expert_cache::Coactivation counts, expert_cache::CountCoactivation(trace));
  std::vector<ExpertOrder> orders;
  for (uint32_t layer = 0; layer < trace.layers; ++layer) {
    NS_ASSIGN_OR_RETURN(ExpertOrder order, expert_cache::OrderExperts(counts.Together(layer), trace.experts_per_layer));
    orders.push_back(std::move(order));
  }
  return orders;
}

absl::StatusOr<report::PagesReport> ComparePages(const ExpertFiles& files, const Trace& trace,
                                                 absl::Span<const ExpertOrder> together, const PagesOptions& options,
                                                 const evaluate::Progress& progress) {
  report::PagesReport report;
  report.file = BaseName(files.files[0].path);
  if (files.files.size() > 1) report.file += absl::StrCat(" and ", files.files.size() - 1, " more");
  report.page_bytes = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  std::vector<Candidate> candidates = {{"original", files.layout}};
  const std::vector<ExpertOrder> random = RandomOrders(trace.layers, trace.experts_per_layer);
  const std::vector<std::pair<std::string, absl::Span<const ExpertOrder>>> others = {{"random", random},
                                                                                     {"together", together}};
  for (const auto& [name, orders] : others) {
    absl::StatusOr<FileLayout> layout = expert_cache::Reorder(files.layout, orders, trace.experts_per_layer);
    if (layout.ok())
      candidates.push_back({name, *std::move(layout)});
    else if (!absl::IsFailedPrecondition(layout.status()))
      return layout.status();
  }
  for (const Candidate& candidate : candidates) {
    NS_ASSIGN_OR_RETURN(const expert_cache::PageCounts counts,
                        expert_cache::PagesTouched(trace, candidate.layout, {.page_bytes = report.page_bytes}));
    report.orders.push_back({candidate.name, counts.touched_per_token(), counts.runs_per_token(), std::nullopt});
  }
  if (!options.measure) {
    report.not_measured = "not asked for (--pages)";
    return report;
  }
  const uint64_t tokens = std::min<uint64_t>(options.tokens, trace.tokens);
  for (const auto& [readahead, number] : {std::pair{expert_cache::Readahead::kNone, &report::OrderRow::faulted},
                                          std::pair{expert_cache::Readahead::kNormal, &report::OrderRow::resident}}) {
    const absl::StatusOr<std::vector<double>> means = Measure(files, trace, candidates, tokens, readahead, progress);
    if (absl::IsFailedPrecondition(means.status())) {
      report.not_measured = std::string(means.status().message());
      return report;
    }
    NS_RETURN_IF_ERROR(means.status());
    for (size_t c = 0; c < candidates.size(); ++c) report.orders[c].*number = (*means)[c];
  }
  report.tokens = tokens;
  return report;
}

}  // namespace nashswarm::route
