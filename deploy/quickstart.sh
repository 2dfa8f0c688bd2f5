#!/usr/bin/env bash
# Shows mykeeper at work on real servers of its own: a backup, its transfer, its proof and a retention pass.
set -euo pipefail

usage() {
  cat <<'TEXT'
Usage: deploy/quickstart.sh [--keep] [--debug] [--orders N]

Installs what is missing from Debian's packages (as root, or with sudo), builds mykeeper, and starts, all of it
private, in one new folder under /tmp, on loopback and sockets:
  - a MariaDB server with sample data of every awkward kind
  - an rsync daemon as the backup host
  - mykeeper daemon, with an embedded catalog and a schedule that fires within seconds
Then shows the runs as they end, and what the catalog knows of them. Three minutes at most after the build.

  --keep      leaves everything running and says how to look around and how to end it
  --debug     builds without optimisation, which is quicker
  --orders N  rows in the largest table (100000: some 60 MB of data)
  --help      this text
TEXT
}

keep=
profile=release
orders=100000
while [[ $# -gt 0 ]]; do
  case $1 in
    --keep) keep=yes ;;
    --debug) profile=debug ;;
    --orders)
      orders=${2:-}
      shift || true
      [[ $orders =~ ^[1-9][0-9]{0,6}$ ]] || {
        printf 'quickstart.sh: --orders takes a number from 1 to 9999999\n' >&2
        exit 2
      }
      ;;
    -h | --help)
      usage
      exit 0
      ;;
    *)
      printf 'quickstart.sh: unknown option %s\n\n' "$1" >&2
      usage >&2
      exit 2
      ;;
  esac
  shift
done

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
top=$(dirname -- "$here")
# The servers' programs lie in folders that a user's PATH may lack.
export PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

bold='' dim='' green='' red='' plain=''
if [[ -t 1 ]]; then
  bold=$'\e[1m' dim=$'\e[2m' green=$'\e[32m' red=$'\e[31m' plain=$'\e[0m'
fi
head() { printf '\n%s==> %s%s\n' "$bold" "$*" "$plain"; }
say() { printf '    %s\n' "$*"; }
die() {
  printf '\n%squickstart.sh: %s%s\n' "$red" "$*" "$plain" >&2
  exit 1
}

# --- what must be there ------------------------------------------------------------------------------------------

head "what is missing is installed"
"$here/install-needs.sh" build run
command -v cargo >/dev/null || die "there is no cargo: install Rust with rustup first"
say "mydumper, rsync, MariaDB and a C compiler are there"

head "mykeeper is built ($profile)"
build=(cargo build --locked --package mykeeper-cli)
[[ $profile == debug ]] || build+=(--release)
(cd "$top" && "${build[@]}")
# Where cargo puts it, whatever CARGO_TARGET_DIR or a configuration file say.
target=$(cd "$top" && cargo metadata --locked --no-deps --format-version 1 |
  sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
program=$target/$profile/mykeeper
[[ -x $program ]] || die "the build left no $program"

# --- a stage of its own ------------------------------------------------------------------------------------------

began=$SECONDS
umask 022
dir=$(mktemp -d /tmp/mykeeper-quickstart.XXXXXX)
chmod 0755 "$dir"
daemon_pid='' rsync_pid='' mariadb_pid=''

# Ends a process that we started, by its number, and waits for it.
end() {
  local pid=$1 tries=0
  [[ -n $pid ]] || return 0
  kill -TERM "$pid" 2>/dev/null || return 0
  while kill -0 "$pid" 2>/dev/null; do
    tries=$((tries + 1))
    if [[ $tries -gt 200 ]]; then
      kill -KILL "$pid" 2>/dev/null || true
      break
    fi
    sleep 0.1
  done
  wait "$pid" 2>/dev/null || true
}

# The log that tells why, should the script end now.
blame=''
leave() {
  local status=$?
  trap - EXIT INT TERM
  if [[ $status != 0 && -s $blame ]]; then
    printf '\n%sThe last lines of %s:%s\n' "$red" "$blame" "$plain" >&2
    tail -n 15 "$blame" >&2
  fi
  if [[ -z $keep || $status != 0 ]]; then
    end "$daemon_pid"
    end "$rsync_pid"
    end "$mariadb_pid"
    rm -rf -- "$dir"
  fi
  exit "$status"
}
trap leave EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# A port of loopback that no one listens on.
free_port() {
  local port
  while :; do
    port=$((20000 + RANDOM % 20000))
    (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null || {
      printf '%s\n' "$port"
      return
    }
  done
}

# wait_for SECONDS WHAT COMMAND...
wait_for() {
  local limit=$((SECONDS + $1)) what=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    [[ $SECONDS -lt $limit ]] || die "waited in vain: $what"
    sleep 0.2
  done
}

head "a private MariaDB server with sample data"
blame=$dir/mariadb.log
mkdir "$dir/mariadb" "$dir/mariadb/run" "$dir/mariadb/tmp" "$dir/sandbox" "$dir/vault" "$dir/sets" "$dir/state"
chmod 1777 "$dir/sandbox"
as_user=()
if [[ $(id -u) == 0 ]]; then
  chown -R mysql: "$dir/mariadb"
  as_user=(--user=mysql)
fi
socket=$dir/mariadb/run/mysqld.sock
mariadb-install-db --no-defaults "${as_user[@]}" --datadir="$dir/mariadb/data" --tmpdir="$dir/mariadb/tmp" \
  --skip-test-db --skip-name-resolve \
  --auth-root-authentication-method=normal >"$dir/mariadb.log" 2>&1
setsid mariadbd --no-defaults "${as_user[@]}" --datadir="$dir/mariadb/data" --tmpdir="$dir/mariadb/tmp" \
  --socket="$socket" --skip-networking \
  --pid-file="$dir/mariadb/run/pid" --log-bin=mysql-bin --server-id=1 --innodb-flush-log-at-trx-commit=0 \
  --innodb-buffer-pool-size=128M </dev/null >>"$dir/mariadb.log" 2>&1 &
mariadb_pid=$!
sql() { mariadb --no-defaults --user=root --socket="$socket" --batch --skip-column-names "$@"; }
wait_for 60 "the private MariaDB server answers" sql --execute='SELECT 1'
{
  printf 'SET @mykeeper_orders = %s, @mykeeper_note_bytes = 400;\n' "$orders"
  cat "$here/sample.sql"
} | sql
size=$(sql --execute="SELECT CONCAT((SELECT COUNT(*) - 4 FROM information_schema.schemata), ' databases, ', SUM(table_type = 'BASE TABLE'), ' tables, ',
  ROUND(SUM(data_length) / 1048576), ' MB') FROM information_schema.tables
  WHERE table_schema NOT IN ('mysql', 'sys', 'information_schema', 'performance_schema')")
say "$size, on $socket"

password=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
vault_password=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
# The least that a dump needs.
sql <<SQL
CREATE USER backup@localhost IDENTIFIED BY '$password';
GRANT SELECT, RELOAD, PROCESS, LOCK TABLES, SHOW VIEW, TRIGGER, EVENT, BINLOG MONITOR, REPLICA MONITOR ON *.* TO backup@localhost;
SQL
(
  umask 077
  printf '%s\n' "$password" >"$dir/shop.password"
  printf '%s\n' "$vault_password" >"$dir/vault.password"
  printf 'platform:%s\n' "$vault_password" >"$dir/rsyncd.secrets"
)

head "a private rsync daemon as the backup host"
blame=$dir/rsyncd.log
port=$(free_port)
ids=''
[[ $(id -u) != 0 ]] || ids=$'uid = root\ngid = root'
cat >"$dir/rsyncd.conf" <<CONF
use chroot = no
log file = $dir/rsyncd.log
lock file = $dir/rsyncd.lock
$ids
[vault]
path = $dir/vault
read only = no
auth users = platform
secrets file = $dir/rsyncd.secrets
CONF
setsid rsync --daemon --no-detach --address=127.0.0.1 --port="$port" --config="$dir/rsyncd.conf" </dev/null >>"$dir/rsyncd.log" 2>&1 &
rsync_pid=$!
# The subshell opens the connection, which says no more than that someone listens.
# shellcheck disable=SC2016 # expanded by the inner shell
wait_for 20 "the private rsync daemon answers" bash -c ': <"/dev/tcp/127.0.0.1/$1"' - "$port"
say "rsync://platform@127.0.0.1:$port/vault/, which is $dir/vault"

head "the two files a person writes"
blame=''
cat >"$dir/mykeeper.toml" <<TOML
node      = "quickstart"
state_dir = "$dir/state"
schedule  = "schedule.toml"

[servers.shop]
socket        = "$socket"
user          = "backup"
password_file = "$dir/shop.password"

[destinations.vault]
url           = "rsync://platform@127.0.0.1:$port/vault/quickstart"
password_file = "$dir/vault.password"

[sandbox]
directory = "$dir/sandbox"
memory    = "128 MiB"
TOML
cat >"$dir/schedule.toml" <<TOML
[backup.shop]
cron        = "*/20 * * * * *"         # six fields: seconds first
server      = "shop"
databases   = ["!mysql"]
directory   = "$dir/sets"
transfer_to = "vault"
mydumper    = ["compress", "threads=2", "triggers", "events", "routines"]
stall       = "15s"
retry       = { attempts = 3, delay = "1s" }

[validation.prove]
cron        = "5-59/10 * * * * *"
select      = "newest"
assert      = [{ database = "shop", sql = "SELECT COUNT(*) = $orders FROM orders" }]

[retention.prune]
cron        = "8-59/10 * * * * *"
directory   = "$dir/sets"
keep        = { last = 1 }
action      = "delete"
require     = "validated"
TOML
say "$dir/mykeeper.toml"
say "$dir/schedule.toml"
keeper() { "$program" --config "$dir/mykeeper.toml" "$@"; }
keeper catalog migrate >/dev/null
keeper check || die "mykeeper check found something wrong"

head "mykeeper daemon; its runs as they end"
blame=$dir/daemon.log
setsid "$program" --config "$dir/mykeeper.toml" daemon </dev/null >"$dir/daemon.log" 2>&1 &
daemon_pid=$!

# Prints the runs that have ended since the last time, one line each.
declare -A shown=()
show_new_runs() {
  local line id job kind started took state reason colour
  while IFS= read -r line; do
    line=${line# }
    id=${line%% *}
    [[ -n $id && $id != RUN && -z ${shown[$id]:-} ]] || continue
    case $line in
      *' running '* | *' running' | *' queued '* | *' queued') continue ;;
    esac
    shown[$id]=yes
    # Columns are apart by two spaces or more: run, job, kind, started, took, state, reason.
    IFS=$'\t' read -r _ job kind started took state reason < <(sed -E 's/ {2,}/\t/g' <<<"$line")
    # A run that never began took no time: its column is empty.
    [[ $took != skipped ]] || reason=$state state=$took took=''
    case $state in
      succeeded) colour=$green ;;
      skipped) colour=$dim ;;
      *) colour=$red ;;
    esac
    case $reason in
      'no set waits'* | *' 0 removed '*) colour=$dim ;;
    esac
    printf '    %s%s  %-6s %-10s  %-10s %6s  %s%s\n' "$colour" "${started#* }" "$job" "$kind" "$state" "$took" "$reason" "$plain"
  done < <(keeper runs --limit 100 2>/dev/null | tac)
}

all_seen() {
  local deleted proven
  deleted=$(keeper backups --state deleted | sed 1d | wc -l)
  proven=$(keeper backups --state validated | sed 1d | wc -l)
  [[ $deleted -ge 1 && $proven -ge 2 ]]
}
until all_seen; do
  kill -0 "$daemon_pid" 2>/dev/null || die "the daemon ended"
  [[ $((SECONDS - began)) -lt 600 ]] || die "the schedule did not come round in time"
  show_new_runs
  sleep 1
done
show_new_runs
blame=''

head "what the catalog knows: the sets"
keeper backups
newest=$(keeper backups --state validated | awk 'NR == 2 { print $1 }')
head "the newest set that has been proven"
keeper show "$newest" | sed 's/^/    /'

head "where everything lies"
say "both files       $dir/mykeeper.toml, $dir/schedule.toml"
say "catalog          $dir/state (embedded SQLite)"
say "sets             $dir/sets/<day>/<bk_id>/"
say "their copies     $dir/vault/quickstart/"
say "the daemon's log $dir/daemon.log"
if [[ -n $keep ]]; then
  cat >"$dir/stop.sh" <<STOP
#!/bin/sh
# Ends what quickstart.sh --keep has left running, and removes its folder.
for pid in $daemon_pid $rsync_pid $mariadb_pid; do
  kill -TERM "\$pid" 2>/dev/null || continue
  while kill -0 "\$pid" 2>/dev/null; do sleep 0.2; done
done
rm -rf '$dir'
STOP
  chmod 0755 "$dir/stop.sh"
  head "left running"
  say "look around:  $program --config $dir/mykeeper.toml jobs|runs|backups|show BK_ID|run-log RUN"
  say "end it:       $dir/stop.sh"
else
  head "done in $((SECONDS - began)) s after the build; everything is ended and removed (--keep leaves it)"
fi
