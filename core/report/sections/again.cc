// What it takes to make the file again, to know it when it is met, and to run it.
#include "core/report/html.h"
#include "core/report/numbers.h"
#include "core/report/sections/sections.h"

namespace nashswarm::report {
namespace {

std::string Fact(std::string_view name, const std::string& markup) {
  return markup.empty() ? "" : Cat("<dt>", name, "</dt><dd>", markup, "</dd>\n");
}

std::string DigestHtml(const std::string& digest) { return Cat("<code class=\"digest\">", Escape(digest), "</code>"); }

std::string MadeHtml(const Report& report) {
  std::string when = report.made;
  if (when.size() == 20 && when[10] == 'T') when = Cat(when.substr(0, 10), " ", when.substr(11, 5), " UTC");
  return Cat(Escape(when), when.empty() || report.cpu.empty() ? "" : ", on ", Escape(report.cpu),
             when.empty() && report.cpu.empty() ? "" : Cat(", by ", Escape(report.engine)));
}

std::string MemoryHtml(const Report& report) {
  if (!report.memory) return "";
  const Memory& memory = *report.memory;
  const bool unpacked = report.artifact && report.artifact->bytes != memory.weight_bytes;
  return Cat(BytesHtml(memory.weight_bytes), unpacked ? " of weights, unpacked to the checkpoint's precision" : " of weights", ", and ",
             BytesHtml(memory.cache_bytes), " for keys and values of ", Grouped(memory.context),
             " tokens in 16 bits; beside them a runtime has its own buffers");
}

}  // namespace

std::string AgainHtml(const Report& report) {
  std::string facts;
  if (report.artifact) {
    facts += Fact("file", Cat(Escape(report.artifact->name), ", ", ExactBytes(report.artifact->bytes)));
    facts += Fact("its SHA-256", DigestHtml(report.artifact->sha256));
  }
  facts += Fact("memory to run it", MemoryHtml(report));
  if (!report.source_digest.empty()) facts += Fact("checkpoint", DigestHtml(report.source_digest));
  if (!report.made.empty() || !report.cpu.empty()) facts += Fact("made", MadeHtml(report));
  if (report.command.empty() && facts.empty()) return "";
  std::string body;
  if (!report.command.empty()) body += Cat("<p class=\"command\"><code>", Escape(report.command), "</code></p>\n");
  if (!facts.empty()) body += Cat("<dl class=\"list\">\n", facts, "</dl>\n");
  return Section("again", "To make it again", body);
}

}  // namespace nashswarm::report
