//! What is wrong with an answer, told when it is given; with a flag, before anything is asked.

use crate::args::InitArgs;
use crate::failure::Failure;
use crate::surroundings::host_zone;
use chrono_tz::Tz;
use mykeeper_domain::destination::DestinationUrl;
use mykeeper_domain::schedule::Schedule;
use mykeeper_domain::{JobName, NodeName, ServerName};
use std::fmt::Display;
use std::path::Path;

/// One sentence that says what is wrong, and what would be right.
pub(super) type Checked = Result<(), String>;

/// All mistakes in the flags at once.
pub(super) fn refuse_wrong(args: &InitArgs, folder: &Path) -> anyhow::Result<()> {
    let path = |flag: &str, path: &Option<std::path::PathBuf>| match path {
        Some(path) => absolute(path).map_err(|wrong| format!("{flag}: {wrong}")),
        None => Ok(()),
    };
    let text = |flag: &str, given: &Option<String>, check: &dyn Fn(&str) -> Checked| match given {
        Some(given) => check(given).map_err(|wrong| format!("{flag}: {wrong}")),
        None => Ok(()),
    };
    let zone = zone(args);
    let node = |name: &str| NodeName::new(name).map(drop).map_err(|error| error.to_string());
    let checks = [
        text("--node", &args.node, &node),
        path("--state-dir", &args.state_dir),
        text("--server", &args.server, &|name| {
            server(name, folder, args.no_password)
        }),
        path("--socket", &args.socket),
        text("--host", &args.host, &host),
        text("--user", &args.user, &user),
        databases(&args.databases).map_err(|wrong| format!("--databases: {wrong}")),
        path("--directory", &args.directory),
        text("--destination", &args.destination, &destination),
        text("--job", &args.job, &job),
        text("--cron", &args.cron, &|expression| cron(expression, zone)),
    ];
    let wrong: Vec<String> = checks.into_iter().filter_map(Result::err).collect();
    match wrong.is_empty() {
        true => Ok(()),
        false => Err(Failure::usage(format!(
            "{}\nnothing was written",
            wrong.join("\n")
        ))),
    }
}

pub(super) fn zone(args: &InitArgs) -> Tz {
    args.timezone.or_else(|| host_zone().ok()).unwrap_or(Tz::UTC)
}

/// Its name is that of files, too, none of which may be there.
pub(super) fn server(name: &str, folder: &Path, has_no_password: bool) -> Checked {
    plain::<ServerName>(name)?;
    let files = match has_no_password {
        true => Vec::new(),
        false => vec![super::password_name(name), super::account_name(name)],
    };
    match files.into_iter().find(|file| folder.join(file).exists()) {
        Some(file) => Err(format!(
            "{} is there already: move it away, or choose another name for the server",
            folder.join(file).display()
        )),
        None => Ok(()),
    }
}

pub(super) fn job(name: &str) -> Checked {
    plain::<JobName>(name)
}

/// It becomes a bare key of TOML, a file's name and a word of a command.
fn plain<T: TryFrom<String>>(name: &str) -> Checked
where
    T::Error: Display,
{
    let is_plain = name
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
    if !is_plain || name.is_empty() {
        return Err(format!("{name:?} is no name here; use letters, digits, - and _"));
    }
    T::try_from(name.to_owned())
        .map(drop)
        .map_err(|error| error.to_string())
}

pub(super) fn absolute(path: &Path) -> Checked {
    match path.is_absolute() {
        true => Ok(()),
        false => Err(format!(
            "{:?} is no absolute path; write /an/absolute/path",
            path.display().to_string()
        )),
    }
}

pub(super) fn host(name: &str) -> Checked {
    match name.is_empty() || name.contains(|c: char| c == '/' || c.is_whitespace() || c.is_control()) {
        true => Err(format!(
            "{name:?} is no host; write a name or an address, or the absolute path of a socket"
        )),
        false => Ok(()),
    }
}

/// A socket or a host.
pub(super) fn endpoint(answer: &str) -> Checked {
    match answer.starts_with('/') {
        true => Ok(()),
        false => host(answer),
    }
}

pub(super) fn user(name: &str) -> Checked {
    match name.is_empty() || name.contains(char::is_control) {
        true => Err(format!("{name:?} is no account's name")),
        false => Ok(()),
    }
}

pub(super) fn directory(answer: &str) -> Checked {
    absolute(Path::new(answer))
}

pub(super) fn destination(url: &str) -> Checked {
    url.parse::<DestinationUrl>()
        .map(drop)
        .map_err(|error| error.to_string())
}

pub(super) fn cron(expression: &str, zone: Tz) -> Checked {
    Schedule::parse(expression, zone)
        .map(drop)
        .map_err(|error| error.to_string())
}

fn databases(patterns: &[String]) -> Checked {
    let is_excluding = |pattern: &String| pattern.starts_with('!');
    let bad = patterns.iter().find(|pattern| {
        let name = pattern.strip_prefix('!').unwrap_or(pattern);
        name.is_empty() || name.trim() != name
    });
    if let Some(bad) = bad {
        return Err(format!(
            "{bad:?} is no pattern; write a database's name, without spaces around it"
        ));
    }
    match patterns.iter().any(is_excluding) && !patterns.iter().all(is_excluding) {
        true => Err(
            "it mixes patterns that include with patterns that exclude (\"!mysql\"); write either".to_owned(),
        ),
        false => Ok(()),
    }
}
