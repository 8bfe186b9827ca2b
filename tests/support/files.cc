#include "tests/support/files.h"

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>

namespace nashswarm::testing {

TemporaryDirectory MakeTemporaryDirectory() {
  auto dir = TemporaryDirectory::Create();
  if (!dir.ok()) std::abort();
  return *std::move(dir);
}

void WriteTestFile(const std::string& path, std::string_view content) {
  if (!MakeDirectories(DirName(path)).ok()) std::abort();
  std::ofstream out(path, std::ios::binary);
  out.write(content.data(), static_cast<std::streamsize>(content.size()));
  out.close();
  if (!out) std::abort();
}

std::string ReadTestFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::stringstream content;
  content << in.rdbuf();
  return content.str();
}

std::string SafetensorsImage(std::string_view header, std::string_view data) {
  const uint64_t length = header.size();
  std::string image(8, '\0');
  std::memcpy(image.data(), &length, 8);
  image.append(header);
  image.append(data);
  return image;
}

std::string TestData(const std::string& name) {
  const char* source = std::getenv("NASHSWARM_SOURCE_DIR");
  return std::string(source != nullptr ? source : ".") + "/tests/data/" + name;
}

}  // namespace nashswarm::testing
