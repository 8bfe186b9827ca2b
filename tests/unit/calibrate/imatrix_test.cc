// Importance matrices that others have made: the older form, and widths without our padding.
#include "core/calibrate/imatrix.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <map>

#include "core/base/status.h"
#include "core/calibrate/imatrix_file.h"
#include "core/checkpoint/gguf.h"
#include "core/forward/transformer.h"
#include "tests/support/files.h"

namespace nashswarm::calibrate {
namespace {

using ::nashswarm::testing::MakeTemporaryDirectory;
using ::nashswarm::testing::WriteTestFile;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

void AppendInt(std::string* out, int32_t value) { out->append(reinterpret_cast<const char*>(&value), sizeof(value)); }

// As llama.cpp writes it: mean squares times `calls`.
std::string OlderForm(const std::map<std::string, std::vector<float>>& means, int32_t calls) {
  std::string out;
  AppendInt(&out, static_cast<int32_t>(means.size()));
  for (const auto& [name, values] : means) {
    AppendInt(&out, static_cast<int32_t>(name.size()));
    out += name;
    AppendInt(&out, calls);
    AppendInt(&out, static_cast<int32_t>(values.size()));
    for (const float value : values) {
      const float sum = value * static_cast<float>(calls);
      out.append(reinterpret_cast<const char*>(&sum), sizeof(sum));
    }
  }
  AppendInt(&out, calls);
  AppendInt(&out, 9);
  return out + "calib.txt";
}

// A model with one matrix that is stored wider than the checkpoint has it, and a stack of two experts likewise.
model::Model PaddedModel() {
  model::Model model;
  const auto add = [&](const std::string& name, model::Role role, int expert) {
    model::MappedTensor tensor;
    tensor.name = name;
    tensor.role = role;
    tensor.layer = 0;
    tensor.expert = expert;
    tensor.rows = tensor.source_rows = 2;
    tensor.row_weights = 8;
    tensor.source_row_weights = 5;
    model.tensors.push_back(tensor);
  };
  add("blk.0.ffn_down.weight", model::Role::kFfnDown, -1);
  add("blk.0.ffn_down.0.weight", model::Role::kFfnDown, 0);
  add("blk.0.ffn_down.1.weight", model::Role::kFfnDown, 1);
  return model;
}

std::string InputOf(const std::string& tensor) { return forward::InputOf(tensor, false); }

TEST(ImatrixTest, TheOlderFormIsRead) {
  const auto directory = MakeTemporaryDirectory();
  const std::string path = directory.path() + "/imatrix.dat";
  WriteTestFile(path, OlderForm({{"blk.0.ffn_down.weight", {1, 2, 3, 4, 5, 6, 7, 8}}}, 10));
  const auto moments = ReadImatrix(path, PaddedModel(), false);
  NS_ASSERT_OK(moments.status());
  EXPECT_THAT(moments->at(InputOf("blk.0.ffn_down.weight")).values, ElementsAre(1, 2, 3, 4, 5, 6, 7, 8));
}

TEST(ImatrixTest, AMatrixOfTheModelsTrueWidthGetsZerosForThePadding) {
  const auto directory = MakeTemporaryDirectory();
  const std::string path = directory.path() + "/imatrix.dat";
  // An older one has a single count for a stack.
  WriteTestFile(path, OlderForm({{"blk.0.ffn_down.weight", {1, 2, 3, 4, 5}},
                                 {"blk.0.ffn_down_exps.weight", {1, 1, 1, 1, 1, 2, 2, 2, 2, 3}}}, 4));
  const auto moments = ReadImatrix(path, PaddedModel(), false);
  NS_ASSERT_OK(moments.status());
  EXPECT_THAT(moments->at(InputOf("blk.0.ffn_down.weight")).values, ElementsAre(1, 2, 3, 4, 5, 0, 0, 0));
  EXPECT_THAT(moments->at(InputOf("blk.0.ffn_down.0.weight")).values, ElementsAre(1, 1, 1, 1, 1, 0, 0, 0));
  EXPECT_THAT(moments->at(InputOf("blk.0.ffn_down.1.weight")).values, ElementsAre(2, 2, 2, 2, 3, 0, 0, 0));
}

TEST(ImatrixTest, WhatFitsNeitherWidthIsRefusedByFileAndTensor) {
  const auto directory = MakeTemporaryDirectory();
  const std::string path = directory.path() + "/imatrix.dat";
  WriteTestFile(path, OlderForm({{"blk.0.ffn_down.weight", {1, 2, 3, 4}}}, 10));
  const absl::Status status = ReadImatrix(path, PaddedModel(), false).status();
  EXPECT_EQ(ReasonOf(status), "IMATRIX_INVALID");
  EXPECT_THAT(std::string(status.message()), HasSubstr(path + ": 'blk.0.ffn_down.weight' has 4 values"));
  WriteTestFile(path, OlderForm({{"blk.7.ffn_down.weight", {1, 2, 3, 4}}}, 10));
  EXPECT_EQ(ReasonOf(ReadImatrix(path, PaddedModel(), false).status()), "IMATRIX_FOREIGN");
}

TEST(ImatrixTest, DamagedFilesOfTheOlderFormAreRefused) {
  const std::string whole = OlderForm({{"blk.0.ffn_down.weight", {1, 2, 3, 4, 5}}}, 10);
  const auto parse = [](const std::string& bytes) {
    return ParseImatrix({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()}, "imatrix.dat").status();
  };
  NS_EXPECT_OK(parse(whole));
  const size_t values_end = whole.size() - 17;  // what follows says nothing we need
  for (size_t size = 0; size < values_end; ++size) EXPECT_EQ(ReasonOf(parse(whole.substr(0, size))), "IMATRIX_INVALID") << size;
  NS_EXPECT_OK(parse(whole.substr(0, values_end)));
  std::string huge = whole;
  const int32_t most = 0x7fffffff;
  std::memcpy(huge.data() + 4 + 4 + 21 + 4, &most, sizeof(most));  // the number of values
  EXPECT_EQ(ReasonOf(parse(huge)), "IMATRIX_INVALID");
  std::string negative = whole;
  negative[4 + 4 + 21 + 8 + 3] = '\xbf';  // the first value
  EXPECT_THAT(std::string(parse(negative).message()), HasSubstr("negative or non-finite"));
  EXPECT_EQ(ReasonOf(parse("some text")), "IMATRIX_INVALID");
}

}  // namespace
}  // namespace nashswarm::calibrate
