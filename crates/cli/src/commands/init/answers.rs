//! What a person answers: by flags, and on a terminal by what is asked for the rest.

use crate::args::InitArgs;
use crate::failure::Failure;
use crate::output::say;
use crate::surroundings::{SOCKETS, client_socket, gather, host_zone};
use chrono_tz::Tz;
use mykeeper_config::read_password;
use mykeeper_daemon::jobs::password_problem;
use mykeeper_domain::server::PasswordSource;
use mykeeper_domain::{DestinationName, JobName, ServerName};
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use secrecy::SecretString;
use secrecy::zeroize::Zeroizing;
use std::io::{BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};

/// Everything that the files are made of.
pub(super) struct Answers {
    pub(super) node: Option<String>,
    pub(super) state_dir: Option<PathBuf>,
    pub(super) server: String,
    pub(super) socket: Option<PathBuf>,
    pub(super) host: Option<String>,
    pub(super) port: Option<u16>,
    pub(super) user: String,
    /// `None`: the account has none.
    pub(super) password: Option<SecretString>,
    pub(super) databases: Vec<String>,
    pub(super) directory: PathBuf,
    pub(super) destination: Option<To>,
    pub(super) job: String,
    pub(super) cron: String,
    pub(super) timezone: Tz,
    pub(super) proves: bool,
}

/// Where sets are sent.
pub(super) struct To {
    pub(super) name: String,
    pub(super) url: String,
    pub(super) password: Option<SecretString>,
}

/// Whether there is somebody to ask.
fn is_asked() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

pub(super) fn ask(args: InitArgs) -> anyhow::Result<Answers> {
    let asks = is_asked();
    if !asks {
        refuse_missing(&args)?;
    }
    let server = asked(args.server, asks, "A name for the server", Some("shop"))?;
    named::<ServerName>("--server", &server)?;
    let (socket, host) = endpoint(args.socket, args.host, asks)?;
    let user = asked(args.user, asks, "Its account for backups", Some("backup"))?;
    let password = match (&args.password_from, args.no_password) {
        (_, true) => None,
        (Some(file), _) => Some(password_from(file)?),
        (None, _) if asks => {
            Some(ask_password("Its password (empty: one is made up)")?.unwrap_or_else(made_up))
        }
        (None, _) => Some(made_up()),
    };
    let directory = match args.directory {
        Some(directory) => directory,
        None => asked(None, asks, "The folder for sets", Some("/var/backups/mykeeper"))?.into(),
    };
    if !directory.is_absolute() {
        return Err(Failure::usage(format!(
            "--directory {} is no absolute path",
            directory.display()
        )));
    }
    let url = match args.destination {
        Some(url) => Some(url),
        None if asks => Some(prompt(
            "Where sets are sent (rsync://user@host/module/path, user@host:/path, /path; empty: nowhere)",
        )?)
        .filter(|url| !url.is_empty()),
        None => None,
    };
    let destination = url.map(|url| destination(url, args.destination_password_from.as_deref(), asks));
    let destination = destination.transpose()?;
    let job = args.job.unwrap_or_else(|| format!("{server}-nightly"));
    named::<JobName>("--job", &job)?;
    let cron = asked(args.cron, asks, "When (cron)", Some("0 4 * * *"))?;
    let timezone = match args.timezone {
        Some(zone) => zone,
        None => host_zone().unwrap_or(Tz::UTC),
    };
    let proves = match (args.prove, args.no_prove) {
        (true, _) => true,
        (_, true) => false,
        _ if asks => !prompt("Restore each set and compare it, in a throwaway server here? [Y/n]")?
            .to_lowercase()
            .starts_with('n'),
        _ => true,
    };
    Ok(Answers {
        node: args.node,
        state_dir: args.state_dir,
        server,
        socket,
        host,
        port: args.port,
        user,
        password,
        databases: match args.databases.is_empty() {
            true => vec!["%".to_owned()],
            false => args.databases,
        },
        directory,
        destination,
        job,
        cron,
        timezone,
        proves,
    })
}

/// Names every flag that is missing, not the first.
fn refuse_missing(args: &InitArgs) -> anyhow::Result<()> {
    let has_endpoint = args.socket.is_some() || args.host.is_some() || client_socket().is_some();
    let missing: Vec<&str> = [
        (!has_endpoint, "--socket PATH or --host HOST"),
        (args.directory.is_none(), "--directory DIR"),
    ]
    .into_iter()
    .filter_map(|(is_missing, flag)| is_missing.then_some(flag))
    .collect();
    match missing.is_empty() {
        true => Ok(()),
        false => Err(Failure::usage(format!(
            "there is no terminal to ask on, and {} {} not given; nothing was written",
            missing.join(", "),
            if missing.len() == 1 { "is" } else { "are" }
        ))),
    }
}

fn endpoint(
    socket: Option<PathBuf>,
    host: Option<String>,
    asks: bool,
) -> anyhow::Result<(Option<PathBuf>, Option<String>)> {
    if socket.is_some() || host.is_some() {
        return Ok((socket, host));
    }
    let found = client_socket();
    if !asks {
        return Ok((found, None));
    }
    let default = found.map_or_else(|| SOCKETS[0].to_owned(), |path| path.display().to_string());
    let answer = asked(None, asks, "Its socket, or its host", Some(&default))?;
    Ok(match answer.starts_with('/') {
        true => (Some(answer.into()), None),
        false => (None, Some(answer)),
    })
}

fn destination(url: String, password_from_file: Option<&Path>, asks: bool) -> anyhow::Result<To> {
    let password = match password_from_file {
        Some(file) => Some(password_from(file)?),
        None if asks && url.starts_with("rsync://") => {
            ask_password("The password of that rsync account (empty: it has none)")?
        }
        None => None,
    };
    let name = "vault".to_owned();
    named::<DestinationName>("the destination", &name)?;
    Ok(To { name, url, password })
}

fn named<T: TryFrom<String>>(what: &str, name: &str) -> anyhow::Result<()>
where
    T::Error: std::fmt::Display,
{
    // It becomes a bare key of TOML, a file's name and a word of a command.
    let is_plain = name
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
    if !is_plain || name.is_empty() {
        return Err(Failure::usage(format!(
            "{what} {name:?} is no name here; use letters, digits, - and _"
        )));
    }
    T::try_from(name.to_owned())
        .map(drop)
        .map_err(|error| Failure::usage(format!("{what}: {error}")))
}

fn password_from(file: &Path) -> anyhow::Result<SecretString> {
    if file == Path::new("-") {
        let mut line = Zeroizing::new(String::new());
        std::io::stdin().lock().read_line(&mut line)?;
        let text = line.trim_end_matches(['\r', '\n']);
        return match text.is_empty() {
            true => Err(Failure::usage(
                "the first line of standard input is empty; write the password there",
            )),
            false => Ok(SecretString::from(text)),
        };
    }
    let source = PasswordSource::File(file.to_owned());
    let read = read_password(&source, gather().credentials_directory.as_deref());
    read.map_err(|error| Failure::usage(password_problem(&error)))?
        .ok_or_else(|| Failure::usage(format!("{} holds no password", file.display())))
}

/// 244 bits that nobody has to type.
fn made_up() -> SecretString {
    let half = || uuid::Uuid::new_v4().simple().to_string();
    SecretString::from(format!("{}{}", half(), half()))
}

/// A flag's value, or what is answered, or the default.
fn asked(given: Option<String>, asks: bool, question: &str, default: Option<&str>) -> anyhow::Result<String> {
    if let Some(given) = given {
        return Ok(given);
    }
    let default = default.unwrap_or_default();
    if !asks {
        return Ok(default.to_owned());
    }
    let answer = prompt(&format!("{question} [{default}]"))?;
    Ok(match answer.is_empty() {
        true => default.to_owned(),
        false => answer,
    })
}

fn prompt(question: &str) -> anyhow::Result<String> {
    line_of_answer(question)?.ok_or_else(|| Failure::usage("nobody answers any more; nothing was written"))
}

/// `None` where nobody answers any more.
fn line_of_answer(question: &str) -> anyhow::Result<Option<String>> {
    let mut err = std::io::stderr().lock();
    write!(err, "{question}: ")?;
    err.flush()?;
    let mut line = String::new();
    let length = std::io::stdin().lock().read_line(&mut line)?;
    Ok((length > 0).then(|| line.trim().to_owned()))
}

/// Waits for a person, where there is one.
pub(super) fn ask_to_go_on(when: &str) -> anyhow::Result<()> {
    if is_asked() {
        // Whoever closes the terminal instead is not asked anything more: all is written by then.
        line_of_answer(&format!("press Enter when {when}"))?;
    }
    Ok(())
}

/// Not shown as it is typed.
fn ask_password(question: &str) -> anyhow::Result<Option<SecretString>> {
    let stdin = std::io::stdin();
    let before = tcgetattr(&stdin)?;
    let mut hidden = before.clone();
    hidden.local_modes.remove(LocalModes::ECHO);
    tcsetattr(&stdin, OptionalActions::Flush, &hidden)?;
    let answer = prompt(question);
    tcsetattr(&stdin, OptionalActions::Flush, &before)?;
    say("");
    let answer = Zeroizing::new(answer?);
    Ok((!answer.is_empty()).then(|| SecretString::from(answer.as_str())))
}
