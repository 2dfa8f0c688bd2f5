#!/usr/bin/env bash
# Installs what mykeeper needs and this machine lacks, from Debian's own packages, and starts no service.
#
#   deploy/install-needs.sh [build] [run] [test]
#
# build: a C compiler's needs; run: the servers and tools that backups are made with; test: what only the tests
# use. Without a word: all three. Needs root, or sudo that asks no password, only when something is missing.
set -euo pipefail

# What a program is found by, and the package that brings it.
build_needs=(
  "gcc gcc"
  "/usr/include/stdlib.h libc6-dev"
)
run_needs=(
  "mariadbd mariadb-server"
  "mariadb-install-db mariadb-server"
  "mariadb mariadb-client"
  "mydumper mydumper"
  "myloader mydumper"
  "rsync rsync"
  "ssh openssh-client"
)
test_needs=(
  "sshd openssh-server"
  "ps procps"
  "strings binutils"
  "openssl openssl"
  "git git"
  "python3 python3-minimal"
  "mount mount"
  "faketime faketime"
  "strace strace"
  "ip iproute2"
  "nft nftables"
  "logrotate logrotate"
  "systemd-analyze systemd"
  "systemd-nspawn systemd-container"
  "debootstrap debootstrap"
)

# The servers' programs lie in folders that a user's PATH may lack.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

say() { printf 'install-needs: %s\n' "$*" >&2; }

missing_packages() {
  local need what package
  for need in "$@"; do
    what=${need% *} package=${need##* }
    if [[ $what == /* ]]; then
      [[ -e $what ]] || printf '%s\n' "$package"
    else
      command -v "$what" >/dev/null || printf '%s\n' "$package"
    fi
  done | sort -u
}

as_root() {
  if [[ $(id -u) == 0 ]]; then "$@"; else sudo -n "$@"; fi
}

# A package's scripts start the service it brings unless policy-rc.d says no (exit status 101); they ask it on
# machines with systemd and without.
policy=/usr/sbin/policy-rc.d
made_policy=
forbid_service_starts() {
  if [[ ! -e $policy ]]; then
    made_policy=yes
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
    as_root chmod 0755 "$policy"
  fi
}
allow_service_starts() {
  [[ -z $made_policy ]] || as_root rm -f "$policy"
}

# On a machine with systemd a newly installed server would come up at the next boot.
disable_new_services() {
  [[ -d /run/systemd/system ]] || return 0
  local package unit
  for package in "$@"; do
    case $package in
      mariadb-server) unit=mariadb.service ;;
      rsync) unit=rsync.service ;;
      openssh-server) unit=ssh.service ;;
      *) continue ;;
    esac
    as_root systemctl disable --quiet --now "$unit" 2>/dev/null || true
    say "$unit is installed, stopped and disabled; 'systemctl enable --now $unit' starts it"
  done
}

main() {
  local -a kinds=("$@") needs=() packages=()
  [[ ${#kinds[@]} -gt 0 ]] || kinds=(build run test)
  local kind
  for kind in "${kinds[@]}"; do
    case $kind in
      build) needs+=("${build_needs[@]}") ;;
      run) needs+=("${run_needs[@]}") ;;
      test) needs+=("${test_needs[@]}") ;;
      *)
        say "unknown word '$kind': build, run and test are known"
        exit 2
        ;;
    esac
  done
  mapfile -t packages < <(missing_packages "${needs[@]}")
  [[ ${#packages[@]} -gt 0 ]] || exit 0

  if ! command -v apt-get >/dev/null; then
    say "missing, and there is no apt-get to install it with: ${packages[*]}"
    exit 3
  fi
  if [[ $(id -u) != 0 ]] && ! sudo -n true 2>/dev/null; then
    say "missing: ${packages[*]}"
    say "run this as root:  apt-get install ${packages[*]}"
    exit 3
  fi

  say "installing ${packages[*]}"
  trap allow_service_starts EXIT
  forbid_service_starts
  local log
  log=$(mktemp)
  local -a install=(env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends)
  # An index that is old or was never fetched is the usual cause of a failure: fetch it and try again.
  if ! as_root "${install[@]}" "${packages[@]}" </dev/null >"$log" 2>&1 &&
    ! { as_root apt-get update </dev/null >"$log" 2>&1 &&
      as_root "${install[@]}" "${packages[@]}" </dev/null >>"$log" 2>&1; }; then
    tail -n 20 "$log" >&2
    rm -f "$log"
    say "apt-get could not install ${packages[*]}: its last lines are above"
    exit 3
  fi
  rm -f "$log"
  disable_new_services "${packages[@]}"

  mapfile -t packages < <(missing_packages "${needs[@]}")
  if [[ ${#packages[@]} -gt 0 ]]; then
    say "still missing after the installation: ${packages[*]}"
    exit 3
  fi
}

main "$@"
