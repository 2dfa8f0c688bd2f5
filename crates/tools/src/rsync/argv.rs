//! rsync's arguments.

use super::RsyncInfo;
use crate::error::ToolError;
use mykeeper_domain::destination::{Destination, DestinationUrl, SshOptions};
use std::ffi::OsString;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where a cut file waits for the next attempt, beside its place.
pub(super) const PARTIAL_DIR: &str = ".rsync-partial";
/// How long a connection may take to come about.
const CONNECT_SECONDS: u32 = 30;

/// A way to one destination.
#[derive(Clone)]
pub(super) struct Way<'a> {
    pub(super) info: &'a RsyncInfo,
    pub(super) destination: &'a Destination,
    pub(super) ssh_program: &'a Path,
    /// Our private copy of the password, for a daemon that asks for a user.
    pub(super) password_file: Option<PathBuf>,
    /// The stall limit, told to the other end too.
    pub(super) stall: Option<Duration>,
}

impl Way<'_> {
    /// Refuses what a program would take for an option.
    pub(super) fn check(&self) -> Result<(), ToolError> {
        let (user, host) = match &self.destination.url {
            DestinationUrl::Daemon { user, host, .. } | DestinationUrl::Ssh { user, host, .. } => {
                (user, host)
            }
            DestinationUrl::Local { .. } => return Ok(()),
        };
        if host.starts_with('-') || user.as_ref().is_some_and(|user| user.starts_with('-')) {
            return Err(ToolError::Failed {
                message: format!(
                    "cannot use destination {}: neither host nor user may begin with \"-\"",
                    self.destination.name
                ),
                passing: false,
            });
        }
        Ok(())
    }

    /// What every call of rsync to this destination has.
    pub(super) fn common(&self) -> Vec<OsString> {
        let mut args: Vec<OsString> = Vec::new();
        // 8-bit-output: names as they are, not as \#346.
        args.push("--8-bit-output".into());
        if let Some(stall) = self.stall {
            args.push(format!("--timeout={}", stall.as_secs().max(1)).into());
        }
        if let Some(limit) = self.destination.bandwidth_limit {
            // In units of 1024 bytes; 0 would mean no limit.
            args.push(format!("--bwlimit={}", (limit / 1024).max(1)).into());
        }
        match &self.destination.url {
            DestinationUrl::Daemon { .. } => {
                args.push(format!("--contimeout={CONNECT_SECONDS}").into());
                if let Some(address) = self.destination.source_address {
                    args.push(format!("--address={address}").into());
                }
                if let Some(file) = &self.password_file {
                    args.push(option("--password-file=", file));
                }
            }
            DestinationUrl::Ssh { .. } => {
                // Names reach the other side past its shell.
                args.push("--protect-args".into());
                args.push("-e".into());
                args.push(ssh_command(
                    self.ssh_program,
                    &self.destination.ssh,
                    self.destination.source_address,
                ));
            }
            DestinationUrl::Local { .. } => {}
        }
        args
    }

    /// The destination's folder, or one below it, as rsync's last argument.
    pub(super) fn target(&self, below: &str) -> OsString {
        match &self.destination.url {
            DestinationUrl::Local { path } => path.join(below).join("").into_os_string(),
            url => {
                let url = url.to_string();
                let below = below.trim_matches('/');
                let slash = if below.is_empty() { "" } else { "/" };
                format!("{}/{below}{slash}", url.trim_end_matches('/')).into()
            }
        }
    }

    /// Sends what is in `source`, but neither `metadata` nor the manifest.
    pub(super) fn send_argv(&self, source: &Path, below: &str, manifest: &str) -> Vec<OsString> {
        let mut args = self.common();
        args.extend(["--recursive", "--times", "--perms", "--no-human-readable"].map(OsString::from));
        args.push(format!("--partial-dir={PARTIAL_DIR}").into());
        args.extend(["--info=progress2", "--stats"].map(OsString::from));
        args.push(format!("--exclude=/{manifest}").into());
        // A folder may be that of a database which is called so.
        args.extend(["--include=metadata/", "--exclude=metadata"].map(OsString::from));
        args.extend(["--".into(), source.join("").into_os_string(), self.target(below)]);
        args
    }

    /// Sends what mydumper says of a whole dump: `metadata`, in the set's own folder or in each database's.
    pub(super) fn send_metadata_argv(&self, source: &Path, below: &str) -> Vec<OsString> {
        let mut args = self.common();
        args.extend(
            [
                "--recursive",
                "--times",
                "--perms",
                "--no-human-readable",
                "--stats",
            ]
            .map(OsString::from),
        );
        args.extend(["--include=*/", "--include=metadata", "--exclude=*"].map(OsString::from));
        args.extend(["--".into(), source.join("").into_os_string(), self.target(below)]);
        args
    }

    /// Sends the files that `list` names, each ended by a zero byte, from below `source`.
    pub(super) fn send_listed_argv(&self, source: &Path, list: &Path, below: &str) -> Vec<OsString> {
        let mut args = self.common();
        args.extend(["--times", "--perms", "--no-human-readable"].map(OsString::from));
        args.push(format!("--partial-dir={PARTIAL_DIR}").into());
        // One that has gone meanwhile, as mydumper was started again, keeps none of the others.
        args.extend(["--ignore-missing-args", "--info=progress2", "--stats", "--from0"].map(OsString::from));
        args.push(option("--files-from=", list));
        args.extend(["--".into(), source.join("").into_os_string(), self.target(below)]);
        args
    }

    /// Sends one file.
    pub(super) fn send_file_argv(&self, source: &Path, below: &str) -> Vec<OsString> {
        let mut args = self.common();
        args.extend(["--times", "--perms", "--no-human-readable", "--stats"].map(OsString::from));
        args.extend(["--".into(), source.as_os_str().to_owned(), self.target(below)]);
        args
    }

    /// Makes the folders that `skeleton` holds.
    ///
    /// `--mkpath` would do it, since 3.2.3; this does it with any.
    pub(super) fn make_folders_argv(&self, skeleton: &Path) -> Vec<OsString> {
        let mut args = self.common();
        args.push("--recursive".into());
        args.extend(["--".into(), skeleton.join("").into_os_string(), self.root().0]);
        args
    }

    /// What is there before anything is sent (for a daemon its module), and the way from there to the destination.
    pub(super) fn root(&self) -> (OsString, String) {
        let DestinationUrl::Daemon {
            user,
            host,
            port,
            path,
        } = &self.destination.url
        else {
            return (self.target(""), String::new());
        };
        let (module, way) = path.split_once('/').unwrap_or((path, ""));
        let url = DestinationUrl::Daemon {
            user: user.clone(),
            host: host.clone(),
            port: *port,
            path: module.to_owned(),
        };
        (format!("{url}/").into(), way.to_owned())
    }

    /// Compares by checksum and tells of every file, so that silence means that nothing happens.
    pub(super) fn verify_argv(&self, source: &Path, below: &str) -> Vec<OsString> {
        let mut args = self.common();
        args.extend(["--recursive", "--checksum", "--dry-run"].map(OsString::from));
        args.extend(["--itemize-changes", "--itemize-changes", "--out-format=%i %n"].map(OsString::from));
        args.extend(["--".into(), source.join("").into_os_string(), self.target(below)]);
        args
    }

    /// Deletes the one folder `name` below `below`, and all that is in it, by sending a folder that lacks it; tells of each
    /// file. A `rehearsal` tells alone.
    pub(super) fn delete_folder_argv(
        &self,
        empty: &Path,
        (below, name): (&str, &str),
        rehearsal: bool,
    ) -> Vec<OsString> {
        let mut args = self.common();
        args.extend(rehearsal.then(|| OsString::from("--dry-run")));
        args.extend(["--recursive", "--omit-dir-times", "--delete", "--itemize-changes"].map(OsString::from));
        args.extend([format!("--include=/{name}/***").into(), "--exclude=*".into()]);
        args.extend(["--".into(), empty.join("").into_os_string(), self.target(below)]);
        args
    }

    /// Lists the one folder `name` below `below`, where it is there.
    pub(super) fn look_for_argv(&self, below: &str, name: &str) -> Vec<OsString> {
        let mut args = self.common();
        args.extend(["--recursive", "--list-only"].map(OsString::from));
        args.extend([
            format!("--include=/{below}/").into(),
            format!("--include=/{below}/{name}/").into(),
            "--exclude=*".into(),
        ]);
        args.extend(["--".into(), self.target("")]);
        args
    }

    /// Deletes the one file `name` at the destination, by sending a folder that lacks it.
    pub(super) fn delete_argv(&self, empty: &Path, name: &str) -> Vec<OsString> {
        let mut args = self.common();
        args.extend(["--recursive", "--omit-dir-times", "--delete"].map(OsString::from));
        args.extend([format!("--include=/{name}").into(), "--exclude=*".into()]);
        args.extend(["--".into(), empty.join("").into_os_string(), self.target("")]);
        args
    }
}

fn option(name: &str, path: &Path) -> OsString {
    let mut option = OsString::from(name);
    option.push(path);
    option
}

/// What rsync runs for `user@host:/path`. rsync splits it at spaces and knows quotes.
fn ssh_command(program: &Path, ssh: &SshOptions, source_address: Option<IpAddr>) -> OsString {
    let mut words = vec![program.display().to_string()];
    let mut set = |option: String| words.extend(["-o".to_owned(), option]);
    set("BatchMode=yes".into());
    set(format!("ConnectTimeout={CONNECT_SECONDS}"));
    set("ServerAliveInterval=15".into());
    set("ServerAliveCountMax=4".into());
    set("ForwardAgent=no".into());
    set("ForwardX11=no".into());
    if let Some(port) = ssh.port {
        set(format!("Port={port}"));
    }
    if let Some(file) = &ssh.identity_file {
        set(format!("IdentityFile=\"{}\"", file.display()));
        set("IdentitiesOnly=yes".into());
    }
    if let Some(file) = &ssh.known_hosts_file {
        set(format!("UserKnownHostsFile=\"{}\"", file.display()));
        set("StrictHostKeyChecking=yes".into());
    }
    if let Some(address) = source_address {
        set(format!("BindAddress={address}"));
    }
    let quoted: Vec<String> = words.iter().map(|word| quote(word)).collect();
    quoted.join(" ").into()
}

/// In single quotes where it must be; a single quote within is doubled.
fn quote(word: &str) -> String {
    if word
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "/._-=+:@,".contains(c))
    {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use mykeeper_domain::DestinationName;
    use mykeeper_domain::server::PasswordSource;

    fn destination(url: &str) -> Destination {
        Destination {
            name: DestinationName::new("vault").unwrap(),
            url: url.parse().unwrap(),
            password: PasswordSource::None,
            source_address: Some("10.0.0.9".parse().unwrap()),
            bandwidth_limit: Some(50 * 1024 * 1024),
            ssh: SshOptions {
                port: Some(2222),
                identity_file: Some("/etc/my keeper/id".into()),
                known_hosts_file: Some("/etc/mykeeper/known".into()),
            },
            recorded_as: None,
        }
    }

    fn lines(url: &str) -> String {
        let info = RsyncInfo {
            program: "rsync".into(),
            banner: String::new(),
            version: (3, 5, 0),
        };
        let destination = destination(url);
        let way = Way {
            info: &info,
            destination: &destination,
            ssh_program: Path::new("ssh"),
            password_file: Some("/run/mykeeper/x/rsync.password".into()),
            stall: Some(Duration::from_secs(900)),
        };
        way.check().unwrap();
        let join = |args: Vec<OsString>| {
            args.iter()
                .map(|arg| arg.to_string_lossy().into_owned())
                .collect::<Vec<_>>()
                .join("\n")
        };
        let set = Path::new("/data/2026-11-22/日志 set");
        [
            join(way.make_folders_argv(Path::new("/run/mykeeper/x/skeleton"))),
            join(way.send_argv(set, "2026-11-22/日志 set", "mykeeper.manifest.json")),
            join(way.send_metadata_argv(set, "2026-11-22/日志 set")),
            join(way.send_file_argv(&set.join("mykeeper.manifest.json"), "2026-11-22/日志 set")),
            join(way.send_listed_argv(set, Path::new("/run/mykeeper/x/ahead"), "2026-11-22/日志 set")),
            join(way.delete_folder_argv(
                Path::new("/run/mykeeper/x/empty"),
                ("2026-11-22", "日志 set"),
                true,
            )),
            join(way.verify_argv(set, "2026-11-22/日志 set")),
            join(way.delete_argv(Path::new("/run/mykeeper/x/empty"), ".mykeeper-check-1")),
        ]
        .join("\n\n")
    }

    #[test]
    fn a_daemon_is_called_with_password_file_address_and_limits() {
        insta::assert_snapshot!(lines("rsync://platform@[::1]:1873/db_backup/106.3.130.84"));
    }

    #[test]
    fn ssh_is_called_without_asking_anyone() {
        insta::assert_snapshot!(lines("me@vault:/srv/my backups"));
    }

    #[test]
    fn a_local_folder_needs_neither() {
        insta::assert_snapshot!(lines("/mnt/backup"));
    }

    #[test]
    fn words_are_quoted_as_rsync_reads_them() {
        assert_eq!(quote("/usr/bin/ssh"), "/usr/bin/ssh");
        assert_eq!(quote("IdentityFile=\"/a b/c'd\""), "'IdentityFile=\"/a b/c''d\"'");
    }

    #[test]
    fn a_host_that_looks_like_an_option_is_refused() {
        let info = RsyncInfo {
            program: "rsync".into(),
            banner: String::new(),
            version: (3, 5, 0),
        };
        let mut destination = destination("host:/path");
        destination.url = DestinationUrl::Ssh {
            user: None,
            host: "-oProxyCommand=x".into(),
            path: "/p".into(),
        };
        let way = Way {
            info: &info,
            destination: &destination,
            ssh_program: Path::new("ssh"),
            password_file: None,
            stall: None,
        };
        assert!(way.check().is_err());
    }
}
