// Which text is for calibration and which for evaluation. What is measured on was never calibrated on.
#ifndef NASHSWARM_CORE_CALIBRATE_TEXTS_H_
#define NASHSWARM_CORE_CALIBRATE_TEXTS_H_

#include <cstdint>
#include <string>
#include <string_view>

namespace nashswarm::calibrate {

struct Texts {
  std::string calibration, evaluation;
  std::string note;  // how they were parted, in a sentence; empty when nothing had to be done
};

// One text for both: the last fifth is held out, cut at the end of a line when there is one near.
Texts Split(std::string_view text);

// Two texts: lines of at least 40 bytes that the evaluation text has too are left out of the calibration text. The same
// text twice is split as one.
Texts Part(std::string_view calibration, std::string_view evaluation);

}  // namespace nashswarm::calibrate

#endif  // NASHSWARM_CORE_CALIBRATE_TEXTS_H_
