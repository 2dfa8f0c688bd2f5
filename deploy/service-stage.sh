#!/usr/bin/env bash
# The stage of deploy/service-test.sh: a Debian of its own, booted in a container. Sourced, not run.
#
# stage_root DIR      makes a root folder with systemd, MariaDB and the tools, or takes the one that is there
# can_contain         whether a container can be had at all
# boot, stop_booted   begin and end the container on a copy of it that goes with the test
# inside CMD...       runs a command in it, as root, under its systemd; its standard input goes there
# SKIP=...            set where no container can be had or booted here: why

# Written by the sourcing script.
: "${stage:?}" "${name:?}"

suite=bookworm
packages_inside=(mariadb-server mydumper rsync debconf man-db)
leader=
nspawn=
groups=()

say() { printf '%s\n' "$*"; }

# The machine's own sources, so that what is reachable from it is asked: one line for each repository.
own_sources() {
  # shellcheck disable=SC2016 # apt's own words
  apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' |
    awk -v suite="$suite" '$2 ~ "^" suite && $3 == "main" && !seen[$0]++ { print "deb", $1, $2, $3 }'
}

# Whether anything can be run in a container here: on this machine's own programs, which takes a moment.
can_contain() {
  local tree=$stage/probe said
  mkdir -p "$tree/usr" "$tree/etc"
  ln -s usr/bin usr/lib usr/lib64 "$tree"
  said=$(systemd-nspawn -q -D "$tree" --register=no --keep-unit --private-network --bind-ro=/usr /usr/bin/true 2>&1) &&
    return 0
  # shellcheck disable=SC2034 # for who sources this
  SKIP="nothing can be run in a container here: $(tail -n 2 <<<"$said" | tr '\r\n' '  ')"
  return 1
}

# A folder of all that does not change from test to test. Whole, or not there.
stage_root() {
  local root=$1 mirror proxy=
  [[ ! -e $root/whole ]] || return 0
  mirror=$(own_sources | awk -v suite="$suite" '$3 == suite { print $2; exit }')
  if [[ -z $mirror ]]; then
    # shellcheck disable=SC2034 # for who sources this
    SKIP="the sources in /etc/apt name no $suite: there is no Debian 12 to boot"
    return 1
  fi
  eval "$(apt-config shell proxy Acquire::http::Proxy)"
  [[ -z $proxy ]] || export http_proxy=$proxy
  say "making a root folder of Debian 12 (once): some minutes"
  rm -rf -- "$root"
  mkdir -p "$root"
  local log=$root/made.log
  debootstrap --variant=minbase --include=systemd,systemd-sysv,dbus "$suite" "$root/tree" "$mirror" >"$log" 2>&1 || {
    tail -n 20 "$log" >&2
    return 1
  }
  own_sources >"$root/tree/etc/apt/sources.list"
  printf '#!/bin/sh\nexit 101\n' >"$root/tree/usr/sbin/policy-rc.d"
  chmod 755 "$root/tree/usr/sbin/policy-rc.d"
  systemd-nspawn -q -D "$root/tree" --register=no --keep-unit --resolv-conf=copy-host \
    --setenv=DEBIAN_FRONTEND=noninteractive ${proxy:+--setenv=http_proxy="$proxy"} \
    sh -c "apt-get update && apt-get install -y --no-install-recommends ${packages_inside[*]} && apt-get clean" \
    </dev/null >>"$log" 2>&1 || {
    tail -n 20 "$log" >&2
    return 1
  }
  rm -f "$root/tree/usr/sbin/policy-rc.d"
  : >"$root/tree/etc/machine-id"
  printf '127.0.0.1 localhost\n::1 localhost\n' >"$root/tree/etc/hosts"
  : >"$root/whole"
}

# The container's cgroups: its own, or two containers collide.
make_groups() {
  local folder
  groups=()
  for folder in /sys/fs/cgroup /sys/fs/cgroup/unified /sys/fs/cgroup/systemd; do
    [[ -e $folder/cgroup.procs ]] || continue
    mkdir -p "$folder/$name" 2>/dev/null && groups+=("$folder/$name")
  done
}

remove_groups() {
  local folder
  for folder in "${groups[@]}"; do
    # What systemd made below goes first, from the leaves on.
    find "$folder" -depth -type d -exec rmdir {} + 2>/dev/null || true
  done
}

is_booted() {
  local state
  state=$(inside_plain systemctl is-system-running 2>/dev/null || true)
  [[ $state == running || $state == degraded ]]
}

# A command in it that does not need its systemd. Never with the host's rights over its clock and its modules.
inside_plain() {
  nsenter -t "$leader" -a -- setpriv --bounding-set=-sys_time,-sys_module,-sys_rawio,-syslog -- "$@"
}

inside() {
  inside_plain systemd-run -q --pipe --wait --collect -E LC_ALL=C.UTF-8 -- "$@"
}

# Begins it on $stage/disk. With the disk of before it is the same machine once more.
boot() {
  local log=$stage/console.log limit
  make_groups
  (
    for group in "${groups[@]}"; do echo "$BASHPID" >"$group/cgroup.procs" || true; done
    SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1 exec systemd-nspawn -D "$stage/disk" --boot -M "$name" --register=no \
      --keep-unit --private-network --system-call-filter=bpf --kill-signal=SIGRTMIN+4 --console=read-only
  ) </dev/null >>"$log" 2>&1 &
  nspawn=$!
  limit=$((SECONDS + 90))
  while :; do
    leader=$(cat "/proc/$nspawn/task/$nspawn/children" 2>/dev/null || true)
    leader=${leader%% *}
    [[ -z $leader ]] || ! is_booted || return 0
    if ! kill -0 "$nspawn" 2>/dev/null || [[ $SECONDS -gt $limit ]]; then
      # shellcheck disable=SC2034 # for who sources this
      SKIP="a container does not boot here: $(tail -n 3 "$log" | tr '\r\n' '  ')"
      return 1
    fi
    sleep 0.2
  done
}

# Ends it in good order, or at once where that takes too long.
stop_booted() {
  local limit=$((SECONDS + 100))
  [[ -n $nspawn ]] || return 0
  [[ -z $leader ]] || kill -s RTMIN+4 "$leader" 2>/dev/null || true
  while kill -0 "$nspawn" 2>/dev/null; do
    if [[ $SECONDS -gt $limit ]]; then
      [[ -z $leader ]] || kill -KILL "$leader" 2>/dev/null || true
      kill -KILL "$nspawn" 2>/dev/null || true
    fi
    sleep 0.2
  done
  wait "$nspawn" 2>/dev/null || true
  nspawn='' leader=''
  remove_groups
}

# A copy of the root folder that goes with the test: what is written lies in $stage.
open_disk() {
  mkdir -p "$stage/upper" "$stage/work" "$stage/disk"
  mount -t overlay overlay -o "lowerdir=$1/tree,upperdir=$stage/upper,workdir=$stage/work" "$stage/disk" || return 1
  mkdir -p "$stage/disk/var/log/journal"
}

close_stage() {
  stop_booted
  ! mountpoint -q "$stage/disk" || umount "$stage/disk" || umount -l "$stage/disk"
  rm -rf -- "$stage"
}
