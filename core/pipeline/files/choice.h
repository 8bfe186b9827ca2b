// What a player plays: a number format, or a step of an nsq stream.
#ifndef NASHSWARM_CORE_PIPELINE_FILES_CHOICE_H_
#define NASHSWARM_CORE_PIPELINE_FILES_CHOICE_H_

#include <string>

#include "core/quant/format.h"

namespace nashswarm::pipeline {

struct Choice {
  quant::Format format = quant::Format::kF32;
  double step = 0;                      // > 0: of a stream, whatever `format`
  bool has_step() const { return step > 0; }
  std::string name() const { return has_step() ? "nsq" : std::string(quant::InfoOf(format).name); }
  // With a step so many times as large; a format stays.
  Choice Scaled(double factor) const { return {format, static_cast<float>(step * factor)}; }
  friend bool operator==(const Choice&, const Choice&) = default;
};

}  // namespace nashswarm::pipeline

#endif  // NASHSWARM_CORE_PIPELINE_FILES_CHOICE_H_
