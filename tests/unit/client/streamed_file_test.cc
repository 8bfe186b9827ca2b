#include "client/cli/streamed_file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>

namespace nashswarm::cli {
namespace {

std::string ContentOf(const std::string& path) {
  std::ostringstream out;
  out << std::ifstream(path, std::ios::binary).rdbuf();
  return out.str();
}

std::string Noise(size_t size, std::mt19937_64& random) {
  std::string bytes(size, '\0');
  for (char& c : bytes) c = static_cast<char>(random());
  return bytes;
}

// From the beginning, from the middle of a page (a download that goes on), and small.
TEST(StreamedFileTest, TheFileHoldsWhatWasAppended) {
  std::mt19937_64 random(3);
  const std::string path = std::filesystem::temp_directory_path() / ("streamed-" + std::to_string(getpid()));
  for (const size_t before : {size_t{0}, size_t{4096}, size_t{5000}}) {
    for (const int64_t size : {int64_t{40} << 20, int64_t{1000}}) {
      std::string expected = Noise(before, random);
      std::ofstream(path, std::ios::binary | std::ios::trunc) << expected;
      const UniqueFd fd(open(path.c_str(), O_RDWR | O_CLOEXEC));
      ASSERT_GE(fd.get(), 0);
      StreamedFile file(fd.get(), path, static_cast<int64_t>(before), size);
      for (int64_t left = size; left > 0;) {
        const std::string bytes = Noise(static_cast<size_t>(std::min<int64_t>(left, 1 + static_cast<int64_t>(random() % (3 << 20)))), random);
        ASSERT_TRUE(file.Append(bytes).ok());
        expected += bytes;
        left -= static_cast<int64_t>(bytes.size());
      }
      ASSERT_TRUE(file.Finish().ok());
      EXPECT_TRUE(ContentOf(path) == expected) << before << " + " << size;
    }
  }
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace nashswarm::cli
