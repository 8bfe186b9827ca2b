#include "core/model/architecture_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>

namespace nashswarm::model {
namespace {

using ::testing::HasSubstr;

TEST(ArchitectureTableTest, EveryRowIsWhole) {
  std::set<std::string_view> model_types;
  std::map<std::string_view, const Design*> designs;
  EXPECT_GE(Architectures().size(), 12u);
  for (const Architecture& row : Architectures()) {
    SCOPED_TRACE(std::string(row.model_type));
    EXPECT_TRUE(model_types.insert(row.model_type).second) << "two rows";
    ASSERT_NE(row.design, nullptr);
    ASSERT_NE(row.map, nullptr);
    EXPECT_EQ(FindArchitecture(row.model_type), &row);
    // GGUF files have only that name.
    const auto [known, is_new] = designs.emplace(row.gguf, row.design);
    EXPECT_TRUE(is_new || known->second == row.design) << "another design under the same name in GGUF";
    EXPECT_EQ(DesignOf(row.gguf), row.design);
  }
}

// What blocks need of a design, where not every combination is right.
TEST(ArchitectureTableTest, EveryDesignCanBeRun) {
  for (const Architecture& row : Architectures()) {
    SCOPED_TRACE(std::string(row.model_type));
    const Design& design = *row.design;
    ASSERT_FALSE(design.layer.empty());
    EXPECT_FALSE(design.layer.front().parallel) << "there is nothing before it";
    for (const BranchDesign& branch : design.layer) EXPECT_FALSE(branch.norm.empty() && branch.post_norm.empty());
    EXPECT_EQ(design.learned_positions, design.attention.rotation == Rotation::kNone);
    if (row.experts.present || design.experts.required) { EXPECT_TRUE(design.mlp.gated) << "experts have gates"; }
    EXPECT_EQ(design.experts.shared, !row.experts.shared_width.empty());
  }
}

TEST(ArchitectureTableTest, ListsForHints) {
  EXPECT_EQ(FindArchitecture("mamba"), nullptr);
  EXPECT_EQ(DesignOf("mamba"), nullptr);
  EXPECT_THAT(ListModelTypes(), HasSubstr("gpt2, llama, mistral, "));
  const std::string names = ListGgufArchitectures();
  EXPECT_EQ(names.find("llama"), names.rfind("llama"));  // once, of three rows
  EXPECT_THAT(names, HasSubstr(" and smollm3"));
}

}  // namespace
}  // namespace nashswarm::model
