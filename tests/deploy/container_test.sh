#!/usr/bin/env bash
# Builds the image of the Dockerfile without a daemon, on a Debian made by debootstrap, and runs a whole job with the programs that are
# in it, as its user and under its health check. Usage: container_test.sh. Needs root.
set -uo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
cache=$root/build/container
image=localhost/nashswarm:test
work=$(mktemp -d)
container= server=
buildah() { command buildah --storage-driver vfs "$@"; }
cleanup() {
  [[ -n $server ]] && kill -KILL "$(cat "$work/client/pid")" 2>/dev/null
  [[ -n $container ]] && buildah rm "$container" >/dev/null
  rm -rf "$work"
}
trap cleanup EXIT
skip() { echo "SKIPPED container: $1"; exit 77; }
fail() { echo "FAILED  container: $1"; exit 1; }
[[ $EUID -eq 0 ]] || skip "only root can make a root file system"
log=$("$root/deploy/install-packages.sh" container 2>&1) || skip "its tools cannot be installed here: $(tail -n 1 <<<"$log")"

mkdir -p "$cache"
base=docker.io/library/debian:bookworm-slim
if ! buildah inspect --type image "$base" >/dev/null 2>&1; then
  if [[ ! -f $cache/rootfs.tar ]]; then
    debootstrap --variant=minbase bookworm "$work/rootfs" >"$cache/debootstrap.log" 2>&1 ||
      skip "debootstrap cannot make a Debian here: $(tail -n 1 "$cache/debootstrap.log")"
    tar -C "$work/rootfs" -cf "$cache/rootfs.part" . && mv "$cache/rootfs.part" "$cache/rootfs.tar"
    rm -rf "$work/rootfs"
  fi
  podman --storage-driver vfs import "$cache/rootfs.tar" "$base" >/dev/null 2>&1 || skip "podman cannot import an image here"
fi

# Some machines let nobody build, root or not: that says nothing of our Dockerfile.
mkdir "$work/probe"
printf 'FROM %s\nRUN touch /built\n' "$base" >"$work/probe/Dockerfile"
buildah bud --format docker --isolation chroot --network host --pull-never -t localhost/nashswarm-probe "$work/probe" >"$cache/probe.log" 2>&1 ||
  skip "buildah cannot build an image here: $(tail -n 1 "$cache/probe.log")"

# In the docker format: the other one has no health checks.
start=$SECONDS
ccache=${CCACHE_DIR:-$HOME/.cache/nashswarm-ccache}  # kept outside the tree, so that the next clone has it
mkdir -p "$ccache"
buildah bud --format docker --isolation chroot --network host --pull-never --volume "$ccache:/ccache" -t "$image" "$root" \
  >"$cache/build.log" 2>&1 ||
  { tail -n 30 "$cache/build.log"; fail "the image does not build"; }
echo "ok      the image is built ($((SECONDS - start)) s)"

config=$(buildah inspect --type image --format '{{.OCIv1.Config.User}} {{.OCIv1.Config.Entrypoint}}' "$image")
[[ $config == "10001:10001 [nashswarmd]" ]] || fail "user and entry point are $config"
container=$(buildah from --pull-never "$image")
mount=$(buildah mount "$container")
for tool in gcc g++ cc make cmake ninja git python3 perl-doc; do
  [[ ! -e $mount/usr/bin/$tool ]] || fail "$tool is in the image"
done
chroot "$mount" dpkg-query -W -f '${Package}\n' | grep -E -- '-dev$|^gcc$|^g\+\+' && fail "packages for building are in the image"
[[ -z $(find "$mount/usr/local" "$mount/usr/bin" "$mount/usr/lib" -newer "$mount/usr/local/bin/nashswarm" -user 10001) ]] ||
  fail "the user could change programs"
echo "ok      no compiler in it, $(du -sm "$mount" | cut -f1) MB"

# In the image, as its user.
mkdir -p "$work/data" "$work/client"
cp -r "$root/tests/data/gpt2-wiki-6m" "$work/client/model"
chown -R 10001:10001 "$work"
chmod 711 "$work"
inside() {
  buildah run --isolation chroot --network host --user 10001:10001 --env HOME=/tmp \
    --volume "$work/data:/var/lib/nashswarm" --volume "$work/client:/client" "$container" -- "$@"
}
for program in nashswarm nashswarmd nashswarm-engine; do
  inside "$program" --version >"$work/version" 2>&1 || { cat "$work/version"; fail "$program does not start"; }
done
# As the image is: open to all machines without TLS, so it must refuse, and say what to do.
inside nashswarmd >"$work/refused" 2>&1 && fail "it listens openly without being told to"
grep -q 'insecure-listen-anywhere' "$work/refused" || { cat "$work/refused"; fail "its refusal says nothing of use"; }
echo "ok      it does not listen openly by itself"

for port in 7070 7071; do
  (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && skip "something else listens on port $port"
done
touch "$work/before-the-job"
inside sh -c 'echo $$ >/client/pid; exec nashswarmd --listen 127.0.0.1:7070 --drain-timeout 5s' >"$work/server.log" 2>&1 &
server=$!
for _ in $(seq 100); do grep -q '"msg":"serving"' "$work/server.log" && break; sleep 0.1; done
grep -q '"msg":"serving"' "$work/server.log" || { cat "$work/server.log"; fail "the server does not start"; }
grep -q '"engines run in a sandbox"' "$work/server.log" || echo "note    $(grep -o '"engines run in[^}]*' "$work/server.log" | head -n 1)"
# The health check, word by word from the image.
mapfile -t check < <(buildah inspect --type image "$image" | python3 -c \
  'import json, sys; print("\n".join(json.load(sys.stdin)["Docker"]["config"]["Healthcheck"]["Test"]))')
[[ ${check[0]} == CMD ]] || fail "the image has no health check"
healthy=no
for _ in $(seq 50); do inside "${check[@]:1}" 2>/dev/null && healthy=yes && break; sleep 0.2; done
[[ $healthy == yes ]] || fail "the health check fails on a server that serves"
export_client=(env NASHSWARM_SERVER=127.0.0.1:7070)
model=$(inside "${export_client[@]}" nashswarm push /client/model -q) || fail "push"
job=$(inside "${export_client[@]}" nashswarm submit "$model" --bpw 4.5 -q) || fail "submit"
inside "${export_client[@]}" nashswarm jobs wait "$job" -q >/dev/null || fail "the job"
inside "${export_client[@]}" nashswarm pull "$job" -o /client/out -q >/dev/null || fail "pull"
inside nashswarm verify /client/out >/dev/null || fail "verify"
echo "ok      a job in the image: $(stat -c %s "$work/client/out/model.gguf") bytes of GGUF"
# By its user: buildah itself, as root, prepares /run and /etc for every start.
changed=$(find "$mount" -xdev -newer "$work/before-the-job" -user 10001 ! -path "$mount/tmp*" ! -path "$mount/var/lib/nashswarm*")
[[ -z $changed ]] || fail "a read-only root would have stopped it: $(head -n 3 <<<"$changed" | tr '\n' ' ')"
echo "ok      nothing was written to the root file system"
kill -TERM "$(cat "$work/client/pid")"
wait "$server" || fail "it ended with $? after SIGTERM"
server=
inside "${check[@]:1}" 2>/dev/null && fail "the health check passes without a server"
echo "ok      SIGTERM ends it with 0, and the health check notices"
