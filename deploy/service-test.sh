#!/usr/bin/env bash
# Installs the package in a throwaway Debian 12, boots it, and tries what a service must stand: called by
# deploy/test.sh with the built program, which it packs.
set -euo pipefail

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
program=$(realpath -- "${1:?a built mykeeper}")
cd "$here/.."
export PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
name=mykeeper-service-$$
stage=
SKIP=

skipped() {
  printf '\nservice: SKIPPED, and nothing of it has been tried: %s\n\n' "$*" >&2
  exit 77
}
[[ $(id -u) == 0 ]] || skipped "a container can be booted by root alone"
for tool in systemd-nspawn debootstrap nsenter setpriv mountpoint; do
  command -v "$tool" >/dev/null || skipped "there is no $tool on this machine"
done

target=$(cargo metadata --locked --no-deps --format-version 1 | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
root=$target/service-root
# On the disk of the root folder: an overlay does not stand on every kind.
mkdir -p "$target/tmp"
stage=$(mktemp -d "$target/tmp/service.XXXXXX")
# shellcheck source=deploy/service-stage.sh
. "$here/service-stage.sh"

now=
leave() {
  local status=$?
  trap - EXIT INT TERM
  if [[ $status != 0 && -n $now ]]; then
    printf '\nservice: NOT SO: %s\n' "$now" >&2
    inside_plain journalctl --no-pager -o short-precise -n 40 -u mykeeper >&2 || true
  fi
  close_stage
  exit "$status"
}
trap leave EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# it "SENTENCE" begins what shows that it is so; the next one ends it.
it() {
  [[ -z $now ]] || printf '  ok  %s\n' "$now"
  now=$*
}
fail() {
  printf 'service: %s\n' "$*" >&2
  exit 1
}
# until_so SECONDS COMMAND...
until_so() {
  local limit=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    [[ $SECONDS -le $limit ]] || fail "waited in vain: $*"
    sleep 0.3
  done
}
says() {
  local text=$1 wanted=$2
  grep -qF -- "$wanted" <<<"$text" || fail "it should say '$wanted': $text"
}

property() { inside_plain systemctl show mykeeper.service -P "$1"; }
is_active() { [[ $(property ActiveState) == active ]]; }
main_pid() { property MainPID; }
keeper() { inside mykeeper "$@"; }
# How many runs of a job are in a state.
runs() { keeper runs --job "$1" --state "$2" --json | grep -c "\"state\": \"$2\"" || true; }
has_runs() { [[ $(runs "$1" "$2") -ge $3 ]]; }

# One slot, some seconds from now, and never again within a year.
soon() { date -u -d '+6 sec' '+%-S %-M %-H %-d %-m *'; }
never='0 0 29 2 *'

# schedule CRON [DIRECTORY]: the jobs, the backup at CRON.
schedule() {
  cat >"$stage/disk/etc/mykeeper/schedule.toml" <<TOML
[backup.shop-nightly]
cron        = "$1"
server      = "shop"
databases   = ["shop"]
directory   = "${2:-/var/backups/mykeeper}"
transfer_to = "vault"
mydumper    = ["threads=1", "triggers", "events", "routines"]
retry       = { attempts = 5, delay = "1s" }

[validation.prove]
cron = "${3:-$never}"
TOML
}
reload() { inside systemctl reload mykeeper; }
# A backup is under way whose dump does not end before release.
hold() { inside_plain touch /run/hold; }
release() { inside_plain rm -f /run/hold; }
is_held() { inside_plain pgrep -u mykeeper -f 'held-mydumper.*--outputdir'; }
begin_held_backup() {
  hold
  schedule "$(soon)"
  reload
  until_so 30 is_held
}
none_left() { ! inside_plain pgrep -u mykeeper; }

# --- the stage ---------------------------------------------------------------------------------------------------

can_contain || skipped "$SKIP"
stage_root "$root" || {
  [[ -z $SKIP ]] || skipped "$SKIP"
  fail "the root folder of a Debian 12 cannot be made"
}
open_disk "$root" || skipped "no overlay can be mounted on $target"
package=$(deploy/package.sh --program "$program" --out "$stage")
began=$SECONDS
boot || skipped "$SKIP"
until_so 60 inside_plain mariadb --execute='SELECT 1'
cp "$package" "$stage/disk/root/mykeeper.deb"

# --- the package -------------------------------------------------------------------------------------------------

it "an installation without configuration enables nothing, starts nothing, and says what to do next"
said=$(inside env DEBIAN_FRONTEND=noninteractive dpkg -i /root/mykeeper.deb 2>&1) || fail "$said"
says "$said" "not started: there is no /etc/mykeeper/mykeeper.toml"
says "$said" "mykeeper check"
[[ $(inside_plain systemctl is-enabled mykeeper 2>&1 || true) == disabled ]]
[[ $(property ActiveState) == inactive ]]
[[ $(inside_plain stat -c '%U %a' /var/lib/mykeeper) == 'mykeeper 700' ]]

it "the manual, the examples and the completions lie where they are looked for"
for page in mykeeper mykeeper-restore mykeeper.toml schedule.toml; do
  said=$(inside_plain env MANWIDTH=90 LC_ALL=C.UTF-8 man --warnings -P cat "$page" 2>&1 >/dev/null) || fail "$page: $said"
  [[ -z $said ]] || fail "$page: $said"
done
inside_plain test -e /etc/mykeeper/mykeeper.toml.example -a -e /usr/share/doc/mykeeper/systemd/set-folders.conf
inside_plain bash -c '. /usr/share/bash-completion/completions/mykeeper && complete -p mykeeper' >/dev/null
says "$(inside_plain /usr/lib/mykeeper/pybackup --help 2>&1)" "mydumper"

# --- the configuration -------------------------------------------------------------------------------------------

{
  printf 'SET @mykeeper_orders = 5000;\n'
  cat deploy/sample.sql
} | inside mariadb
password=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
inside mariadb <<SQL
CREATE USER backup@localhost IDENTIFIED BY '$password';
GRANT ALL ON *.* TO backup@localhost;
SQL
# Ends when it is told to: so that what happens in mid-backup happens there.
cat >"$stage/disk/usr/local/bin/held-mydumper" <<'SH'
#!/bin/sh
mydumper "$@"
status=$?
case "$*" in *--outputdir*) while [ -e /run/hold ]; do sleep 0.1; done ;; esac
exit $status
SH
chmod 755 "$stage/disk/usr/local/bin/held-mydumper"
etc=$stage/disk/etc/mykeeper

it "what root has init write the service can read, and a first backup comes of it"
said=$(inside mykeeper init --socket /run/mysqld/mysqld.sock --password-from - --databases shop --job first \
  --directory /var/backups/mykeeper/first --no-prove <<<"$password" 2>&1) || [[ $? == 4 ]] || fail "$said"
says "$said" "mykeeper run first"
inside_plain systemctl start mykeeper
said=$(keeper run first 2>&1) || fail "$said"
strangers=$(inside_plain find /var/lib/mykeeper /var/backups/mykeeper ! -user mykeeper)
[[ -z $strangers ]] || fail "not the service's: $strangers"
inside_plain systemctl stop mykeeper
rm "$etc/mykeeper.toml" "$etc/schedule.toml" "$etc"/shop*

(umask 077 && printf '%s\n' "$password" >"$etc/shop.password")
cat >"$etc/mykeeper.toml" <<'TOML'
node = "db1"

[servers.shop]
socket              = "/run/mysqld/mysqld.sock"
user                = "backup"
password_credential = "shop"

[servers.spare]
socket              = "/run/mysqld/mysqld.sock"
user                = "backup"
password_credential = "spare"

[destinations.vault]
url = "/srv/vault"

[notify]
gather = "1s"

[notify.webhook.chat]
url_credential = "chat"

[sandbox]
memory = "64 MiB"

[tools]
mydumper = "/usr/local/bin/held-mydumper"

[daemon]
grace      = "6s"
kill_grace = "2s"
TOML
schedule "$never"
inside_plain install -d -o mykeeper -g mykeeper /srv/vault /srv/elsewhere
# Whoever is told, and what they were told.
told=$stage/disk/run-told
cat >"$stage/disk/usr/local/bin/sink" <<'PERL'
#!/usr/bin/perl
use strict; use IO::Socket::INET;
$| = 1;
my $listening = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => 8099, Listen => 5, ReuseAddr => 1) or die $!;
while (my $asking = $listening->accept) {
  my $length = 0;
  while (my $line = <$asking>) {
    $length = $1 if $line =~ /^content-length: (\d+)/i;
    last if $line =~ /^\r?\n$/;
  }
  read $asking, my $body, $length;
  print "$body\n";
  print $asking "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
  close $asking;
}
PERL
chmod 755 "$stage/disk/usr/local/bin/sink"
secret_path=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
(umask 077 && printf 'http://127.0.0.1:8099/%s\n' "$secret_path" >"$etc/chat.url")
inside_plain systemd-run -q --unit=sink -p StandardOutput=append:/run-told /usr/local/bin/sink
inside bash -c 'systemd-creds encrypt --name=spare /etc/mykeeper/shop.password /etc/mykeeper/spare.cred' >/dev/null 2>&1
drop_ins=$stage/disk/etc/systemd/system/mykeeper.service.d
mkdir -p "$drop_ins"
cat >"$drop_ins/local.conf" <<'CONF'
[Service]
LoadCredential=shop:/etc/mykeeper/shop.password
LoadCredential=chat:/etc/mykeeper/chat.url
LoadCredentialEncrypted=spare:/etc/mykeeper/spare.cred
ReadWritePaths=/srv/vault
# Shorter than the grace: the daemon asks for as long as it takes.
TimeoutStopSec=3s
CONF
inside_plain systemctl daemon-reload

it "what root asks before the first start, with a mistake in a file too, makes nothing that is not the service's"
inside_plain bash -c 'cd /var/lib/mykeeper && rm -rf locks runs private children daemon.lock'
! said=$(keeper reload 2>&1) || fail "nobody was there to reload: $said"
says "$said" 'no daemon lives'
printf 'corn = 1\n' >>"$etc/schedule.toml"
for look in jobs status; do
  ! said=$(keeper "$look" 2>&1) || fail "$look: the file has a mistake"
  says "$said" 'corn'
done
schedule "$never"
strangers=$(inside_plain find /var/lib/mykeeper ! -user mykeeper)
[[ -z $strangers ]] || fail "not the service's: $strangers"

# --- start, backup, proof ----------------------------------------------------------------------------------------

it "enabled and started, it is ready, and root's check is the service's"
inside_plain systemctl enable --quiet --now mykeeper
is_active
[[ $(property StatusText) == '2 jobs, '* ]]
said=$(keeper check 2>&1) || [[ $? == 4 ]] || fail "$said"
strangers=$(inside_plain find /var/lib/mykeeper ! -user mykeeper)
[[ -z $strangers ]] || fail "not the service's: $strangers"

it "a slot makes a real backup, which goes to a folder that a drop-in names, and is proven, in the sandbox"
schedule "$(soon)" '' "$(date -u -d '+15 sec' '+%-S %-M %-H %-d %-m *')"
reload
until_so 40 has_runs shop-nightly succeeded 1
until_so 60 has_runs prove succeeded 1
says "$(keeper runs --job prove --limit 1)" 'is proven'
inside_plain bash -c 'ls /srv/vault/*/*/mykeeper.manifest.json' >/dev/null

it "passwords come as credentials, one encrypted, and are seen nowhere else"
pid=$(main_pid)
! inside_plain grep -rqF -- "$password" "/proc/$pid/environ" "/proc/$pid/cmdline" /var/lib/mykeeper ||
  fail "the password is where it must not be"
! grep -qF -- "$password" <<<"$(inside_plain journalctl)" || fail "the password is in the journal"
! inside_plain grep -rqF -- "$secret_path" "/proc/$pid/environ" "/proc/$pid/cmdline" /var/lib/mykeeper ||
  fail "the secret URL is where it must not be"

it "the journal finds lines by job, by run and by set"
lines=$(inside_plain journalctl -q -o cat -u mykeeper JOB=shop-nightly)
says "$lines" "run begins"
says "$lines" "run ended"
! grep -qF 'job=prove' <<<"$lines" || fail "lines of another job: $lines"
# shellcheck disable=SC2016 # for the shell inside
set_id=$(inside_plain bash -c 'basename "$(dirname /srv/vault/*/*/mykeeper.manifest.json)"')
says "$(inside_plain journalctl -q -o cat -u mykeeper "BK_ID=$set_id")" "run ended"
run_id=$(keeper runs --job prove --limit 1 --json | sed -n 's/^ *"id": *"\([^"]*\)".*/\1/p' | head -n 1)
lines=$(inside_plain journalctl -q -o cat -u mykeeper "RUN=$run_id")
says "$lines" "run ended"
! grep -qF 'job=shop-nightly' <<<"$lines" || fail "lines of another run: $lines"

# --- reload ------------------------------------------------------------------------------------------------------

it "a reload returns when the new file is in force, and fails with the reason when it is refused"
schedule '0 3 * * *'
reload
says "$(inside_plain cat /var/lib/mykeeper/daemon.json)" '0 3 * * *'
printf 'corn = 1\n' >>"$etc/schedule.toml"
! reload 2>/dev/null || fail "a bad file was taken"
says "$(inside_plain journalctl -q -o cat -u mykeeper -n 30)" 'corn'
is_active
[[ $pid == "$(main_pid)" ]]
says "$(property StatusText)" 'the last reload was refused'
schedule "$never"
reload

it "a start with a mistake in the files fails, says which, and is not tried again"
printf 'corn = 1\n' >>"$etc/schedule.toml"
! inside_plain systemctl restart mykeeper 2>/dev/null || fail "it started"
[[ $(property SubState) == failed ]] || fail "it is $(property SubState)"
says "$(inside_plain journalctl -q -o cat -u mykeeper -n 30)" 'corn'
schedule "$never"
inside_plain systemctl start mykeeper

# --- stop, kill, hang --------------------------------------------------------------------------------------------

it "a stop in mid-backup lets it go on for the grace, ends it, and leaves no process"
begin_held_backup
before=$SECONDS
inside_plain systemctl stop mykeeper
took=$((SECONDS - before))
[[ $took -ge 6 && $took -lt 40 ]] || fail "it took ${took}s"
[[ $(property Result) == success ]]
none_left
has_runs shop-nightly interrupted 1

it "the next start does again what was interrupted"
release
inside_plain systemctl start mykeeper
until_so 40 has_runs shop-nightly succeeded 2

it "killed in mid-backup it is started again, and its backup is made"
begin_held_backup
inside_plain systemctl kill -s KILL --kill-whom=main mykeeper
release
# After RestartSec= of the unit.
until_so 60 is_active
until_so 60 has_runs shop-nightly succeeded 3
has_runs shop-nightly interrupted 2

it "one that hangs is ended by the watchdog, and started again"
printf '[Service]\nWatchdogSec=3s\nRestartSec=1s\nStartLimitBurst=20\n' >"$drop_ins/watchdog.conf"
inside_plain systemctl daemon-reload
inside_plain systemctl restart mykeeper
pid=$(main_pid)
sleep 4
[[ $pid == "$(main_pid)" ]] || fail "one that turns was ended"
inside_plain kill -STOP "$pid"
ended_by_watchdog() { grep -qF 'Watchdog timeout' <<<"$(inside_plain journalctl -q -o cat -u mykeeper)"; }
until_so 40 ended_by_watchdog
until_so 30 is_active
[[ $pid != "$(main_pid)" ]]
rm "$drop_ins/watchdog.conf"
inside_plain systemctl daemon-reload

# --- the sandbox -------------------------------------------------------------------------------------------------

it "a backup to a folder that no drop-in names fails, and says why"
schedule "$(soon)" /srv/elsewhere
reload
until_so 40 has_runs shop-nightly failed 1
says "$(keeper runs --job shop-nightly --state failed)" "Read-only file system"
[[ -z $(inside_plain ls -A /srv/elsewhere) ]]

it "and a webhook is told of it whose URL is a credential"
is_told() { grep -q '"kind":"failure".*job shop-nightly' "$told"; }
until_so 30 is_told
! grep -qF -- "$secret_path" <<<"$(inside_plain journalctl)" || fail "the secret URL is in the journal"

it "as root, which a drop-in makes it, it makes and proves a set, too; and is itself again without"
cp deploy/systemd/examples/as-root.conf "$drop_ins/"
succeeded=$(runs shop-nightly succeeded)
proven=$(runs prove succeeded)
schedule "$(soon)" '' "$(date -u -d '+17 sec' '+%-S %-M %-H %-d %-m *')"
inside_plain systemctl daemon-reload
inside_plain systemctl restart mykeeper
owner=$(inside_plain stat -c %U "/proc/$(main_pid)")
[[ $owner == root ]] || fail "it runs as $owner"
until_so 40 has_runs shop-nightly succeeded $((succeeded + 1))
until_so 60 has_runs prove succeeded $((proven + 1))
says "$(keeper runs --job prove --limit 1)" 'is proven'
# As the drop-in says; a day's folder that is root's would take no set of the service's until midnight.
rm "$drop_ins/as-root.conf"
inside_plain chown -R mykeeper: /var/backups/mykeeper /srv/vault
schedule "$never"
inside_plain systemctl daemon-reload
inside_plain systemctl restart mykeeper
strangers=$(inside_plain find /var/lib/mykeeper ! -user mykeeper)
[[ -z $strangers ]] || fail "not the service's: $strangers"

# --- reboot ------------------------------------------------------------------------------------------------------

it "after a reboot it runs, and what was missed meanwhile is caught up"
schedule '*/5 * * * * *'
reload
until_so 30 has_runs shop-nightly succeeded 4
stop_booted
down_since=$(date -u +%FT%TZ)
sleep 6
boot || fail "it does not boot again: $SKIP"
until_so 30 is_active
caught_up() { grep -q '"trigger": "catch-up"' <<<"$(keeper runs --job shop-nightly --since "$down_since" --json)"; }
until_so 40 caught_up
keeper runs --missing >/dev/null
schedule "$never"
reload

# --- upgrade, downgrade, purge -----------------------------------------------------------------------------------

it "an upgrade in mid-backup lets the old daemon finish it, and then starts the new one"
sed -i 's/^grace .*/grace = "60s"/' "$etc/mykeeper.toml"
interrupted=$(runs shop-nightly interrupted)
succeeded=$(runs shop-nightly succeeded)
begin_held_backup
pid=$(main_pid)
newer=$(deploy/package.sh --program "$program" --version 99.0 --out "$stage")
cp "$newer" "$stage/disk/root/newer.deb"
said=$(inside env DEBIAN_FRONTEND=noninteractive dpkg -i /root/newer.deb 2>&1) || fail "$said"
says "$said" "stops as soon as its running jobs allow"
is_held >/dev/null || fail "the dump was ended"
release
until_so 60 has_runs shop-nightly succeeded $((succeeded + 1))
until_so 60 is_active
is_another() { [[ $(main_pid) != "$1" ]]; }
until_so 30 is_another "$pid"
[[ $(runs shop-nightly interrupted) == "$interrupted" ]] || fail "a run was interrupted"

it "an older version is refused where the catalog is newer than it knows, and the newer one runs on"
mkdir "$stage/older"
dpkg-deb -R "$package" "$stage/older"
sed -i 's/^known=.*/known=1/' "$stage/older/DEBIAN/preinst"
dpkg-deb -Znone -b "$stage/older" "$stage/disk/root/older.deb" >/dev/null
said=$(inside env DEBIAN_FRONTEND=noninteractive dpkg --force-downgrade -i /root/older.deb 2>&1) && fail "it was taken"
says "$said" "knows the catalog up to version 1"
is_active

it "an upgrade starts one that had failed, once its files are sound"
printf 'corn = 1\n' >>"$etc/schedule.toml"
! inside_plain systemctl restart mykeeper 2>/dev/null || fail "it started"
said=$(inside env DEBIAN_FRONTEND=noninteractive dpkg -i /root/newer.deb 2>&1) || fail "$said"
says "$said" 'not started: /etc/mykeeper/mykeeper.toml is not as it must be'
schedule "$never"
said=$(inside env DEBIAN_FRONTEND=noninteractive dpkg -i /root/newer.deb 2>&1) || fail "$said"
says "$said" 'enabled, and started'
until_so 30 is_active

it "removed and installed again, it goes on as it was; disabled by a person it stays so, and says it"
inside env DEBIAN_FRONTEND=noninteractive dpkg -r mykeeper >/dev/null 2>&1
none_left
said=$(inside env DEBIAN_FRONTEND=noninteractive dpkg -i /root/newer.deb 2>&1) || fail "$said"
says "$said" 'enabled, and started'
until_so 30 is_active
[[ $(inside_plain systemctl is-enabled mykeeper) == enabled ]]
inside_plain systemctl disable --quiet --now mykeeper
said=$(inside env DEBIAN_FRONTEND=noninteractive dpkg -i /root/newer.deb 2>&1) || fail "$said"
says "$said" 'it is not enabled'
[[ $(property ActiveState) == inactive ]]
inside_plain systemctl enable --quiet --now mykeeper

it "purged, it leaves sets, and unless told otherwise what it remembers"
inside env DEBIAN_FRONTEND=noninteractive dpkg -P mykeeper >/dev/null 2>&1
none_left
! inside_plain systemctl is-enabled --quiet mykeeper 2>/dev/null || fail "it is enabled still"
inside_plain test -e /var/lib/mykeeper/catalog.db
inside_plain test -e /var/lib/mykeeper/notify
inside_plain bash -c 'ls /var/backups/mykeeper/*/*/metadata' >/dev/null

it "installed again over a configuration that is sound, it starts; told to, a purge removes what it remembers alone"
inside env DEBIAN_FRONTEND=noninteractive dpkg -i /root/newer.deb >/dev/null 2>&1
until_so 30 is_active
[[ $(inside_plain systemctl is-enabled mykeeper) == enabled ]]
inside bash -c 'echo "mykeeper mykeeper/purge-state boolean true" | debconf-set-selections'
inside env DEBIAN_FRONTEND=noninteractive dpkg -P mykeeper >/dev/null 2>&1
! inside_plain test -e /var/lib/mykeeper || fail "state is left: $(inside_plain ls -A /var/lib/mykeeper)"
inside_plain bash -c 'ls /var/backups/mykeeper/*/*/metadata' >/dev/null

it
now=
printf 'service: all of it holds, %ss\n' "$((SECONDS - began))"
