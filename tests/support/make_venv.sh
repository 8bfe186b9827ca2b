# Source it. make_venv NAME REQUIREMENTS: prints the Python of build/NAME with these packages, made anew when they change. On failure
# it returns 1, and the last line of build/NAME.log says why.
make_venv() {
  local root venv stamp
  root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
  venv=$root/build/$1
  stamp=$venv/installed-$(sha256sum "$2" | cut -c1-16)
  if [[ ! -f $stamp ]]; then
    mkdir -p "$root/build"
    { "$root/deploy/install-packages.sh" interop && rm -rf "$venv" && /usr/bin/python3 -m venv "$venv" &&
      "$venv/bin/pip" install -q --disable-pip-version-check -r "$2"; } >"$venv.log" 2>&1 || return 1
    touch "$stamp"
  fi
  echo "$venv/bin/python"
}
