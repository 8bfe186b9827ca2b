// A format in JSON is its name (core/base/json_fields.h).
#ifndef NASHSWARM_CORE_QUANT_FORMAT_TEXT_H_
#define NASHSWARM_CORE_QUANT_FORMAT_TEXT_H_

#include <string>
#include <string_view>

#include "core/quant/format.h"

namespace nashswarm::quant {

inline std::string TextOf(const Format& format) { return std::string(InfoOf(format).name); }
// Of formats that can be encoded, as FormatByName.
inline bool FromText(std::string_view text, Format* format) {
  const std::optional<Format> found = FormatByName(text);
  if (found) *format = *found;
  return found.has_value();
}

}  // namespace nashswarm::quant

#endif  // NASHSWARM_CORE_QUANT_FORMAT_TEXT_H_
