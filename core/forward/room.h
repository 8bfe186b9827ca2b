// Buffers that are kept from call to call. Private to the folder.
#ifndef NASHSWARM_CORE_FORWARD_ROOM_H_
#define NASHSWARM_CORE_FORWARD_ROOM_H_

#include <cstdint>
#include <vector>

namespace nashswarm::forward {

// Room for `size` floats: grows and never shrinks, and does not clear what is written anyway.
inline float* Room(std::vector<float>& buffer, uint64_t size) {
  if (buffer.size() < size) buffer.resize(size);
  return buffer.data();
}

}  // namespace nashswarm::forward

#endif  // NASHSWARM_CORE_FORWARD_ROOM_H_
