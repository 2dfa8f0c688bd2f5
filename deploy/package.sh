#!/usr/bin/env bash
# Makes the Debian package of mykeeper.
set -euo pipefail

usage() {
  cat <<'TEXT'
Usage: deploy/package.sh [--debug | --program FILE] [--version VERSION] [--out DIR]

Builds mykeeper and makes mykeeper_VERSION_ARCH.deb of it: the program, the service, examples, the manual, what shells
complete by. Prints the package's path. Needs Debian's base system, Rust and gcc, and no root.

  --debug            builds without optimisation, which is quicker
  --program FILE     builds nothing, and packs this mykeeper
  --version VERSION  the package's version; that of Cargo.toml
  --out DIR          where to; target/debian
  --help             this text
TEXT
}

fail() {
  printf 'package.sh: %s\n' "$*" >&2
  exit 2
}

profile=release
program=
version=
out=
while [[ $# -gt 0 ]]; do
  case $1 in
    --debug) profile=debug ;;
    --program | --version | --out)
      [[ $# -ge 2 ]] || fail "$1 takes a value"
      case $1 in
        --program) program=$(realpath -- "$2") ;;
        --version) version=$2 ;;
        --out) out=$(realpath -m -- "$2") ;;
      esac
      shift
      ;;
    -h | --help)
      usage
      exit 0
      ;;
    *)
      usage >&2
      fail "unknown option $1"
      ;;
  esac
  shift
done

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
top=$(dirname -- "$here")
cd "$top"
version=${version:-$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)}
dpkg --validate-version "$version" || fail "$version is no version of a package"
architecture=$(dpkg --print-architecture)

# Where cargo puts it, whatever CARGO_TARGET_DIR or a configuration file say.
target=$(cargo metadata --locked --no-deps --format-version 1 | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
if [[ -z $program ]]; then
  build=(cargo build --locked --package mykeeper-cli)
  [[ $profile == debug ]] || build+=(--release)
  "${build[@]}" >&2
  program=$target/$profile/mykeeper
else
  profile=debug
fi
out=${out:-$target/debian}

umask 022
tree=$(mktemp -d)
trap 'rm -rf -- "$tree"' EXIT
put() {
  install -D -m "$1" -- "$2" "$tree$3"
}

install -D -m 755 -s -- "$program" "$tree/usr/bin/mykeeper"
put 644 deploy/systemd/mykeeper.service /usr/lib/systemd/system/mykeeper.service
put 644 deploy/systemd/sysusers.d/mykeeper.conf /usr/lib/sysusers.d/mykeeper.conf
put 644 deploy/systemd/tmpfiles.d/mykeeper.conf /usr/lib/tmpfiles.d/mykeeper.conf
put 644 config/mykeeper.toml /etc/mykeeper/mykeeper.toml.example
put 644 config/schedule.toml /etc/mykeeper/schedule.toml.example
put 755 deploy/pybackup/pybackup.py /usr/share/mykeeper/pybackup.py
mkdir -p "$tree/usr/lib/mykeeper"
ln -s ../../bin/mykeeper "$tree/usr/lib/mykeeper/pybackup"

doc=/usr/share/doc/mykeeper
put 644 README.md $doc/README.md
put 644 deploy/debian/README.Debian $doc/README.Debian
put 644 deploy/debian/copyright $doc/copyright
put 644 deploy/logrotate/mykeeper $doc/logrotate/mykeeper
mkdir -p "$tree$doc/grafana" "$tree$doc/systemd"
cp -R deploy/grafana/. "$tree$doc/grafana/"
cp deploy/systemd/examples/*.conf "$tree$doc/systemd/"
printf 'mykeeper (%s) unstable; urgency=medium\n\n  * See README.md.\n\n -- mykeeper <root@localhost>  %s\n' \
  "$version" "$(date -R -r Cargo.toml)" | gzip -9n >"$tree$doc/changelog.gz"
gzip -9n "$tree$doc/README.md"

mkdir -p "$tree/man" "$tree/usr/share/man/man1" "$tree/usr/share/man/man5"
"$program" man --out "$tree/man"
gzip -9n "$tree"/man/*
mv "$tree"/man/*.1.gz "$tree/usr/share/man/man1/"
mv "$tree"/man/*.5.gz "$tree/usr/share/man/man5/"
rmdir "$tree/man"
mkdir -p "$tree/usr/share/bash-completion/completions" "$tree/usr/share/zsh/vendor-completions" \
  "$tree/usr/share/fish/vendor_completions.d"
"$program" completions bash >"$tree/usr/share/bash-completion/completions/mykeeper"
"$program" completions zsh >"$tree/usr/share/zsh/vendor-completions/_mykeeper"
"$program" completions fish >"$tree/usr/share/fish/vendor_completions.d/mykeeper.fish"
chmod -R u=rwX,go=rX "$tree"

# The oldest C library that has all that the program calls.
libc=$(objdump -T "$tree/usr/bin/mykeeper" | sed -n 's/.*GLIBC_\([0-9.]*\).*/\1/p' | sort -V | tail -n 1)
# How far this version knows the catalog.
catalog=$(find migrations/sqlite -name '*.sql' -printf '%f\n' | sort | tail -n 1 | sed 's/^0*\([0-9]*\).*/\1/')
init=
! "$program" init --help >/dev/null 2>&1 || init=', or by answering: mykeeper init'
mkdir "$tree/DEBIAN"
for script in preinst postinst prerm postrm; do
  sed -e "s/@VERSION@/$version/g" -e "s/@CATALOG@/$catalog/g" -e "s/@INIT@/$init/g" "deploy/debian/$script" \
    >"$tree/DEBIAN/$script"
  chmod 755 "$tree/DEBIAN/$script"
done
cp deploy/debian/templates "$tree/DEBIAN/templates"
(cd "$tree" && find etc -type f | sed 's,^,/,' | sort) >"$tree/DEBIAN/conffiles"
(cd "$tree" && find usr -type f -print0 | sort -z | xargs -0 md5sum) >"$tree/DEBIAN/md5sums"
cat >"$tree/DEBIAN/control" <<CONTROL
Package: mykeeper
Version: $version
Architecture: $architecture
Maintainer: mykeeper <root@localhost>
Installed-Size: $(du -sk --exclude=DEBIAN "$tree" | cut -f 1)
Depends: libc6 (>= ${libc:-2.34}), libgcc-s1, debconf (>= 0.5) | debconf-2.0, systemd, util-linux, mydumper, rsync
Recommends: mariadb-server
Suggests: openssh-client, zstd, man-db
Section: database
Priority: optional
Description: keeper of MySQL and MariaDB backups
 One daemon dumps MySQL and MariaDB servers on schedule with mydumper, sends each
 set with rsync, restores it into a throwaway server and compares what came back
 with what was there, marks or removes what is obsolete, and keeps a record of
 every run.
 .
 mariadb-server is for the throwaway server; it need not run.
CONTROL

mkdir -p "$out"
package=$out/mykeeper_${version}_$architecture.deb
# One that is for a test alone is packed in less time.
pack=()
[[ $profile == release ]] || pack=(-Zgzip -z1)
dpkg-deb --root-owner-group "${pack[@]}" --build "$tree" "$package" >/dev/null
printf '%s\n' "$package"
