// Keys in the order of their use, linked through arrays: each operation takes constant time and allocates nothing.
#ifndef NASHSWARM_CORE_EXPERT_CACHE_KEY_LIST_H_
#define NASHSWARM_CORE_EXPERT_CACHE_KEY_LIST_H_

#include <cstdint>
#include <vector>

#include "core/expert_cache/trace.h"

namespace nashswarm::expert_cache {

// Keys 0 .. keys - 1, each at most once. Neither Back nor Remove of what is not there.
class KeyList {
 public:
  explicit KeyList(size_t keys) : links_(keys + 1), bytes_of_(keys), in_(keys), end_(static_cast<uint32_t>(keys)) {
    links_[end_] = {end_, end_};
  }

  bool empty() const { return links_[end_].next == end_; }
  bool Contains(ExpertKey key) const { return in_[key]; }
  uint64_t bytes() const { return bytes_; }
  ExpertKey Back() const { return links_[end_].previous; }  // what was pushed longest ago

  void PushFront(ExpertKey key, uint64_t bytes) {
    const uint32_t first = links_[end_].next;
    links_[key] = {end_, first};
    links_[first].previous = key;
    links_[end_].next = key;
    in_[key] = true;
    bytes_of_[key] = bytes;
    bytes_ += bytes;
  }

  void Remove(ExpertKey key) {
    const Link link = links_[key];
    links_[link.previous].next = link.next;
    links_[link.next].previous = link.previous;
    in_[key] = false;
    bytes_ -= bytes_of_[key];
  }

  ExpertKey PopBack() {
    const ExpertKey key = Back();
    Remove(key);
    return key;
  }

 private:
  struct Link {
    uint32_t previous, next;
  };
  std::vector<Link> links_;  // by key; one more stands for both ends
  std::vector<uint64_t> bytes_of_;
  std::vector<bool> in_;
  uint32_t end_;
  uint64_t bytes_ = 0;
};

}  // namespace nashswarm::expert_cache

#endif  // NASHSWARM_CORE_EXPERT_CACHE_KEY_LIST_H_
