#include "core/base/cpu.h"

#include <sys/utsname.h>

#include <cstring>

#include "absl/strings/ascii.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace nashswarm {
namespace {

std::string Brand() {
#if defined(__x86_64__)
  // Three leaves of sixteen characters each (AMD64 Architecture Programmer's Manual, volume 3, appendix E.4).
  unsigned int words[12] = {};
  for (unsigned int leaf = 0; leaf < 3; ++leaf) {
    unsigned int* const part = words + 4 * leaf;
    if (__get_cpuid(0x80000002u + leaf, part, part + 1, part + 2, part + 3) == 0) return "";
  }
  char text[sizeof(words) + 1] = {};
  std::memcpy(text, words, sizeof(words));
  return text;
#else
  return "";
#endif
}

}  // namespace

std::string CpuName() {
  std::string name = Brand();
  absl::RemoveExtraAsciiWhitespace(&name);
  if (!name.empty()) return name;
  utsname system;
  return uname(&system) == 0 ? system.machine : "";
}

}  // namespace nashswarm
