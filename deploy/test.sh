#!/usr/bin/env bash
# Installs what is missing and runs everything that must hold: format, lints, the laws about crates, all tests.
set -euo pipefail

usage() {
  cat <<'TEXT'
Usage: deploy/test.sh [--quick] [--advisories]
       deploy/test.sh --faults [--iterations N] [--seed S] [--only FAULT]...
       deploy/test.sh --damages [--seed S] [--only DAMAGE]...
       deploy/test.sh --service

Runs, and stops at the first that fails:
  needs      what is missing, from Debian's packages (needs root or sudo only when something is missing)
  tools      cargo-nextest and cargo-deny, built by cargo when they are not there
  scripts    shellcheck, where it is installed
  format     cargo fmt --check
  lints      cargo clippy, warnings denied
  laws       cargo deny: who may import what, licences, sources
  build      cargo build
  tests      cargo nextest run
  service    the Debian package in a throwaway Debian 12 that is booted in a container: start, backup, reload, stop,
             kill, hang, reboot, upgrade, purge; some two minutes, and as many once to make the Debian (kept in
             cargo's target folder). Needs root and systemd-nspawn: where a container cannot be booted it says so, why,
             and that nothing of it has been tried

  --quick       only the tests that start no server: format, lints, unit tests
  --advisories  also asks the advisory database, which is fetched from outside
  --faults      not those, but the fault suite in its long form, about an hour: kill -9 of the daemon
                and of its tools, the catalog, the network, disks, the clock and the server taken away, each at
                random instants, and an audit after each. Prints one table; ends with 1 when a slot or a set was
                lost or doubled, a process was left, or something was judged wrongly
  --damages     not those, but the damage suite in its long form, some minutes: real sets, each damaged in one way,
                proven with one witness after the other disarmed, and sets with nothing wrong. Prints one table,
                with pybackup's rule beside it; ends with 1 when a damage was missed or a good set failed
  --service     that last one alone
  --iterations N  of --faults: kills of the daemon, 200; the other faults are injected in proportion
  --seed S        what is random is as it was in the run that printed this seed
  --only NAME     this fault, this damage; "--only list" lists them
  --help        this text

Runs as root or as any user. Not as root, the tests that need root (a full disk on a tmpfs) say so and do
nothing. Everything the tests start listens on loopback or a socket and ends with them.
TEXT
}

quick=
advisories=
faults=
damages=
service=
suite=()
value() {
  if [[ $# -lt 2 ]]; then
    printf 'test.sh: %s takes a value\n' "$1" >&2
    exit 2
  fi
  suite+=("$1" "$2")
}
while [[ $# -gt 0 ]]; do
  argument=$1
  case $argument in
    --quick) quick=yes ;;
    --advisories) advisories=yes ;;
    --faults) faults=yes ;;
    --damages) damages=yes ;;
    --service) service=yes ;;
    --iterations | --seed | --only)
      value "$@"
      shift
      ;;
    -h | --help)
      usage
      exit 0
      ;;
    *)
      printf 'test.sh: unknown option %s\n\n' "$argument" >&2
      usage >&2
      exit 2
      ;;
  esac
  shift
done
if [[ ${#suite[@]} -gt 0 && -z $faults$damages ]]; then
  printf 'test.sh: %s belongs to --faults or --damages\n' "${suite[0]}" >&2
  exit 2
fi
if [[ ${#faults}${#damages}${#service} =~ 3.*3 ]]; then
  printf 'test.sh: --faults, --damages and --service are suites: one at a time\n' >&2
  exit 2
fi

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
cd "$here/.."

# The versions that these checks were written against.
nextest_version=0.9.143
deny_version=0.20.2
# The servers' programs lie in folders that a user's PATH may lack.
export PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

step() {
  local name=$1 began=$SECONDS status=0
  shift
  printf '\n==> %s\n' "$name"
  "$@" || status=$?
  # What a step says that could not be tried here.
  if [[ $status == 77 ]]; then
    printf '==> %s: SKIPPED\n' "$name"
    return
  fi
  if [[ $status != 0 ]]; then
    printf '\n==> %s FAILED after %ss: %s\n' "$name" "$((SECONDS - began))" "$*" >&2
    exit 1
  fi
  printf '==> %s: ok, %ss\n' "$name" "$((SECONDS - began))"
}

rust_is_there() {
  local part
  if ! command -v cargo >/dev/null; then
    echo "there is no cargo: install Rust $(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml) or newer with rustup" >&2
    return 1
  fi
  for part in fmt clippy; do
    cargo "$part" --version >/dev/null 2>&1 && continue
    echo "cargo $part is missing: rustup component add rustfmt clippy" >&2
    return 1
  done
}

needs() {
  if [[ -n $quick ]]; then deploy/install-needs.sh build; else deploy/install-needs.sh build run test; fi &&
    rust_is_there
}

cargo_tools() {
  cargo nextest --version >/dev/null 2>&1 ||
    cargo install --locked --debug "cargo-nextest@$nextest_version" || return 1
  cargo deny --version >/dev/null 2>&1 ||
    cargo install --locked --debug "cargo-deny@$deny_version"
}

scripts() {
  if command -v shellcheck >/dev/null; then
    shellcheck -x deploy/*.sh .ci/run && shellcheck -x -e SC1091 deploy/debian/{pre,post}{inst,rm}
  else
    echo "shellcheck is not installed: the scripts are only parsed"
    local script
    for script in deploy/*.sh deploy/debian/{pre,post}{inst,rm} .ci/run; do bash -n "$script" || return 1; done
  fi
}

checks=(bans licenses sources)
[[ -z $advisories ]] || checks+=(advisories)

step needs needs
if [[ -n $faults ]]; then
  step build cargo build --locked -p mykeeper-cli -p mykeeper-e2e
  step faults "${CARGO_TARGET_DIR:-target}/debug/fault-suite" "${suite[@]}"
  exit 0
fi
if [[ -n $damages ]]; then
  step build cargo build --locked -p mykeeper-cli -p mykeeper-e2e
  step damages "${CARGO_TARGET_DIR:-target}/debug/damage-suite" "${suite[@]}"
  exit 0
fi
if [[ -n $service ]]; then
  step build cargo build --locked -p mykeeper-cli
  step service deploy/service-test.sh "${CARGO_TARGET_DIR:-target}/debug/mykeeper"
  exit 0
fi
step tools cargo_tools
step scripts scripts
step format cargo fmt --all --check
step lints cargo clippy --locked --workspace --all-targets -- -D warnings
step laws cargo deny --all-features check --hide-inclusion-graph "${checks[@]}"
if [[ -n $quick ]]; then
  step tests cargo nextest run --locked --workspace --lib --bins
else
  step build cargo build --locked --workspace
  step tests cargo nextest run --locked --workspace
  step service deploy/service-test.sh "${CARGO_TARGET_DIR:-target}/debug/mykeeper"
fi
