//! Damage that the tools themselves make: a dump or its connection killed, a table dropped meanwhile, a full disk, a
//! killed loader. It is found as it happens: the set is never complete, or never judged.

use super::sets::Layout::Packed;
use super::{Act, Damage, Witness};
use crate::binary::Started;
use crate::mariadb::MariaDb;
use crate::processes::{ProcessId, descendants_of};
use crate::proxy::TcpProxy;
use crate::scratch::{Tmpfs, is_root};
use crate::wait::{LIMIT, wait_until};
use crate::workspace::Workspace;
use std::os::unix::fs::PermissionsExt;

/// What became of it.
#[derive(Clone, Debug)]
pub(super) enum Outcome {
    /// In mykeeper's words.
    Found(String),
    Missed(String),
    /// It cannot be made here.
    Skipped(String),
}

const fn made(name: &'static str, what: &'static str, act: fn() -> Outcome) -> Damage {
    Damage {
        name,
        what,
        latest: Witness::Digest,
        layout: Packed,
        act: Act::Tools(act),
    }
}

pub(super) const DAMAGES: &[Damage] = &[
    made("dump-killed", "mydumper killed while it writes", dump_killed),
    made(
        "dump-server-killed",
        "the server killed while it is dumped",
        server_killed,
    ),
    made(
        "dump-connection-killed",
        "the dump's connections killed",
        connection_killed,
    ),
    made(
        "dump-table-dropped",
        "a table dropped while it is dumped",
        table_dropped,
    ),
    made("dump-disk-full", "no room for the rest of a packed set", || {
        disk_full("mydumper")
    }),
    made("dump-disk-full-plain", "no room for the rest of a set", || {
        disk_full("none")
    }),
    made("loader-killed", "myloader killed while it loads", loader_killed),
    made(
        "sandbox-killed",
        "the throwaway server killed while it is loaded",
        sandbox_killed,
    ),
];

/// A server behind a slow link, and a job that backs it up.
struct Stage {
    source: MariaDb,
    link: TcpProxy,
    workspace: Workspace,
}

impl Stage {
    fn new(tools: &str) -> Self {
        let source = MariaDb::with_sample();
        let link = TcpProxy::to(source.port());
        let workspace = Workspace::new();
        let server = workspace.server_over_tcp("shop", &source, link.port(), "pw");
        workspace.write_keeper(&format!(
            "{server}{}",
            tools.replace("{here}", &workspace.path().display().to_string())
        ));
        workspace.write_schedule(&job("{sets}", "gzip"));
        Self {
            source,
            link,
            workspace,
        }
    }

    /// Begins a dump that lasts, and waits until it writes.
    fn begin_dump(&self) -> Started {
        self.link.set_rate(400_000);
        let running = self.workspace.start_mykeeper(&["run", "nightly"]);
        wait_until(LIMIT, "a dump is under way", || {
            let writes = files_below(&self.workspace.sets()) > 2;
            (writes && !tools_of(running.pid(), "mydumper").is_empty()).then_some(())
        });
        running
    }

    /// The set must not be complete, and say why.
    fn judge(self, running: Started) -> Outcome {
        self.link.set_rate(0);
        let code = running.finish().status.code();
        let sets = self.workspace.backups();
        let Some(set) = sets.first() else {
            return Outcome::Missed("there is no record of the set".to_owned());
        };
        let reason = set["reason"].as_str().unwrap_or_default().to_owned();
        if set["complete"] == serde_json::json!([false]) && code == Some(1) && !reason.is_empty() {
            Outcome::Found(reason)
        } else {
            Outcome::Missed(format!("exit {code:?}: {set}"))
        }
    }
}

fn job(sets: &str, compression: &str) -> String {
    format!(
        "[backup.nightly]\ncron = \"0 0 29 2 *\"\nserver = \"shop\"\ndatabases = [\"!mysql\"]\ndirectory = \"{sets}\"\n\
         compression = \"{compression}\"\nmydumper = [\"threads=1\", \"triggers\", \"events\", \"routines\"]\nreserve = \"off\"\nstall = \"20s\"\n\
         retry = {{ attempts = 1, delay = \"1s\" }}\n\n"
    )
}

fn tools_of(pid: u32, tool: &str) -> Vec<ProcessId> {
    let mut below = descendants_of(pid);
    below.retain(|process| process.name == tool && !process.command_line().contains("--version"));
    below
}

fn files_below(folder: &std::path::Path) -> usize {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| {
            if entry.path().is_dir() {
                files_below(&entry.path())
            } else {
                1
            }
        })
        .sum()
}

fn dump_killed() -> Outcome {
    let stage = Stage::new("");
    let running = stage.begin_dump();
    tools_of(running.pid(), "mydumper")
        .iter()
        .for_each(ProcessId::kill);
    stage.judge(running)
}

fn server_killed() -> Outcome {
    let mut stage = Stage::new("");
    let running = stage.begin_dump();
    stage.source.kill();
    stage.judge(running)
}

fn connection_killed() -> Outcome {
    let stage = Stage::new("");
    let running = stage.begin_dump();
    let query = "SELECT id FROM information_schema.processlist WHERE user = 'backup'";
    for id in stage.source.query(query).iter().flatten() {
        // It may have gone by itself.
        stage.source.try_sql(&format!("KILL {id}"));
    }
    stage.judge(running)
}

fn table_dropped() -> Outcome {
    let stage = Stage::new("");
    stage.source.sql(
        "USE shop; CREATE TABLE shop.zz_fleeting (id INT PRIMARY KEY, t TEXT) ENGINE=InnoDB; \
         INSERT INTO shop.zz_fleeting SELECT seq, REPEAT('x', 200) FROM seq_1_to_2000",
    );
    let running = stage.begin_dump();
    // It waits for as long as mydumper holds its lock.
    if !stage
        .source
        .try_sql("SET lock_wait_timeout = 40; DROP TABLE shop.zz_fleeting")
    {
        return Outcome::Missed("the table could not be dropped in mid-dump".to_owned());
    }
    let set_is_whole = {
        stage.link.set_rate(0);
        let code = running.finish().status.code();
        let sets = stage.workspace.backups();
        let set = sets.first().cloned().unwrap_or_default();
        let reason = set["reason"].as_str().unwrap_or_default().to_owned();
        match (code, set["complete"] == serde_json::json!([true])) {
            // What was gone at its end is nothing that the set must hold: all else must come back.
            (Some(0), true) => {
                stage
                    .workspace
                    .mykeeper(&["validate", "--bk-id", set["id"].as_str().unwrap_or_default()])
            }
            (Some(1), false) if !reason.is_empty() => return Outcome::Found(reason),
            _ => return Outcome::Missed(format!("exit {code:?}: {set}")),
        }
    };
    if set_is_whole.status.code() == Some(0) {
        Outcome::Found("the set holds all that was there at its end".to_owned())
    } else {
        Outcome::Missed(set_is_whole.said())
    }
}

fn disk_full(compression: &str) -> Outcome {
    if !is_root() {
        return Outcome::Skipped("only root can mount a file system that can be full".to_owned());
    }
    let stage = Stage::new("");
    let Some(disk) = Tmpfs::mount(stage.workspace.at("disk"), 2) else {
        return Outcome::Skipped("a file system that can be full cannot be mounted here".to_owned());
    };
    stage
        .workspace
        .write_schedule(&job(&disk.path().display().to_string(), compression));
    let running = stage.workspace.start_mykeeper(&["run", "nightly"]);
    let outcome = stage.judge(running);
    drop(disk);
    outcome
}

/// A set that is whole, a validation of it, and one of its processes killed: the set stays unproven, not failed.
fn killed_in_proof(tool: &str, tools: &str) -> Outcome {
    let stage = Stage::new(tools);
    let loader = stage.workspace.at("myloader");
    // Its own process for as long as it takes to be found.
    let script = "#!/bin/sh\ncase $1 in --version) exec myloader --version;; esac\nsleep 20 & wait\n";
    std::fs::write(&loader, script).expect("a file within our own folder");
    std::fs::set_permissions(&loader, std::fs::Permissions::from_mode(0o755)).expect("chmod of our own file");
    stage.workspace.mykeeper(&["run", "nightly"]).assert_code(0);
    let id = stage.workspace.backups()[0]["id"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let running = stage.workspace.start_mykeeper(&["validate", "--bk-id", &id]);
    wait_until(LIMIT, "the set is being loaded", || {
        (!tools_of(running.pid(), "myloader").is_empty()).then_some(())
    });
    tools_of(running.pid(), tool).iter().for_each(ProcessId::kill);
    let finished = running.finish();
    let catalog = stage.workspace.catalog();
    let status = catalog.value(&format!(
        "SELECT validate_status FROM user_backup WHERE bk_id = '{id}'"
    ));
    if status == "N/A" && finished.status.code() != Some(0) {
        Outcome::Found(finished.said().lines().last().unwrap_or_default().to_owned())
    } else {
        Outcome::Missed(format!("the set is {status}: {finished}"))
    }
}

fn loader_killed() -> Outcome {
    killed_in_proof("myloader", "[tools]\nmyloader = \"{here}/myloader\"\n")
}

fn sandbox_killed() -> Outcome {
    killed_in_proof("mariadbd", "[tools]\nmyloader = \"{here}/myloader\"\n")
}
