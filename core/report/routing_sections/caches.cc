// The same choices with other caches, and with the experts in another order in the file.
#include <cmath>

#include "core/report/html.h"
#include "core/report/numbers.h"
#include "core/report/routing_sections/routing_sections.h"

namespace nashswarm::report {
namespace {

std::string PolicyName(const std::string& policy) {
  if (policy == "lru") return "lru<span class=\"second\">the one unused for longest leaves</span>";
  if (policy == "lfu") return "lfu<span class=\"second\">the one used least often leaves</span>";
  if (policy == "ttl") return "ttl<span class=\"second\">what was unused for so many tokens leaves</span>";
  if (policy == "optimal") return "optimal<span class=\"second\">knows the future: a bound</span>";
  return Escape(policy);
}

std::string OrderName(const std::string& order) {
  if (order == "original") return "original<span class=\"second\">as in the checkpoint</span>";
  if (order == "together") return "together<span class=\"second\">experts used together are neighbours</span>";
  return Escape(order);
}

}  // namespace

std::string PoliciesHtml(const RoutingReport& report) {
  if (report.policies.empty()) return "";
  Table table("Hit rates by cache policy", {{"policy"},
                                            {"a cache a layer, model"},
                                            {"a cache a layer, game"},
                                            {"one for all, model"},
                                            {"one for all, game"}});
  bool marked = false;
  for (const PolicyRow& row : report.policies) {
    std::vector<std::string> cells = {PolicyName(row.policy)};
    for (const double rate :
         {row.model_hit_rate, row.game_hit_rate, row.model_shared_hit_rate, row.game_shared_hit_rate}) {
      cells.push_back(IfMeasured(rate, Percent(rate)));
    }
    const bool played = row.policy == report.settings.policy;
    marked |= played;
    table.Add(std::move(cells), played);
  }
  const std::string size = report.settings.cache_bytes > 0 ? Cat(" of ", Bytes(report.settings.cache_bytes)) : "";
  return Section("policies", "The same choices with other caches",
                 Cat("<p>Hit rates of the choices above in a cache", size,
                     ", with each layer’s share to itself or with one cache for all layers.",
                     marked ? " The game was played with the policy that is marked." : "", "</p>\n", table.ToHtml()));
}

std::string PagesHtml(const RoutingReport& report) {
  if (!report.pages || report.pages->orders.empty()) return "";
  const PagesReport& pages = *report.pages;
  const std::string reason = pages.not_measured.empty() ? "not measured" : Cat("not measured: ", pages.not_measured);
  Table table("Pages a token needs by order of the experts",
              {{"order"}, {"pages touched, predicted"}, {"runs, predicted"}, {"pages faulted in"}, {"pages read"}});
  bool absent = false;
  for (const OrderRow& row : pages.orders) {
    const auto measured = [&](const std::optional<double>& number) {
      const bool there = number && std::isfinite(*number);
      absent |= !there;
      return there ? Fixed(*number, 1) : Absent(reason);
    };
    std::string faulted = measured(row.faulted), read = measured(row.resident);
    table.Add({OrderName(row.order), IfMeasured(row.touched, Fixed(row.touched, 1)),
               IfMeasured(row.runs, Fixed(row.runs, 1)), std::move(faulted), std::move(read)});
  }
  const std::string router = pages.router == kModelRow  ? "the model’s own router"
                             : pages.router == kGameRow ? "the game"
                                                        : Escape(pages.router);
  std::string lead = Cat(
      "Pages", pages.page_bytes > 0 ? Cat(" of ", ExactBytes(pages.page_bytes)) : "",
      pages.file.empty() ? " of the weight file" : Cat(" of <code class=\"digest\">", Escape(pages.file), "</code>"),
      " that a token needs when the experts of every layer lie in some order");
  if (!router.empty()) lead += Cat(", by the choices of ", router);
  if (pages.tokens > 0) lead += Cat(", mean over ", Grouped(pages.tokens), " tokens");
  const std::string missing = absent && !pages.not_measured.empty()
                                  ? Cat("<p class=\"missing\">", kNothing,
                                        ": pages faulted in and read were not measured: ", Escape(pages.not_measured), "</p>\n")
                                  : "";
  return Section("pages", "Pages of the file by order of the experts",
                 Cat("<p>", lead, ".</p>\n", table.ToHtml(), missing,
                     "<p class=\"fine\">Touched: pages that hold bytes of the token’s experts. Runs: stretches of "
                     "neighbouring pages among them. Faulted in: "
                     "pages in the page cache after touching those on a cold mapping. Read: the same with the kernel’s "
                     "readahead.</p>\n"));
}

}  // namespace nashswarm::report
