//! Which mydumper is installed, and what it understands. Asked, never assumed.

use crate::env::run_error;
use crate::error::ToolError;
use mykeeper_supervise::{Activity, ChildSpec, Exit, Limits, Supervisor};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

const ANSWER_LIMIT: Duration = Duration::from_secs(15);
/// `--help` of 1.0 has some 300 lines.
const MAX_LINES: usize = 5_000;
pub(crate) const INSTALL_HINT: &str =
    "install it with \"apt-get install mydumper\", or name its path in mykeeper.toml";

/// An installed mydumper.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MydumperInfo {
    /// As it is started.
    pub program: PathBuf,
    /// Its own word: `mydumper 0.10.0, built against MySQL 10.5.8`.
    pub banner: String,
    /// Major, minor, patch.
    pub version: (u32, u32, u32),
    /// Every long option that it knows, without dashes.
    pub options: BTreeSet<String>,
}

impl MydumperInfo {
    /// Whether it knows the option.
    pub fn knows(&self, option: &str) -> bool {
        self.options.contains(option)
    }

    /// Before 0.11: another `metadata`, names of files as they are, no locks on definitions.
    pub(crate) fn is_classic(&self) -> bool {
        self.version < (0, 11, 0)
    }
}

/// Asks `program` for its version and its options.
///
/// # Errors
/// [`ToolError::NotInstalled`], or it does not answer like a mydumper.
pub async fn detect_mydumper(supervisor: &Supervisor, program: &Path) -> Result<MydumperInfo, ToolError> {
    let version_lines = ask(supervisor, program, "--version").await?;
    let unlike = |what: &str, lines: &[String]| ToolError::Failed {
        message: format!(
            "{} does not answer {what} like mydumper: {:?}; is it mydumper?",
            program.display(),
            lines.first().map(String::as_str).unwrap_or_default()
        ),
        passing: false,
    };
    let Some((banner, version)) = version_lines.iter().find_map(|line| parse_version(line)) else {
        return Err(unlike("--version", &version_lines));
    };
    let help = ask(supervisor, program, "--help").await?;
    let options = parse_options(&help);
    if !options.contains("outputdir") {
        return Err(unlike("--help", &help));
    }
    Ok(MydumperInfo {
        program: program.to_owned(),
        banner,
        version,
        options,
    })
}

/// What `program` says of its own options.
///
/// # Errors
/// [`ToolError::NotInstalled`], or it does not answer.
pub async fn ask_for_help(supervisor: &Supervisor, program: &Path) -> Result<Vec<String>, ToolError> {
    ask(supervisor, program, "--help").await
}

async fn ask(supervisor: &Supervisor, program: &Path, question: &str) -> Result<Vec<String>, ToolError> {
    let limits = Limits {
        timeout: Some(ANSWER_LIMIT),
        stall: None,
        grace: Duration::from_secs(1),
    };
    let spec = ChildSpec::new(program)
        .arg(question)
        .env("LC_ALL", "C.UTF-8")
        .limits(limits);
    let mut lines = Vec::new();
    let mut keep = |_, line: &[u8]| {
        if lines.len() < MAX_LINES {
            lines.push(String::from_utf8_lossy(line).into_owned());
        }
    };
    let finished = supervisor
        .run(spec, CancellationToken::new(), Activity::new(), &mut keep)
        .await
        .map_err(|error| run_error(program, INSTALL_HINT, &error))?;
    match finished.exit {
        Exit::TimedOut { after } => Err(ToolError::TimedOut {
            program: program.display().to_string(),
            after,
        }),
        // Some versions end --help with a status of their own.
        _ => Ok(lines),
    }
}

/// `mydumper 0.10.0, built against MySQL 10.5.8` or `mydumper v1.0.1-3, built against MariaDB 10.11.19 with SSL support`.
pub fn parse_version(line: &str) -> Option<(String, (u32, u32, u32))> {
    let line = line.trim();
    let rest = line.strip_prefix("mydumper ")?;
    let number = rest.trim_start_matches('v');
    let end = number
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(number.len());
    let mut parts = number[..end].split('.').map(str::parse);
    let major = parts.next()?.ok()?;
    let minor = parts.next()?.ok()?;
    let patch = parts.next().and_then(Result::ok).unwrap_or(0);
    Some((line.to_owned(), (major, minor, patch)))
}

/// The long options in the output of `--help`.
pub fn parse_options(help: &[String]) -> BTreeSet<String> {
    help.iter()
        .filter_map(|line| {
            let line = line.trim_start();
            let line = match line.as_bytes() {
                [b'-', short, b',', ..] if *short != b'-' => line[3..].trim_start(),
                _ => line,
            };
            let name: String = line
                .strip_prefix("--")?
                .chars()
                .take_while(|c| c.is_ascii_alphanumeric() || *c == '-')
                .collect();
            (!name.is_empty()).then_some(name)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_styles_of_version_are_read() {
        for (line, version) in [
            ("mydumper 0.10.0, built against MySQL 10.11.14", (0, 10, 0)),
            (
                "mydumper v1.0.1-3, built against MariaDB 10.11.19 with SSL support",
                (1, 0, 1),
            ),
            ("mydumper 0.9.2, built against MySQL 5.5.53", (0, 9, 2)),
        ] {
            assert_eq!(parse_version(line), Some((line.to_owned(), version)));
        }
        assert_eq!(parse_version("rsync  version 3.2.7"), None);
    }

    #[test]
    fn the_options_of_recorded_helps_are_read() {
        let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
        let classic = parse_options(&lines(include_str!("../../tests/fixtures/help-0.10")));
        let later = parse_options(&lines(include_str!("../../tests/fixtures/help-1.0")));
        for option in [
            "compress",
            "triggers",
            "use-savepoints",
            "no-locks",
            "help",
            "tz-utc",
        ] {
            assert!(classic.contains(option), "{option}");
        }
        for option in [
            "compress",
            "triggers",
            "no-trx-tables",
            "sync-thread-lock-mode",
            "defaults-extra-file",
        ] {
            assert!(later.contains(option), "{option}");
        }
        assert!(!later.contains("no-locks") && !classic.contains("no-trx-tables"));
    }
}
