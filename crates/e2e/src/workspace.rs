//! One installation of mykeeper: a folder with both files, password files, state and sets.

use crate::binary::{Binary, Surroundings};
use crate::catalog_view::CatalogView;
use crate::daemon::Daemon;
use crate::mariadb::MariaDb;
use crate::scratch::Scratch;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// A password nobody else has, with everything in it that quoting stumbles over.
pub fn secret_text(what: &str) -> String {
    format!("S3c=r'e\"t #{what};$x {}", uuid::Uuid::new_v4().simple())
}

/// The folder. What a test says about its files is TOML, as a person would write it.
#[derive(Debug)]
pub struct Workspace {
    scratch: Scratch,
    binary: Binary,
}

impl Workspace {
    /// Empty, with folders `state` and `sets`.
    pub fn new() -> Self {
        let scratch = Scratch::new();
        for folder in ["state", "sets", "sandbox"] {
            std::fs::create_dir(scratch.path().join(folder)).expect("a folder within our own");
        }
        // The throwaway server of a proof may run under another account.
        std::fs::set_permissions(
            scratch.path().join("sandbox"),
            std::fs::Permissions::from_mode(0o1777),
        )
        .expect("chmod of our own folder");
        Self {
            scratch,
            binary: Binary::find(),
        }
    }

    /// From now on the binary is called so.
    pub fn surround(&mut self, surroundings: Surroundings) {
        self.binary = self.binary.clone().within(surroundings);
    }

    /// Whether its folder stays when it is dropped.
    pub fn keep(&mut self, keep: bool) {
        self.scratch.keep(keep);
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        self.scratch.path()
    }

    /// A path within it.
    pub fn at(&self, relative: &str) -> PathBuf {
        self.scratch.path().join(relative)
    }

    /// `mykeeper.toml`.
    pub fn config(&self) -> PathBuf {
        self.at("mykeeper.toml")
    }

    /// The folder of all sets.
    pub fn sets(&self) -> PathBuf {
        self.at("sets")
    }

    /// Writes a password file as it must be and gives its path.
    pub fn password_file(&self, name: &str, password: &str) -> PathBuf {
        let path = self.at(&format!("{name}.password"));
        std::fs::write(&path, format!("{password}\n")).expect("a file within our own folder");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))
            .expect("chmod of our own file");
        path
    }

    /// Writes `mykeeper.toml`: node, folders and the SQLite catalog are said; `more` follows.
    pub fn write_keeper(&self, more: &str) {
        let more = if more.contains("[catalog]") {
            more.to_owned()
        } else {
            format!("[catalog]\nurl = \"sqlite:catalog.db\"\n\n{more}")
        };
        let sandbox = if more.contains("[sandbox]") {
            String::new()
        } else {
            format!(
                "\n[sandbox]\ndirectory = \"{}\"\nmemory = \"64 MiB\"\n",
                self.at("sandbox").display()
            )
        };
        let text = format!(
            "node = \"testnode\"\nstate_dir = \"{}\"\nschedule = \"schedule.toml\"\n\n{more}\n{sandbox}",
            self.at("state").display()
        );
        std::fs::write(self.config(), text).expect("a file within our own folder");
    }

    /// Writes `schedule.toml`. `{sets}` stands for the folder of all sets.
    pub fn write_schedule(&self, text: &str) {
        let text = text.replace("{sets}", &self.sets().display().to_string());
        std::fs::write(self.at("schedule.toml"), text).expect("a file within our own folder");
    }

    /// `[servers.NAME]` over the socket, as the account `backup`, which it makes there with `password`.
    pub fn server(&self, name: &str, server: &MariaDb, password: &str) -> String {
        server.backup_account("backup", password);
        let file = self.password_file(name, password);
        format!(
            "[servers.{name}]\nsocket = \"{}\"\nuser = \"backup\"\npassword_file = \"{}\"\naddress = \"192.0.2.7\"\n\n",
            server.socket().display(),
            file.display()
        )
    }

    /// The same over TCP, through `port` of loopback.
    pub fn server_over_tcp(&self, name: &str, server: &MariaDb, port: u16, password: &str) -> String {
        server.backup_account("backup", password);
        let file = self.password_file(name, password);
        format!(
            "[servers.{name}]\nhost = \"127.0.0.1\"\nport = {port}\nuser = \"backup\"\npassword_file = \"{}\"\n\
             address = \"192.0.2.7\"\n\n",
            file.display()
        )
    }

    /// `[destinations.NAME]`.
    pub fn destination(&self, name: &str, url: &str, password: &str) -> String {
        let file = self.password_file(name, password);
        format!(
            "[destinations.{name}]\nurl = \"{url}\"\npassword_file = \"{}\"\n\n",
            file.display()
        )
    }

    /// The binary, told where this workspace's files are.
    pub fn mykeeper(&self, args: &[&str]) -> crate::Finished {
        self.binary.run(&self.config(), args)
    }

    /// The same, not waited for.
    pub fn start_mykeeper(&self, args: &[&str]) -> crate::Started {
        self.binary.start(&self.config(), args)
    }

    /// Starts the daemon; ready when this returns.
    pub fn daemon(&self) -> Daemon {
        let mut daemon = self.daemon_starting();
        daemon.wait_ready();
        daemon
    }

    /// Starts the daemon and does not wait for it.
    pub fn daemon_starting(&self) -> Daemon {
        Daemon::start(&self.binary, &self.config(), self.path())
    }

    /// The runs that the catalog knows, newest first, as `mykeeper runs --json` tells them.
    pub fn runs(&self) -> Vec<serde_json::Value> {
        let finished = self.mykeeper(&["runs", "--json"]);
        finished.assert_code(0);
        list(finished.json(), "runs")
    }

    /// The runs of one job, newest first.
    pub fn runs_of(&self, job: &str) -> Vec<serde_json::Value> {
        self.runs().into_iter().filter(|run| run["job"] == job).collect()
    }

    /// The only run of a job.
    pub fn only_run_of(&self, job: &str) -> serde_json::Value {
        let mut runs = self.runs_of(job);
        assert_eq!(runs.len(), 1, "there should be one run of {job}: {runs:#?}");
        runs.remove(0)
    }

    /// The sets that the catalog knows, deleted ones too, newest first.
    pub fn backups(&self) -> Vec<serde_json::Value> {
        let finished = self.mykeeper(&["backups", "--all", "--json"]);
        finished.assert_code(0);
        list(finished.json(), "backups")
    }

    /// The SQLite catalog, read beside the binary.
    pub fn catalog(&self) -> CatalogView<'_> {
        CatalogView::sqlite(&self.at("state/catalog.db"))
    }
}

impl Default for Workspace {
    fn default() -> Self {
        Self::new()
    }
}

fn list(value: serde_json::Value, key: &str) -> Vec<serde_json::Value> {
    let list = match value {
        serde_json::Value::Object(mut object) => object.remove(key).unwrap_or_default(),
        other => other,
    };
    match list {
        serde_json::Value::Array(list) => list,
        other => panic!("no list of {key}: {other}"),
    }
}
