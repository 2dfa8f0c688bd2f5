//! One installation with everything around it, its daemon started, ended and started again.

use super::Trial;
use crate::audit::{Audited, Watched, audit, strangers_after};
use crate::binary::Surroundings;
use crate::catalog_view::CatalogView;
use crate::daemon::Daemon;
use crate::mariadb::{MariaDb, MariaDbOptions};
use crate::processes::ProcessId;
use crate::proxy::TcpProxy;
use crate::restored::{fingerprint, load_set};
use crate::rsync_daemon::RsyncDaemon;
use crate::sample::SAMPLE_DATABASES;
use crate::scratch::Tmpfs;
use crate::wait::wait_until;
use crate::workspace::Workspace;
use mykeeper_domain::{Clock, SystemClock};
use rustix::process::Signal;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

/// Every job every few seconds, so that a whole cycle takes no longer.
pub(crate) const SCHEDULE: &str = r#"
[backup.nightly]
cron        = "*/5 * * * * *"
server      = "shop"
databases   = ["!mysql"]
directory   = "{sets}"
reserve     = "1 MiB"
transfer_to = "vault"
mydumper    = ["threads=1", "triggers", "events", "routines"]
timeout     = "40s"
stall       = "8s"
retry       = { attempts = 3, delay = "1s" }

[transfer.catch-up]
cron         = "*/6 * * * * *"
destination  = "vault"
verify_every = "20s"
timeout      = "40s"
stall        = "8s"
retry        = { attempts = 2, delay = "1s" }
overlap      = "queue"

[validation.prove]
cron        = "*/4 * * * * *"
timeout     = "60s"
stall       = "20s"
missed      = "skip"

[retention.prune]
cron        = "*/5 * * * * *"
directory   = "{sets}"
keep        = { last = 2 }
action      = "delete"
require     = "validated"
"#;

/// Sets go to a folder of this machine, too, where they bear a partial name until they have arrived.
const NEAR: &str = r#"
[transfer.catch-up-near]
cron         = "*/6 * * * * *"
destination  = "near"
timeout      = "40s"
stall        = "8s"
retry        = { attempts = 2, delay = "1s" }
overlap      = "queue"
"#;

/// Short, so that what must be ended is ended soon.
pub(crate) const DAEMON: &str = "[daemon]\ngrace = \"30s\"\nkill_grace = \"2s\"\n\n";

/// A slot that comes when the daemon is told to stop may be left to the next start.
const BEFORE_STOP_MS: i64 = 1_500;
/// How long everything may take to go well again once nothing is injected any more.
const HEALS_WITHIN: Duration = Duration::from_secs(100);
/// How long what an ended daemon has left may live.
const ORPHANS_END_WITHIN: Duration = Duration::from_secs(12);

/// Which catalog.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Engine {
    #[default]
    Sqlite,
    MariaDb,
}

/// What a stage is like.
#[derive(Clone, Debug, Default)]
pub(crate) struct Setting {
    pub(crate) engine: Engine,
    /// Words that mykeeper is called through.
    pub(crate) through: Vec<String>,
    /// The network namespace that mykeeper and the rsync daemon share: words to enter it.
    pub(crate) within: Vec<String>,
    /// Sets go to the folder `near`, too.
    pub(crate) near: bool,
}

/// The stage. Its folder stays unless it is found in order.
#[derive(Debug)]
pub(crate) struct Stage {
    daemon: Option<Daemon>,
    /// File systems in the workspace: unmounted before its folder is removed, as fields are dropped in this order.
    disks: Vec<Rc<Tmpfs>>,
    pub(crate) workspace: Workspace,
    pub(crate) source: MariaDb,
    pub(crate) source_link: TcpProxy,
    pub(crate) vault: RsyncDaemon,
    pub(crate) vault_link: TcpProxy,
    /// The catalog's server.
    pub(crate) keeper: Option<MariaDb>,
    near: bool,
    watched: Option<Watched>,
    /// Daemons that ended by themselves without an excuse; each a sentence.
    refusals: Vec<String>,
    /// How far the daemon's clock is ahead of the real one.
    ahead_ms: i64,
}

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> i64 {
    SystemClock.now().timestamp_millis()
}

impl Stage {
    /// Everything but the daemon runs.
    pub(crate) fn with(trial: &mut Trial, setting: Setting) -> Self {
        let source = MariaDb::with_sample();
        let source_link = TcpProxy::to(source.port());
        let vault = RsyncDaemon::start_through("vault pw", setting.within.clone());
        let vault_link = TcpProxy::to(vault.port());
        let mut workspace = Workspace::new();
        workspace.keep(true);
        trial.kept.push(workspace.path().to_path_buf());
        let (keeper, catalog) = match setting.engine {
            Engine::Sqlite => (None, String::new()),
            Engine::MariaDb => {
                let (server, section) = catalog_server(&workspace);
                (Some(server), section)
            }
        };
        // In a network of their own neither proxy is to be reached, and the server by its socket alone.
        let (server, port) = if setting.within.is_empty() {
            let server = workspace.server_over_tcp("shop", &source, source_link.port(), "shop pw");
            (server, vault_link.port())
        } else {
            (workspace.server("shop", &source, "shop pw"), vault.port())
        };
        let near = match setting.near {
            true => {
                let folder = workspace.at("near");
                std::fs::create_dir(&folder).expect("a folder within our own");
                format!("[destinations.near]\nurl = \"{}\"\n\n", folder.display())
            }
            false => String::new(),
        };
        workspace.write_keeper(&format!(
            "{catalog}{server}{}{near}{DAEMON}",
            workspace.destination("vault", &vault.url(port, "db1"), "vault pw")
        ));
        workspace.write_schedule(&match setting.near {
            true => SCHEDULE.replacen("\"vault\"", "[\"vault\", \"near\"]", 1) + NEAR,
            false => SCHEDULE.to_owned(),
        });
        workspace.surround(Surroundings {
            through: [setting.within, setting.through].concat(),
            variables: Vec::new(),
        });
        Self {
            daemon: None,
            disks: Vec::new(),
            workspace,
            source,
            source_link,
            vault,
            vault_link,
            keeper,
            near: setting.near,
            watched: None,
            refusals: Vec::new(),
            ahead_ms: 0,
        }
    }

    /// What time it is for the daemon, in milliseconds since 1970.
    fn now_ms(&self) -> i64 {
        now_ms() + self.ahead_ms
    }

    /// The daemon's clock is so many seconds ahead of the real one from now on.
    pub(crate) fn set_clock_ahead(&mut self, seconds: i64) {
        self.ahead_ms = seconds * 1000;
    }

    /// Mounts a file system of its own on a folder of the workspace; `None` where that cannot be had.
    pub(crate) fn mount(&mut self, place: &str, options: &str) -> Option<Rc<Tmpfs>> {
        let disk = Rc::new(Tmpfs::mount_with(self.workspace.at(place), options)?);
        self.disks.push(Rc::clone(&disk));
        Some(disk)
    }

    pub(crate) fn catalog(&self) -> CatalogView<'_> {
        match &self.keeper {
            Some(server) => CatalogView::mariadb(server, "catalogdb"),
            None => self.workspace.catalog(),
        }
    }

    /// Starts the daemon and does not wait for it.
    pub(crate) fn begin(&mut self) {
        let now = self.now_ms();
        // Until one has said READY, the time at which slots begin to count is not known.
        self.watched.get_or_insert(Watched {
            started_ms: now,
            ready_ms: i64::MAX,
            until_ms: 0,
        });
        self.daemon = Some(self.workspace.daemon_starting());
    }

    /// Waits until the daemon is ready.
    pub(crate) fn await_ready(&mut self) {
        if let Some(daemon) = &mut self.daemon {
            daemon.wait_ready();
        }
        let now = self.now_ms();
        if let Some(watched) = &mut self.watched {
            watched.ready_ms = watched.ready_ms.min(now);
        }
    }

    /// Waits until a daemon that was begun under a fault, which is gone by now, is ready. One that has refused to start
    /// is a finding, unless the fault makes that impossible: then it has ended with 3 and said one of `excuses`. After
    /// it the next one must start.
    pub(crate) fn ready_after(&mut self, fault: &str, excuses: &[&str]) {
        let ready = wait_until(
            HEALS_WITHIN,
            "a daemon that was begun says READY, or ends",
            || {
                let daemon = self.daemon.as_mut()?;
                let has_ended = daemon.try_end().is_some();
                (has_ended || daemon.notified("READY=1")).then_some(!has_ended)
            },
        );
        if ready {
            return self.await_ready();
        }
        self.look_for_refusal(fault, excuses);
        self.daemon = None;
        self.start();
    }

    /// A daemon that has ended by itself is a finding, but for a refusal with an excuse.
    fn look_for_refusal(&mut self, when: &str, excuses: &[&str]) {
        let Some(daemon) = &mut self.daemon else { return };
        let Some(status) = daemon.try_end() else { return };
        let said = daemon.own_log();
        let is_excused = status.code() == Some(3)
            && !daemon.notified("READY=1")
            && excuses.iter().any(|excuse| said.contains(excuse));
        if !is_excused {
            let last = said.lines().next_back().unwrap_or("nothing");
            self.refusals.push(format!(
                "{when}: the daemon ended by itself with {status}; it said: {last}"
            ));
        }
    }

    pub(crate) fn start(&mut self) {
        self.begin();
        self.await_ready();
    }

    /// The running daemon.
    pub(crate) fn daemon(&self) -> &Daemon {
        self.daemon.as_ref().expect("the stage's daemon runs")
    }

    /// Kills the daemon, and nothing else.
    pub(crate) fn kill(&mut self) {
        self.look_for_refusal("before it could be killed", &[]);
        if let Some(mut daemon) = self.daemon.take()
            && daemon.try_end().is_none()
        {
            daemon.signal(Signal::KILL);
            daemon.wait_end(Duration::from_secs(20));
        }
    }

    /// Kills everything at once, as the end of the machine would.
    pub(crate) fn kill_everything(&mut self) {
        if let Some(daemon) = &self.daemon {
            daemon.signal(Signal::STOP);
            let below = daemon.descendants();
            self.kill();
            below.iter().for_each(ProcessId::kill);
        }
        // What was born while the others died.
        crate::audit::processes_of(self.workspace.path())
            .iter()
            .for_each(ProcessId::kill);
    }

    /// The daemon's own children and theirs of this name.
    pub(crate) fn tools(&self, name: &str) -> Vec<ProcessId> {
        let below = self.daemon.as_ref().map(Daemon::descendants).unwrap_or_default();
        below
            .into_iter()
            .filter(|process| process.name.starts_with(name))
            .collect()
    }

    /// Waits until a tool of this name runs; none when none does in time.
    pub(crate) fn await_tool(&self, name: &str, limit: Duration) -> Vec<ProcessId> {
        let began = std::time::Instant::now();
        while began.elapsed() < limit {
            let found = self.tools(name);
            if !found.is_empty() {
                return found;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Vec::new()
    }

    /// Nothing of an earlier daemon lives beside the running one for long.
    pub(crate) fn look_for_strangers(&self, trial: &mut Trial) {
        let left = strangers_after(self.workspace.path(), self.daemon().pid(), ORPHANS_END_WITHIN);
        for process in left {
            trial.findings.orphans.push(format!(
                "process {} {} of an ended daemon: {}",
                process.pid,
                process.name,
                process.command_line()
            ));
        }
    }

    /// Nothing is injected any more: waits until all goes well again.
    pub(crate) fn heal(&self) {
        let healed_ms = self.now_ms();
        let catalog = self.catalog();
        let done = |what: &str| {
            format!(
                "{what}, once nothing is injected any more; the log of its daemons is in {}",
                self.workspace.path().display()
            )
        };
        let runs = format!(
            "SELECT COUNT(*) FROM mk_run WHERE kind = 'backup' AND state IN ('succeeded', 'warned') AND slot_ms > {healed_ms}"
        );
        wait_until(HEALS_WITHIN, &done("a backup goes through"), || {
            (catalog.value(&runs) != "0").then_some(())
        });
        let open = "SELECT COUNT(*) FROM user_backup WHERE deletion = 'deleting'";
        wait_until(
            HEALS_WITHIN,
            &done("every deletion that was begun is ended"),
            || (catalog.value(open) == "0").then_some(()),
        );
    }

    /// Ends the daemon as an operator would; what runs may end.
    pub(crate) fn stop(&mut self) {
        let until = self.now_ms() - BEFORE_STOP_MS;
        if let Some(mut daemon) = self.daemon.take() {
            daemon.signal(Signal::TERM);
            let status = daemon.wait_end(Duration::from_secs(100));
            assert!(
                status.success(),
                "the daemon ended with {status} when it was told to stop"
            );
        }
        if let Some(watched) = &mut self.watched {
            watched.until_ms = until;
        }
    }

    /// Heals, stops, audits. `trial` gets what was found; the folder stays when something was.
    pub(crate) fn finish(mut self, trial: &mut Trial) {
        if self.daemon.is_none() {
            self.start();
        }
        self.heal();
        self.stop();
        self.judge(trial);
    }

    /// The same, and the newest complete set is restored by hand.
    pub(crate) fn restore_after(mut self, trial: &mut Trial) {
        self.heal();
        self.stop();
        self.restore_newest(trial);
        self.judge(trial);
    }

    /// Audits what a daemon that has ended has left.
    pub(crate) fn judge(mut self, trial: &mut Trial) {
        trial.findings.wrong.append(&mut self.refusals);
        let affected = self.catalog().value(
            "SELECT COUNT(*) FROM mk_run WHERE state IN ('failed', 'timed-out', 'stalled', 'interrupted', 'cancelled') \
             OR id IN (SELECT run_id FROM mk_attempt WHERE number > 1) \
             OR id IN (SELECT run_id FROM mk_transfer WHERE number > 1)",
        );
        trial.affected += affected.parse::<u64>().unwrap_or_default();
        let found = audit(&Audited {
            workspace: &self.workspace,
            catalog: self.catalog(),
            source: &self.source,
            vault: Some((&self.vault, self.vault.vault().join("db1"))),
            near: self.near.then(|| self.workspace.at("near")),
            watched: self.watched.expect("a daemon was started"),
            databases: &SAMPLE_DATABASES,
        });
        trial.findings.extend(found);
        if trial.findings.are_none() {
            self.workspace.keep(false);
            trial.kept.retain(|path| path != self.workspace.path());
        }
    }

    /// Restores the newest complete set with nothing but the server's own client, and compares it with the source.
    pub(crate) fn restore_newest(&self, trial: &mut Trial) {
        let query =
            "SELECT bk_dir FROM user_backup WHERE is_complete = 'Y' AND deletion = 'none' ORDER BY id DESC";
        let dir = self.catalog().value(query);
        let target = MariaDb::start();
        load_set(Path::new(&dir), &SAMPLE_DATABASES, &target);
        if fingerprint(&target, &SAMPLE_DATABASES) != fingerprint(&self.source, &SAMPLE_DATABASES) {
            trial.findings.wrong.push(format!(
                "the complete set in {dir} does not restore to what was there"
            ));
        }
    }
}

/// A server for the catalog, with an account of no more rights than the README asks for.
fn catalog_server(workspace: &Workspace) -> (MariaDb, String) {
    let server = MariaDb::start_with(MariaDbOptions {
        // What it has said to be written must outlive its being killed.
        extra: ["--innodb-flush-log-at-trx-commit=2", "--innodb-doublewrite=1"]
            .map(str::to_owned)
            .to_vec(),
        ..Default::default()
    });
    server.sql("CREATE DATABASE catalogdb");
    server.account(
        "keeper",
        "catalog pw",
        "SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, INDEX ON catalogdb.*",
    );
    let file = workspace.password_file("catalog", "catalog pw");
    let section = format!(
        "[catalog]\nurl = \"mysql://keeper@127.0.0.1:{}/catalogdb\"\npassword_file = \"{}\"\n\n",
        server.port(),
        file.display()
    );
    (server, section)
}
