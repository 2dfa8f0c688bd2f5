//! Which server program, and whose.

use crate::env::{ToolEnv, run_error};
use crate::error::ToolError;
use mykeeper_supervise::{Activity, ChildSpec, Exit, Limits, SuperviseError};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What to do about a missing server.
pub(super) const HINT: &str =
    "install it with \"apt-get install mariadb-server\", or name another server program under [sandbox]";
/// Where servers live that no PATH names.
const FOLDERS: [&str; 8] = [
    "/usr/sbin",
    "/usr/local/sbin",
    "/usr/libexec",
    "/usr/bin",
    "/usr/local/bin",
    "/usr/local/mysql/bin",
    "/opt/mariadb/bin",
    "/opt/mysql/bin",
];

/// The server program that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ServerProgram {
    /// A path, or a name that PATH finds.
    pub(super) path: PathBuf,
    /// `10.11.19-MariaDB-0+deb12u1`, `8.0.36`.
    pub(super) version: String,
}

impl ServerProgram {
    /// MariaDB rather than MySQL.
    pub(super) fn is_mariadb(&self) -> bool {
        self.version.contains("MariaDB")
    }
}

/// Finds the program on PATH or in the usual folders, and asks for its version.
///
/// # Errors
/// It is nowhere, or is no server.
pub(super) async fn find_server(program: &Path, env: &ToolEnv<'_>) -> Result<ServerProgram, ToolError> {
    let mut places = vec![program.to_owned()];
    if program.components().count() == 1 {
        places.extend(
            FOLDERS
                .iter()
                .map(|folder| Path::new(folder).join(program))
                .filter(|path| path.is_file()),
        );
    }
    for place in places {
        match ask_version(&place, env).await {
            Ok(Some(version)) => return Ok(ServerProgram { path: place, version }),
            Ok(None) => {
                return Err(ToolError::Run {
                    program: place.display().to_string(),
                    cause: "it does not answer --version as a MariaDB or MySQL server does".to_owned(),
                });
            }
            Err(SuperviseError::NotFound { .. }) => {}
            Err(error) => return Err(run_error(&place, HINT, &error)),
        }
    }
    Err(ToolError::NotInstalled {
        program: program.display().to_string(),
        hint: HINT.to_owned(),
    })
}

async fn ask_version(program: &Path, env: &ToolEnv<'_>) -> Result<Option<String>, SuperviseError> {
    let limits = Limits {
        timeout: Some(Duration::from_secs(30)),
        ..Limits::default()
    };
    let spec = ChildSpec::new(program)
        .args(["--no-defaults", "--version"])
        .limits(limits);
    let mut version = None;
    let finished = env
        .supervisor
        .run(spec, env.cancel.clone(), Activity::new(), &mut |_, line| {
            // A warning may come first: that this host has no network card, say.
            if version.is_none() {
                version = parse_version(&String::from_utf8_lossy(line));
            }
        })
        .await?;
    Ok(version.filter(|_| finished.exit == Exit::Success))
}

/// `mariadbd  Ver 10.11.19-MariaDB-0+deb12u1 for debian-linux-gnu on x86_64 (Debian 12)`
fn parse_version(banner: &str) -> Option<String> {
    let mut words = banner
        .split_whitespace()
        .skip_while(|word| *word != "Ver")
        .skip(1);
    let version = words.next()?;
    version
        .starts_with(|c: char| c.is_ascii_digit())
        .then(|| version.to_owned())
}

/// The program that fills an empty data folder, found beside the server or where packages put it.
pub(super) fn install_program(server: &Path) -> PathBuf {
    const NAMES: [&str; 2] = ["mariadb-install-db", "mysql_install_db"];
    let own = server.parent().map(Path::to_owned).unwrap_or_default();
    let folders = [own.clone(), own.join("../scripts"), own.join("../bin")]
        .into_iter()
        .filter(|folder| folder.is_absolute())
        .chain(FOLDERS.iter().map(PathBuf::from));
    for folder in folders {
        for name in NAMES {
            let path = folder.join(name);
            if path.is_file() {
                return path;
            }
        }
    }
    PathBuf::from(NAMES[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn banners_are_read() {
        for (banner, version) in [
            (
                "mariadbd  Ver 10.11.19-MariaDB-0+deb12u1 for debian-linux-gnu on x86_64 (Debian 12)",
                Some("10.11.19-MariaDB-0+deb12u1"),
            ),
            (
                "/usr/sbin/mysqld  Ver 8.0.36 for Linux on x86_64 (MySQL Community Server - GPL)",
                Some("8.0.36"),
            ),
            ("ls (GNU coreutils) 9.1", None),
        ] {
            assert_eq!(parse_version(banner).as_deref(), version);
        }
    }
}
