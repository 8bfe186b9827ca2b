// link(2) for files that others may replace.
#pragma once

#include <string>

namespace nashswarm::server {

// Like link(2): 0, or -1 with errno set. A file that is replaced with rename(2) between the kernel's finding it and
// linking it gives ENOENT, though its name was never without a file; that is tried again.
int LinkFile(const std::string& from, const std::string& to);

}  // namespace nashswarm::server
