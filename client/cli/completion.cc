#include "client/cli/completion.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cctype>
#include <functional>

#include "client/cli/programs.h"

namespace nashswarm::cli {
namespace {

std::string Join(const std::vector<std::string>& items, const std::string& separator) {
  std::string text;
  for (const std::string& item : items) text += (text.empty() ? "" : separator) + item;
  return text;
}

// CLI11 shows a closed list as "NAME:{a,b,c}".
std::vector<std::string> Choices(const std::string& type) {
  const size_t begin = type.find('{');
  const size_t end = type.rfind('}');
  if (begin == std::string::npos || end == std::string::npos || end < begin) return {};
  return CLI::detail::split(type.substr(begin + 1, end - begin - 1), ',');
}

CompletionValue ValueOf(const CLI::Option& option) {
  const std::string type = option.get_type_name();
  CompletionValue value;
  value.expected = option.get_items_expected_max() > 0;
  value.choices = Choices(type);
  value.is_path = type == "DIR" || type == "FILE" || type == "OUT" || type == "PATH";
  return value;
}

CompletionOption DescribeOption(const CLI::Option& option) {
  CompletionOption described;
  for (const std::string& name : option.get_lnames()) described.names.push_back("--" + name);
  for (const std::string& name : option.get_snames()) described.names.push_back("-" + name);
  described.description = option.get_description();
  described.value = ValueOf(option);
  return described;
}

// What a handed-over command takes is not in the tree but in its usage: "PATH -o OUT [--dtype f32|f16] [--json]".
std::vector<CompletionOption> UsageOptions(const std::string& usage) {
  std::vector<CompletionOption> options;
  std::string plain = usage;
  std::replace_if(
      plain.begin(), plain.end(), [](char c) { return c == '[' || c == ']'; }, ' ');
  bool after_option = false;
  for (const std::string& word : CLI::detail::split_up(plain)) {
    const bool is_option = word.front() == '-';
    const bool is_number = word == "N" || word == "BITS" || word == "FROM:TO";
    if (is_option) {
      options.push_back({.names = {word}, .description = word == "--json" ? "Print one JSON value on stdout" : ""});
    } else if (after_option) {
      const bool is_list = word.find('|') != std::string::npos;
      options.back().value = {.expected = true, .is_path = !is_list && !is_number};
      if (is_list) options.back().value.choices = CLI::detail::split(word, '|');
    }
    after_option = is_option;
  }
  return options;
}

// "quality DIR --text FILE": the words in small letters that come first are to be written as they are.
std::vector<std::string> UsageWords(const std::string& usage) {
  std::vector<std::string> words;
  for (const std::string& word : CLI::detail::split_up(usage)) {
    if (!std::all_of(word.begin(), word.end(), [](unsigned char c) { return std::islower(c) != 0; })) break;
    words.push_back(word);
  }
  return words;
}

std::string UsageOf(const std::string& command) {
  for (const EngineCommand& entry : EngineCommands()) {
    if (entry.name == command) return entry.usage;
  }
  return "";
}

CompletionNode Describe(const CLI::App& app, const std::string& path, const std::vector<CompletionOption>& inherited) {
  CompletionNode node = {.name = app.get_name(), .path = path, .description = app.get_description()};
  std::vector<CompletionOption> shared = inherited;
  for (const CLI::Option* option : app.get_options()) {
    if (option->get_positional()) {
      node.positional = ValueOf(*option);
      continue;
    }
    CompletionOption described = DescribeOption(*option);
    const bool own = described.names.front() == "--help" || described.names.front() == "--version";
    if (path.empty() && !own) shared.push_back(described);
    node.options.push_back(std::move(described));
  }
  if (app.get_prefix_command()) {
    const std::string usage = UsageOf(node.name);
    node.positional = {.expected = true, .is_path = true, .choices = UsageWords(usage)};
    for (CompletionOption& option : UsageOptions(usage)) node.options.push_back(std::move(option));
  } else if (!path.empty()) {
    node.options.insert(node.options.end(), inherited.begin(), inherited.end());
  }
  for (const CLI::App* child : app.get_subcommands({})) {
    node.children.push_back(Describe(*child, path + "/" + child->get_name(), path.empty() ? shared : inherited));
  }
  return node;
}

void Walk(const CompletionNode& node, const std::function<void(const CompletionNode&)>& visit) {
  visit(node);
  for (const CompletionNode& child : node.children) Walk(child, visit);
}

std::string AllPaths(const CompletionNode& root) {
  std::vector<std::string> paths;
  Walk(root, [&](const CompletionNode& node) {
    if (!node.path.empty()) paths.push_back(node.path);
  });
  return Join(paths, "|");
}

// Cases of a shell's `case "$cmd:$word"`; `accept` picks the options.
std::string OptionCases(const CompletionNode& root, const std::function<bool(const CompletionOption&)>& accept) {
  std::vector<std::string> cases;
  Walk(root, [&](const CompletionNode& node) {
    for (const CompletionOption& option : node.options) {
      if (!accept(option)) continue;
      for (const std::string& name : option.names) cases.push_back(node.path + ":" + name);
    }
  });
  return Join(cases, "|");
}

bool TakesValue(const CompletionOption& option) { return option.value.expected; }
bool TakesPath(const CompletionOption& option) { return option.value.expected && option.value.is_path; }

// A single-quoted word of every shell here.
std::string Quote(const std::string& text, const std::string& escaped_quote) {
  std::string quoted = "'";
  for (const char c : text) quoted += c == '\'' ? escaped_quote : std::string(1, c);
  return quoted + "'";
}
std::string PosixQuote(const std::string& text) { return Quote(text, "'\\''"); }
std::string FishQuote(const std::string& text) { return Quote(text, "\\'"); }

std::string ChoiceCases(const CompletionNode& root, const std::string& before, const std::string& after) {
  std::string text;
  Walk(root, [&](const CompletionNode& node) {
    for (const CompletionOption& option : node.options) {
      if (option.value.choices.empty()) continue;
      std::vector<std::string> cases;
      for (const std::string& name : option.names) cases.push_back(node.path + ":" + name);
      text += "    " + Join(cases, "|") + ") " + before + Join(option.value.choices, " ") + after + "\n";
    }
  });
  return text;
}

// "name:description" of zsh's _describe, where a colon in the name must be escaped.
std::string Described(const std::string& name, const std::string& description) {
  return PosixQuote(name + ":" + description);
}

}  // namespace

CompletionNode DescribeCommands(const CLI::App& root) { return Describe(root, "", {}); }

std::string BashCompletion(const CompletionNode& root) {
  std::string script =
      "# bash completion of nashswarm; generated by: nashswarm completion bash\n"
      "_nashswarm() {\n"
      "  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} cmd='' words='' files='' i\n"
      "  COMPREPLY=()\n"
      "  if [[ $cur == = ]]; then cur=''; elif [[ $prev == = ]]; then prev=${COMP_WORDS[COMP_CWORD-2]}; fi\n"
      "  for ((i = 1; i < COMP_CWORD; i++)); do\n"
      "    case \"$cmd:${COMP_WORDS[i]}\" in\n"
      "      " +
      OptionCases(root, TakesValue) +
      ") i=$((i + 1)); [[ ${COMP_WORDS[i]} == = ]] && i=$((i + 1)); continue ;;\n"
      "    esac\n"
      "    case \"$cmd/${COMP_WORDS[i]}\" in\n"
      "      " +
      AllPaths(root) +
      ") cmd=\"$cmd/${COMP_WORDS[i]}\" ;;\n"
      "    esac\n"
      "  done\n"
      "  case \"$cmd:$prev\" in\n" +
      ChoiceCases(root, "COMPREPLY=($(compgen -W '", "' -- \"$cur\")); return ;;") + "    " +
      OptionCases(root, TakesPath) +
      ")\n"
      "      compopt -o filenames 2>/dev/null\n"
      "      mapfile -t COMPREPLY < <(compgen -f -- \"$cur\"); return ;;\n"
      "    " +
      OptionCases(root, TakesValue) +
      ") return ;;\n"
      "  esac\n"
      "  case \"$cmd\" in\n";
  Walk(root, [&](const CompletionNode& node) {
    std::vector<std::string> words;
    for (const CompletionNode& child : node.children) words.push_back(child.name);
    words.insert(words.end(), node.positional.choices.begin(), node.positional.choices.end());
    std::vector<std::string> options;
    for (const CompletionOption& option : node.options) {
      options.insert(options.end(), option.names.begin(), option.names.end());
    }
    script += "    " + PosixQuote(node.path) + ") words=" + PosixQuote(Join(words, " ")) +
              "; [[ $cur == -* ]] && words=" + PosixQuote(Join(options, " ")) +
              (node.positional.is_path ? "; files=1" : "") + " ;;\n";
  });
  script +=
      "  esac\n"
      "  COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
      "  if [[ -n $files && $cur != -* ]]; then\n"
      "    compopt -o filenames 2>/dev/null\n"
      "    mapfile -t -O ${#COMPREPLY[@]} COMPREPLY < <(compgen -f -- \"$cur\")\n"
      "  fi\n"
      "}\n"
      "complete -F _nashswarm nashswarm\n";
  return script;
}

std::string ZshCompletion(const CompletionNode& root) {
  std::string script =
      "#compdef nashswarm\n"
      "# zsh completion of nashswarm; generated by: nashswarm completion zsh\n"
      "_nashswarm() {\n"
      "  local cmd='' prev=${words[CURRENT-1]} cur=${words[CURRENT]} i\n"
      "  local -a items options\n"
      "  for ((i = 2; i < CURRENT; i++)); do\n"
      "    case \"$cmd:${words[i]}\" in\n"
      "      (" +
      OptionCases(root, TakesValue) +
      ") i=$((i + 1)); continue ;;\n"
      "    esac\n"
      "    case \"$cmd/${words[i]}\" in\n"
      "      (" +
      AllPaths(root) +
      ") cmd=\"$cmd/${words[i]}\" ;;\n"
      "    esac\n"
      "  done\n"
      "  case \"$cmd:$prev\" in\n" +
      ChoiceCases(root, "compadd ", "; return ;;") + "    " + OptionCases(root, TakesPath) +
      ") _files; return ;;\n"
      "    " +
      OptionCases(root, TakesValue) +
      ") _message value; return ;;\n"
      "  esac\n"
      "  case \"$cmd\" in\n";
  Walk(root, [&](const CompletionNode& node) {
    std::vector<std::string> items;
    std::vector<std::string> options;
    for (const CompletionNode& child : node.children) items.push_back(Described(child.name, child.description));
    for (const std::string& choice : node.positional.choices) items.push_back(Described(choice, ""));
    for (const CompletionOption& option : node.options) {
      for (const std::string& name : option.names) options.push_back(Described(name, option.description));
    }
    script += "    " + PosixQuote(node.path) + ") items=(" + Join(items, " ") + ")\n      options=(" +
              Join(options, " ") + ")" + (node.positional.is_path ? "\n      [[ $cur != -* ]] && _files" : "") +
              " ;;\n";
  });
  script +=
      "  esac\n"
      "  (( ${#items} )) && _describe -t commands command items\n"
      "  [[ $cur == -* ]] && _describe -o -t options option options\n"
      "}\n"
      "if [[ ${funcstack[1]} == _nashswarm ]]; then _nashswarm \"$@\"; else compdef _nashswarm nashswarm; fi\n";
  return script;
}

std::string FishCompletion(const CompletionNode& root) {
  std::string script =
      "# fish completion of nashswarm; generated by: nashswarm completion fish\n"
      "function __nashswarm_at\n"
      "  set -l cmd ''\n"
      "  set -l skip 0\n"
      "  for word in (commandline -opc)[2..-1]\n"
      "    if test $skip = 1\n"
      "      set skip 0\n"
      "      continue\n"
      "    end\n"
      "    switch \"$cmd:$word\"\n"
      "      case ";
  std::string cases = OptionCases(root, TakesValue);
  for (char& c : cases) c = c == '|' ? ' ' : c;
  std::string paths = AllPaths(root);
  for (char& c : paths) c = c == '|' ? ' ' : c;
  script += cases +
            "\n"
            "        set skip 1\n"
            "        continue\n"
            "    end\n"
            "    switch \"$cmd/$word\"\n"
            "      case " +
            paths +
            "\n"
            "        set cmd \"$cmd/$word\"\n"
            "    end\n"
            "  end\n"
            "  test \"$cmd\" = \"$argv[1]\"\n"
            "end\n"
            "complete -c nashswarm -f\n";
  Walk(root, [&](const CompletionNode& node) {
    const std::string at = "complete -c nashswarm -n " + FishQuote("__nashswarm_at \"" + node.path + "\"");
    for (const CompletionNode& child : node.children) {
      script += at + " -a " + child.name + " -d " + FishQuote(child.description) + "\n";
    }
    if (!node.positional.choices.empty()) script += at + " -a " + FishQuote(Join(node.positional.choices, " ")) + "\n";
    if (node.positional.is_path) script += at + " -F\n";
    for (const CompletionOption& option : node.options) {
      std::string line = at;
      for (const std::string& name : option.names) {
        line += name.rfind("--", 0) == 0 ? " -l " + name.substr(2) : " -s " + name.substr(1);
      }
      if (option.value.expected) line += option.value.is_path ? " -r -F" : " -x";
      if (!option.value.choices.empty()) line += " -a " + FishQuote(Join(option.value.choices, " "));
      script += line + " -d " + FishQuote(option.description) + "\n";
    }
  });
  return script;
}

}  // namespace nashswarm::cli
