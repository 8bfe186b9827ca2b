// The artifacts that were made and measured on the way to a quality target.
#include <cmath>

#include "core/report/html.h"
#include "core/report/numbers.h"
#include "core/report/sections/sections.h"

namespace nashswarm::report {

std::string TrialsHtml(const Report& report) {
  if (report.trials.empty()) return "";
  Table table("Trials of the quality search", {{"trial"},
                                               {"size"},
                                               {"bits per weight"},
                                               {report.loss_is_kl ? "predicted KL" : "predicted loss"},
                                               {"mean KL"},
                                               {"perplexity"},
                                               {"change"},
                                               {"limit", Table::Align::kText}});
  for (size_t i = 0; i < report.trials.size(); ++i) {
    const Trial& t = report.trials[i];
    table.Add({std::to_string(i + 1), BytesHtml(t.bytes), Fixed(t.bits_per_weight, 3), Significant(t.predicted_loss), Significant(t.mean_kl),
               Significant(t.perplexity, 4), SignedPercent(t.perplexity_change),
               t.passed ? "<span class=\"pass\">✓ within</span>" : "<span class=\"miss\">✗ over</span>"});
  }
  return Section("trials", "Trials of the quality search",
                 Cat("<p>Each trial is a whole artifact, measured; the smallest within the limit is kept.</p>\n", table.ToHtml()));
}

}  // namespace nashswarm::report
