// nashswarm-engine: the engine alone, without network or stores. Parses flags and runs.
#include <CLI/CLI.hpp>
#include <string>

#include "core/engine/commands.h"

int main(int argc, char** argv) {
  CLI::App app{"nashswarm-engine: compression tasks and local inspection, without network"};
  app.set_version_flag("--version", std::string("nashswarm-engine " NASHSWARM_VERSION));
  app.require_subcommand(1);
  std::string path;
  bool json = false;
  int threads = 0;

  auto* task = app.add_subcommand("task", "Run one task of a job (started by nashswarmd)");
  task->add_option("dir", path, "Task directory with task.json, in/ and out/")->required();
  auto* inspect = app.add_subcommand("inspect", "Show the tensors of a checkpoint, an artifact or a GGUF file");
  inspect->add_option("path", path, "Checkpoint directory, artifact directory or .gguf file")->required();
  inspect->add_flag("--json", json, "Print JSON");
  auto* verify = app.add_subcommand("verify", "Check an artifact or a checkpoint for damage");
  verify->add_option("path", path, "Checkpoint directory, artifact directory or .gguf file")->required();
  verify->add_option("--threads", threads, "Threads; 0 is every core")->check(CLI::NonNegativeNumber);
  verify->add_flag("--json", json, "Print JSON");
  std::string out, dtype = "f32";
  bool force = false;
  auto* unpack = app.add_subcommand("unpack", "Decode an artifact or a GGUF file into plain safetensors");
  unpack->add_option("path", path, "Artifact directory or .gguf file")->required();
  unpack->add_option("-o,--output", out, "Directory that takes model.safetensors")->required();
  unpack->add_option("--dtype", dtype, "f32, f16 or bf16")->check(CLI::IsMember({"f32", "f16", "bf16"}));
  unpack->add_flag("--force", force, "Overwrite an existing model.safetensors");
  unpack->add_flag("--json", json, "Print JSON");
  auto* schemes = app.add_subcommand("schemes", "List the number formats with bits and measured signal-to-noise");
  schemes->add_flag("--json", json, "Print JSON");

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  if (task->parsed()) return nashswarm::engine::RunTask(path);
  if (inspect->parsed()) return nashswarm::engine::RunInspect(path, json);
  if (verify->parsed()) return nashswarm::engine::RunVerify(path, threads, json);
  if (unpack->parsed()) return nashswarm::engine::RunUnpack(path, out, dtype, force, json);
  return nashswarm::engine::RunSchemes(json);
}
