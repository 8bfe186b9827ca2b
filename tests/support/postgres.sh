#!/usr/bin/env bash
# A PostgreSQL of our own for the tests. Usage: postgres.sh start DIR | stop DIR | restart DIR
#   start    makes a cluster in DIR, if there is none, starts it, and prints its URL; it listens on a socket in DIR alone
# Exit status 77 when PostgreSQL is not installed.
set -euo pipefail
action=$1
mkdir -p "$2"
dir=$(cd "$2" && pwd)
bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1 || true)
if [[ -z $bin ]]; then
  echo "SKIPPED: PostgreSQL is not installed (deploy/install-packages.sh build)" >&2
  exit 77
fi
# It refuses to run as root. The directory must not hang below one that its user may not enter.
as() { if [[ $EUID -eq 0 ]]; then setpriv --reuid postgres --regid postgres --clear-groups -- "$@"; else "$@"; fi; }
data=$dir/data
control() { (cd / && as "$bin/pg_ctl" -D "$data" -s -w "$@" >>"$dir/log/control" 2>&1); }
url="postgres://postgres@/postgres?host=$dir"

case $action in
  start)
    mkdir -p "$dir/log"
    if [[ $EUID -eq 0 ]]; then chown -R postgres "$dir"; fi
    if [[ ! -f $data/PG_VERSION ]]; then
      (cd / && as "$bin/initdb" -D "$data" -U postgres --auth trust -E UTF8 --no-sync >>"$dir/log/control" 2>&1)
      cat >>"$data/postgresql.conf" <<CONF
listen_addresses = ''
unix_socket_directories = '$dir'
max_connections = 200
shared_buffers = 64MB
fsync = ${POSTGRES_FSYNC:-off}
CONF
    fi
    # A server of an earlier run that was killed leaves its pid file; pg_ctl sees through that.
    control status || control start -l "$dir/log/server" || { cat "$dir/log/control" "$dir/log/server" >&2; exit 1; }
    echo "$url"
    ;;
  stop) control stop -m immediate || true ;;
  restart) control restart -m immediate -l "$dir/log/server" ;;
  *) echo "usage: postgres.sh start|stop|restart DIR" >&2; exit 2 ;;
esac
