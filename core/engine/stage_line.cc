#include "core/engine/stage_line.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace nashswarm::engine {

void StageLine::Begin(const std::string& stage) {
  stage_ = stage;
  last_done_ = 0;
  part_ = 1;
}

void StageLine::Progress(uint64_t done, uint64_t total, const std::string& what) {
  if (done < last_done_) ++part_;  // the next shard
  last_done_ = done;
  std::string text = prefix_ + stage_;
  if (stage_ == "calibrate" || stage_ == "search") absl::StrAppend(&text, ": ", what);
  else if (part_ > 1) absl::StrAppend(&text, ", part ", part_);
  line_.Show(text, done, total);
}

void StageLine::Log(const std::string& severity, const std::string& text) {
  if (severity == "warning" && std::find(notes_->begin(), notes_->end(), text) == notes_->end()) notes_->push_back(text);
}

}  // namespace nashswarm::engine
