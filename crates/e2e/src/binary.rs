//! The built `mykeeper`.

use crate::processes::descendants_of;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Longer than any single command of the tests takes.
const COMMAND_LIMIT: Duration = Duration::from_secs(100);

/// Where it lies, and how it is called.
#[derive(Clone, Debug)]
pub struct Binary {
    path: PathBuf,
    surroundings: Surroundings,
}

/// What a program is called through, and what it finds in its environment besides.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// Words before the program's own path: `ip netns exec NAME`, `prlimit --nofile=64`. Each replaces itself by the
    /// program, so that its process is the program's.
    pub through: Vec<String>,
    /// Variables.
    pub variables: Vec<(String, String)>,
}

impl Binary {
    /// The one of the same profile as the running test or benchmark.
    pub fn find() -> Self {
        let path = profile_folder().join("mykeeper");
        assert!(
            path.is_file(),
            "there is no {}: run 'cargo build --workspace' first",
            path.display()
        );
        if let Some(source) = newer_source(&path) {
            panic!(
                "{} is older than {source}, and running tests does not build it: run 'cargo build --workspace' first",
                path.display()
            );
        }
        Self {
            path,
            surroundings: Surroundings::default(),
        }
    }

    /// The same, called otherwise.
    #[must_use]
    pub fn within(mut self, surroundings: Surroundings) -> Self {
        self.surroundings = surroundings;
        self
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A command with a clean environment: what a service gets, not what the tester's shell has.
    pub fn command(&self, config: &Path) -> Command {
        let mut words = self.surroundings.through.iter();
        let mut command = match words.next() {
            None => Command::new(&self.path),
            Some(first) => {
                let mut command = Command::new(first);
                command.args(words).arg(&self.path);
                command
            }
        };
        command
            .env_clear()
            .env(
                "PATH",
                "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            )
            .env("HOME", config.parent().unwrap_or(Path::new("/")))
            .envs(self.surroundings.variables.iter().cloned())
            .arg("--config")
            .arg(config)
            .stdin(Stdio::null());
        command
    }

    /// Runs it to its end.
    pub fn run(&self, config: &Path, args: &[&str]) -> Finished {
        self.start(config, args).finish()
    }

    /// Starts it and does not wait.
    pub fn start(&self, config: &Path, args: &[&str]) -> Started {
        let stdout = tempfile::tempfile().expect("a temporary file");
        let stderr = tempfile::tempfile().expect("a temporary file");
        let child = self
            .command(config)
            .args(args)
            .stdout(stdout.try_clone().expect("a second handle"))
            .stderr(stderr.try_clone().expect("a second handle"))
            .spawn()
            .expect("mykeeper can be started");
        Started {
            child,
            stdout,
            stderr,
            words: args.join(" "),
        }
    }
}

/// A source that has changed since the program was built of it, by the list that cargo writes beside it.
fn newer_source(program: &Path) -> Option<String> {
    let changed = |path: &Path| path.metadata().and_then(|metadata| metadata.modified()).ok();
    let built = changed(program)?;
    let list = std::fs::read_to_string(program.with_extension("d")).ok()?;
    // As make reads it: "program: source source"; a space in a path is escaped.
    let (_, sources) = list.split_once(": ")?;
    let sources = sources.replace("\\ ", "\0");
    let mut sources = sources
        .split_ascii_whitespace()
        .map(|source| source.replace('\0', " "));
    sources.find(|source| changed(Path::new(source)).is_some_and(|changed| changed > built))
}

/// `target/<profile>`, where programs lie; tests lie in its `deps`.
pub(crate) fn profile_folder() -> PathBuf {
    let program = std::env::current_exe().expect("a program knows its own path");
    let folder = program.parent().expect("a program lies in a folder");
    match folder.parent() {
        Some(profile) if folder.ends_with("deps") => profile.to_path_buf(),
        _ => folder.to_path_buf(),
    }
}

/// A command that runs.
#[derive(Debug)]
pub struct Started {
    child: Child,
    stdout: File,
    stderr: File,
    words: String,
}

impl Started {
    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: rustix::process::Signal) {
        send(self.child.id(), signal);
    }

    /// Waits for its end.
    pub fn finish(mut self) -> Finished {
        let began = Instant::now();
        let status = loop {
            if let Ok(Some(status)) = self.child.try_wait() {
                break status;
            }
            if began.elapsed() > COMMAND_LIMIT {
                let said = (contents(&mut self.stdout), contents(&mut self.stderr));
                panic!(
                    "'mykeeper {}' did not end within {COMMAND_LIMIT:?}:\n{}\n{}",
                    self.words, said.0, said.1
                );
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        Finished {
            status,
            stdout: contents(&mut self.stdout),
            stderr: contents(&mut self.stderr),
            words: self.words.clone(),
        }
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            let below = descendants_of(self.child.id());
            let _ = self.child.kill();
            let _ = self.child.wait();
            below.iter().for_each(crate::ProcessId::kill);
        }
    }
}

pub(crate) fn send(pid: u32, signal: rustix::process::Signal) {
    let pid = i32::try_from(pid)
        .ok()
        .and_then(rustix::process::Pid::from_raw)
        .expect("a child has a process id");
    rustix::process::kill_process(pid, signal).expect("our own child takes a signal");
}

fn contents(file: &mut File) -> String {
    let mut bytes = Vec::new();
    let _ = file.seek(SeekFrom::Start(0));
    let _ = file.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A command that has ended.
#[derive(Debug)]
pub struct Finished {
    /// How.
    pub status: ExitStatus,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    words: String,
}

impl Finished {
    /// Fails the test, with everything the command said, unless it ended so.
    #[track_caller]
    pub fn assert_code(&self, code: i32) -> &Self {
        assert_eq!(self.status.code(), Some(code), "exit status of {self}");
        self
    }

    /// Fails the test unless the command said this, on either output.
    #[track_caller]
    pub fn assert_says(&self, text: &str) -> &Self {
        assert!(self.said().contains(text), "it should say {text:?}: {self}");
        self
    }

    /// Both outputs.
    pub fn said(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }

    /// Standard output as JSON.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("no JSON ({error}) from {self}"))
    }
}

impl std::fmt::Display for Finished {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "'mykeeper {}' ({})\n--- stdout\n{}--- stderr\n{}---",
            self.words, self.status, self.stdout, self.stderr
        )
    }
}
