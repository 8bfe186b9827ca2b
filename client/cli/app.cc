#include "client/cli/app.h"

#include <algorithm>
#include <cstring>
#include <ostream>

#include "client/cli/commands/commands.h"
#include "client/cli/errors.h"
#include "client/cli/programs.h"
#include "base/commandline/help.h"
#include "base/commandline/unknown.h"

namespace nashswarm::cli {
namespace {

constexpr char kExamples[] =
    "Examples:\n"
    "  nashswarm compress ./gpt2 -o out --bpw 4.5 --calibrate train.txt   on this machine, no set-up\n"
    "  nashswarm compress ./gpt2 -o gpt2.gguf --size 50MB --calibrate self   one file of at most 50 MB\n"
    "  nashswarm compress ./gpt2 -o out --max-ppl-increase 2% --calibrate train.txt   as small as it may be\n"
    "  nashswarm push ./gpt2 --server host:port   then submit, jobs watch, pull\n"
    "\n"
    "Settings: flags, then NASHSWARM_SERVER, NASHSWARM_JSON, NASHSWARM_QUIET,\n"
    "NASHSWARM_NO_PROGRESS, NASHSWARM_CONFIG, NASHSWARM_TLS, NASHSWARM_CA,\n"
    "NASHSWARM_CERT, NASHSWARM_KEY and NASHSWARM_TOKEN_FILE, then the configuration\n"
    "file ($XDG_CONFIG_HOME/nashswarm/config.toml).\n"
    "A token is in NASHSWARM_TOKEN or in the file of --token-file. TRACEPARENT names\n"
    "the W3C trace a job belongs to.\n"
    "Where a directory is asked for, hf://ORG/NAME[@REVISION] downloads a model of\n"
    "the Hugging Face hub; HF_TOKEN, HF_HOME, HF_HUB_CACHE, HF_ENDPOINT and\n"
    "HF_HUB_OFFLINE mean what they mean everywhere.\n"
    "Data goes to stdout, progress and errors to stderr. NO_COLOR is respected.\n"
    "Exit codes: 0 ok, 1 failed, 2 usage, 3 not found, 4 auth, 5 unreachable,\n"
    "6 quota or space, 7 corrupt data, 130 interrupted.";

constexpr char kSharedHelp[] =
    "Everywhere: --server ADDR, --json, --quiet, --no-progress, --config FILE, --tls\n"
    "and --token-file FILE (see nashswarm --help)";

struct EnvironmentFlag {
  const char* variable;
  const char* option;
  bool is_switch;
};
constexpr EnvironmentFlag kEnvironment[] = {{"NASHSWARM_SERVER", "--server", false},
                                            {"NASHSWARM_CONFIG", "--config", false},
                                            {"NASHSWARM_JSON", "--json", true},
                                            {"NASHSWARM_QUIET", "--quiet", true},
                                            {"NASHSWARM_NO_PROGRESS", "--no-progress", true},
                                            {"NASHSWARM_TLS", "--tls", true},
                                            {"NASHSWARM_CA", "--ca", false},
                                            {"NASHSWARM_CERT", "--cert", false},
                                            {"NASHSWARM_KEY", "--key", false},
                                            {"NASHSWARM_TOKEN_FILE", "--token-file", false}};

// Lines that fit a terminal; what stands in brackets, an option with its value, stays together.
std::string WrapUsage(std::string usage) {
  constexpr char kJoined = '\x01';
  constexpr size_t kIndent = 2;
  int depth = 0;
  for (char& c : usage) {
    depth += c == '[' ? 1 : c == ']' ? -1 : 0;
    if (c == ' ' && depth > 0) c = kJoined;
  }
  usage = commandline::Wrap(usage, commandline::kWidth, 0, kIndent);
  std::replace(usage.begin(), usage.end(), kJoined, ' ');
  return usage;
}

// Help with neater options: no names of validators, and positionals named once.
class HelpFormatter : public commandline::HelpFormatter {
 public:
  std::string make_option_opts(const CLI::Option* option) const override {
    const std::string type = option->get_type_name();
    std::string text;
    if (!option->get_positional() && option->get_items_expected_max() > 0) text += " " + type.substr(0, type.find(':'));
    if (const size_t choices = type.find('{'); choices != std::string::npos) text += " " + type.substr(choices);
    if (!option->get_default_str().empty() && option->get_configurable())
      text += " [" + option->get_default_str() + "]";
    if (option->get_required() && !option->get_positional()) text += " REQUIRED";
    return text;
  }

  std::string make_description(const CLI::App* app) const override {
    return commandline::Wrap(Formatter::make_description(app), commandline::kWidth) + "\n";
  }

  std::string make_usage(const CLI::App* app, std::string name) const override {
    for (const EngineCommand& command : EngineCommands()) {
      if (app->get_name() == command.name) return WrapUsage("Usage: " + name + " " + command.usage) + "\n";
    }
    return Formatter::make_usage(app, name);
  }
};

// Where to look for what was not found, when the server does not say.
absl::Status WithListHint(const absl::Status& status, const std::string& server) {
  if (status.code() != absl::StatusCode::kNotFound || !HintOf(status).empty()) return status;
  for (const auto& [reason, list] : {std::pair("JOB_NOT_FOUND", "jobs"), std::pair("MODEL_NOT_FOUND", "models"),
                                     std::pair("ARTIFACT_NOT_FOUND", "artifacts")}) {
    if (ReasonOf(status) != reason) continue;
    return WithHint(status, "list them with: nashswarm " + std::string(list) + " list --server " + server);
  }
  return status;
}

// Of a server that does not say itself what it wants, a proxy perhaps.
absl::Status WithTokenHint(const absl::Status& status) {
  if (status.code() != absl::StatusCode::kUnauthenticated || !HintOf(status).empty()) return status;
  return WithHint(status, "show a token with --token-file FILE or NASHSWARM_TOKEN");
}

// Without what was given: it is a secret.
absl::Status TokenOnCommandLine() {
  return UsageError("a token does not belong on the command line, where every user of this machine can read it",
                    "write it to a file and use --token-file FILE, or set NASHSWARM_TOKEN; and have this one replaced");
}

bool IsSet(const char* value) { return value != nullptr && *value != '\0'; }
bool IsOn(const char* value) {
  return IsSet(value) && std::strcmp(value, "0") != 0 && std::strcmp(value, "false") != 0;
}

}  // namespace

App::App(const Surroundings& surroundings, Interrupt& interrupt)
    : around_(surroundings),
      interrupt_(interrupt),
      color_(!IsSet(surroundings.getenv("NO_COLOR"))),
      root_("nashswarm compresses LLM checkpoints to the size you ask for.", "nashswarm") {
  Build();
}

void App::Build() {
  root_.require_subcommand(1);
  root_.set_version_flag("--version", "nashswarm " NASHSWARM_VERSION);
  root_.footer(kExamples);
  root_.formatter(std::make_shared<HelpFormatter>());
  AddSharedOptions();
  AddCompress(*this);
  AddPush(*this);
  AddSubmit(*this);
  AddJobs(*this);
  AddPull(*this);
  AddReport(*this);
  AddModels(*this);
  AddArtifacts(*this);
  AddEngineCommands(*this);
  AddServer(*this);
  AddCompletion(*this);
}

void App::AddSharedOptions() {
  const auto last = CLI::MultiOptionPolicy::TakeLast;
  root_.add_option("--server", flags_.server, "The server: HOST:PORT, https://HOST:PORT or unix:/path")
      ->type_name("ADDR")
      ->multi_option_policy(last);
  root_.add_flag("--json", flags_.json, "Print one JSON value on stdout")->multi_option_policy(last);
  root_.add_flag("-q,--quiet", flags_.quiet, "Print nothing but data and errors")->multi_option_policy(last);
  root_.add_flag("--no-progress", flags_.no_progress, "No bars and no progress lines")->multi_option_policy(last);
  AccessFlags& access = flags_.access;
  root_.add_flag("--tls", access.tls, "Encrypt, and check who the server is (as with https://)")
      ->multi_option_policy(last);
  const auto add_file = [&](const char* name, std::string* path, const char* description) {
    root_.add_option(name, *path, description)->type_name("FILE")->multi_option_policy(last);
  };
  add_file("--ca", &access.ca, "The CA of the server's certificate (default: the system's CAs)");
  add_file("--cert", &access.certificate, "This client's certificate");
  add_file("--key", &access.key, "The private key of --cert");
  add_file("--token-file", &access.token_file, "A file with the token to show (default: NASHSWARM_TOKEN)");
  root_.add_flag("--send-token-unencrypted", access.send_token_unencrypted,
                 "Show the token without TLS, to a server on another machine")
      ->multi_option_policy(last);
  root_.set_config("--config", DefaultConfig(), "Configuration file (TOML)")
      ->type_name("FILE")
      ->multi_option_policy(last);
  root_.allow_config_extras(CLI::config_extras_mode::error);
}

std::string App::DefaultConfig() const {
  if (const char* base = around_.getenv("XDG_CONFIG_HOME"); IsSet(base)) {
    return std::string(base) + "/nashswarm/config.toml";
  }
  if (const char* home = around_.getenv("HOME"); IsSet(home)) {
    return std::string(home) + "/.config/nashswarm/config.toml";
  }
  return "";
}

// CLI11 lets the configuration file win over the environment. As arguments that come first, the variables win over the
// file and lose to the flags, which come later.
std::vector<std::string> App::WithEnvironment(const std::vector<std::string>& arguments) const {
  std::vector<std::string> all;
  for (const EnvironmentFlag& flag : kEnvironment) {
    const char* value = around_.getenv(flag.variable);
    if (flag.is_switch && IsOn(value)) all.push_back(flag.option);
    if (!flag.is_switch && IsSet(value)) all.push_back(std::string(flag.option) + "=" + value);
  }
  all.insert(all.end(), arguments.begin(), arguments.end());
  return all;
}

int App::Run(const std::vector<std::string>& arguments) {
  std::vector<std::string> reversed = WithEnvironment(arguments);
  token_file_given_ = std::any_of(reversed.begin(), reversed.end(), [](const std::string& argument) {
    return argument.rfind("--token-file", 0) == 0;
  });
  std::reverse(reversed.begin(), reversed.end());
  try {
    root_.parse(reversed);
  } catch (const CLI::Success& success) {  // --help, --version
    if (dynamic_cast<const CLI::CallForHelp*>(&success) != nullptr) ShowEnginesHelp();
    return root_.exit(success, around_.out, around_.err);
  } catch (const CLI::ParseError& error) {
    for (const std::string& argument : arguments) {
      flags_.json |= argument == "--json";
      if (argument == "--token" || argument.rfind("--token=", 0) == 0) return Report(TokenOnCommandLine());
    }
    if (const auto unknown = commandline::FindUnknown(root_, arguments); unknown.has_value()) {
      return Report(UsageError(unknown->message, unknown->hint));
    }
    std::string command = "nashswarm";
    for (const CLI::App* app = &root_; !app->get_subcommands().empty();) {
      app = app->get_subcommands().front();
      command += " " + app->get_name();
    }
    return Report(UsageError(error.what(), command + " --help"));
  }
  const absl::Status status = action_ ? action_() : absl::OkStatus();
  progress_.reset();
  return Report(status);
}

// A command that is handed over explains itself. Where there is no engine, what is known of it here has to do.
void App::ShowEnginesHelp() {
  const std::vector<CLI::App*> asked = root_.get_subcommands();
  if (!around_.may_become_engine || asked.empty() || !asked.front()->get_prefix_command()) return;
  (void)ExecEngine(asked.front()->get_name(), {"--help"});
}

int App::Report(const absl::Status& status) {
  around_.out.flush();
  if (status.ok()) return kExitOk;
  if (flags_.json && !json_printed_) around_.out << ToText(ErrorToJson(status)) << std::endl;
  PrintError(around_.err, status, around_.err_is_terminal && color_);
  return ExitCodeOf(status);
}

CLI::App* App::AddCommand(CLI::App* parent, const std::string& name, const std::string& description,
                          const std::string& examples) {
  CLI::App* command = parent->add_subcommand(name, description);
  command->fallthrough();
  command->footer((examples.empty() ? "" : examples + "\n\n") + kSharedHelp);
  return command;
}

absl::Status App::WithServer(const std::function<absl::Status(const Session&)>& body) {
  if (flags_.server.empty()) {
    return UsageError("no server is given",
                      "add --server HOST:PORT or set NASHSWARM_SERVER; nashswarm compress works without a server");
  }
  AccessFlags access = flags_.access;
  if (const char* token = around_.getenv("NASHSWARM_TOKEN"); IsSet(token)) {
    access.token = token;
    if (!token_file_given_) access.token_file.clear();  // the configuration file's, which loses to the environment
  }
  NS_ASSIGN_OR_RETURN(const std::unique_ptr<Connection> connection, Connection::Open(flags_.server, access));
  const Session session{.server = *connection, .interrupt = interrupt_, .progress = progress()};
  return WithTokenHint(WithListHint(body(session), flags_.server));
}

Progress& App::progress() {
  if (progress_ == nullptr) {
    const auto style = flags_.quiet || flags_.no_progress ? Progress::Style::kNone
                       : around_.err_is_terminal          ? Progress::Style::kBar
                                                          : Progress::Style::kLines;
    progress_ = std::make_unique<Progress>(around_.err, style, color_, around_.width);
  }
  return *progress_;
}

void App::PrintJson(const nlohmann::json& value) {
  json_printed_ = true;
  around_.out << ToText(value) << '\n';
}

void App::PrintText(const std::string& text) { around_.out << text; }

void App::PrintEvent(const nlohmann::json& value) {
  json_printed_ = true;
  around_.out << value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) << std::endl;
}

void App::Say(const std::string& text) {
  if (!flags_.quiet) around_.err << text << std::endl;
}

std::string IdOf(const std::string& name) { return name.substr(name.find('/') + 1); }

std::string QualifiedName(const std::string& collection, const std::string& id) {
  return id.rfind(collection + "/", 0) == 0 ? id : collection + "/" + id;
}

}  // namespace nashswarm::cli
