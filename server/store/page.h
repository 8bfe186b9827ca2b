// A page of a list that is ordered by creation, newest first.
#ifndef NASHSWARM_SERVER_STORE_PAGE_H_
#define NASHSWARM_SERVER_STORE_PAGE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace nashswarm::server {

// A position in a list ordered by creation, newest first.
struct Cursor {
  int64_t created_us = 0;
  std::string id;
};
struct PageRequest {
  int size = 50;
  std::optional<Cursor> after;
};
template <typename T>
struct Page {
  std::vector<T> items;
  std::optional<Cursor> next;  // set when there may be more
};

}  // namespace nashswarm::server

#endif  // NASHSWARM_SERVER_STORE_PAGE_H_
