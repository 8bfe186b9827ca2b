# Source it. go_modules DIR: whether Go is here, new enough for DIR's go.mod, and can fetch its modules. If not, it returns 1 and says why.
go_modules() {
  local want have log
  command -v go >/dev/null || { echo "there is no Go here"; return 1; }
  want=$(sed -n 's/^go //p' "$1/go.mod")
  have=$(cd "$1" && go env GOVERSION 2>/dev/null)  # of a newer toolchain, if Go has fetched one
  [[ $(printf '%s\n' "$want" "${have#go}" | sort -V | head -n 1) == "$want" ]] || { echo "it needs Go $want; here is ${have#go}"; return 1; }
  log=$(cd "$1" && go mod download 2>&1) || { echo "Go's modules cannot be fetched here: $(tail -n 1 <<<"$log")"; return 1; }
}
