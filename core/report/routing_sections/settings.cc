// What was asked of the game.
#include "core/base/utf8.h"
#include "core/report/html.h"
#include "core/report/numbers.h"
#include "core/report/routing_sections/routing_sections.h"

namespace nashswarm::report {
namespace {

std::string Weight(double value) { return value == 0 ? "off" : Given(value); }

// A word of the settings, which wraps nowhere.
std::string Word(const std::string& word) {
  return word.empty() ? Absent("not known") : Escape(Shortened(PrintableUtf8(word), 32));
}

std::string BonusMeaning(const RoutingSettings& settings) {
  const std::string meaning = "worth of an expert that is in the cache; ";
  if (!settings.bonus_was_chosen) return meaning + "as given";
  return Cat(meaning, "chosen on the tuning text, for a loss of at most ", SignedPercent(settings.max_loss));
}

std::string Cache(const RoutingSettings& settings) {
  if (settings.cache_bytes == 0) return "none";
  const double share = static_cast<double>(settings.cache_bytes) / static_cast<double>(settings.expert_bytes);
  const std::string of =
      settings.expert_bytes == 0 ? "" : Cat("<span class=\"second\">", Percent(share), " of all experts</span>");
  return BytesHtml(settings.cache_bytes) + of;
}

}  // namespace

std::string SettingsHtml(const RoutingReport& report) {
  const RoutingSettings& s = report.settings;
  if (s.similarity.empty() && s.batch == 0) return "";
  Table table("Settings of the game", {{"setting"}, {"value"}});
  const auto add = [&](std::string_view name, std::string value, std::string_view meaning) {
    table.Add({Cat(name, "<span class=\"second\">", meaning, "</span>"), std::move(value)});
  };
  add("similarity", Word(s.similarity),
      s.similarity == "logit" ? "the router’s own logit of an expert"
                              : "what an expert is worth to a token: the square of the weight the layer gives it");
  add("alpha", Weight(s.alpha), "price of an expert that has its even share of the tokens");
  add("separation", Weight(s.separation), Cat("further price of each even share above ", Given(s.threshold)));
  add("alignment", Weight(s.alignment), "worth of an expert that a token’s 7 neighbours chose");
  add("cohesion", Weight(s.cohesion), "worth of an expert whose centre points where its group’s does");
  add("cache bonus", Weight(s.cache_bonus), BonusMeaning(s));
  add("batch", s.batch == 0 ? Absent("not known") : Grouped(s.batch), "tokens that are routed together");
  add("group", s.group <= 0 ? Absent("not known") : std::to_string(s.group),
      "experts that a token chooses from: those nearest to it");
  add("cache", Cache(s), "of all layers together, each a share by the bytes of its experts");
  add("cache policy", Word(s.policy), "which expert leaves when another needs its room");
  return Section("settings", "Settings of the game",
                 Cat("<p>Prices and worths are in the unit of the similarity.</p>\n", table.ToHtml()));
}

}  // namespace nashswarm::report
