//! What a person answers: by flags, and on a terminal by what is asked for the rest.

use super::checks::{self, Checked};
use crate::args::InitArgs;
use crate::failure::Failure;
use crate::output::say;
use crate::surroundings::{SOCKETS, client_socket, gather};
use chrono_tz::Tz;
use mykeeper_config::read_password;
use mykeeper_daemon::jobs::password_problem;
use mykeeper_domain::server::PasswordSource;
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

const TO_WHERE: &str =
    "Where sets are sent (rsync://user@host/module/path, user@host:/path, /path; empty: nowhere)";
/// So often one thing is asked.
const MOST_TRIES: u32 = 10;

/// Whether there is somebody to ask.
fn is_asked() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// What the flags say, all of which is looked at before anything is asked, and what is answered to the rest, each at once.
pub(super) fn ask(args: InitArgs, folder: &Path) -> anyhow::Result<Answers> {
    let asks = is_asked();
    checks::refuse_wrong(&args, folder)?;
    if !asks {
        refuse_missing(&args)?;
    }
    let told = |file: &Option<PathBuf>| file.as_deref().map(password_from).transpose();
    let (told_password, told_to_destination) =
        (told(&args.password_from)?, told(&args.destination_password_from)?);
    let timezone = checks::zone(&args);
    let ask = |question: &str, default: &str, check: &dyn Fn(&str) -> Checked| match asks {
        true => answer((question, default), check),
        false => check(default)
            .map(|()| default.to_owned())
            .map_err(Failure::usage),
    };
    let server = match args.server {
        Some(server) => server,
        None => ask("A name for the server", "shop", &|name| {
            checks::server(name, folder, args.no_password)
        })?,
    };
    let (socket, host) = endpoint(args.socket, args.host, asks)?;
    let user = match args.user {
        Some(user) => user,
        None => ask("Its account for backups", "backup", &checks::user)?,
    };
    let password = match (told_password, args.no_password) {
        (_, true) => None,
        (Some(password), _) => Some(password),
        (None, _) if asks => {
            Some(ask_password("Its password (empty: one is made up)")?.unwrap_or_else(made_up))
        }
        (None, _) => Some(made_up()),
    };
    let directory = match args.directory {
        Some(directory) => directory,
        None => ask("The folder for sets", "/var/backups/mykeeper", &checks::directory)?.into(),
    };
    let url = match args.destination {
        Some(url) => Some(url),
        None if asks => Some(answer((TO_WHERE, ""), &|url| match url.is_empty() {
            true => Ok(()),
            false => checks::destination(url),
        })?)
        .filter(|url| !url.is_empty()),
        None => None,
    };
    let destination = url.map(|url| destination(url, told_to_destination, asks));
    let destination = destination.transpose()?;
    let job = args.job.unwrap_or_else(|| format!("{server}-nightly"));
    checks::job(&job).map_err(Failure::usage)?;
    let cron = match args.cron {
        Some(cron) => cron,
        None => ask("When (cron)", "0 4 * * *", &|expression| {
            checks::cron(expression, timezone)
        })?,
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
    let answer = answer(("Its socket, or its host", &default), &checks::endpoint)?;
    Ok(match answer.starts_with('/') {
        true => (Some(answer.into()), None),
        false => (None, Some(answer)),
    })
}

fn destination(url: String, told: Option<SecretString>, asks: bool) -> anyhow::Result<To> {
    let password = match told {
        Some(password) => Some(password),
        None if asks && url.starts_with("rsync://") => {
            ask_password("The password of that rsync account (empty: it has none)")?
        }
        None => None,
    };
    let name = "vault".to_owned();
    Ok(To { name, url, password })
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

/// What is answered, or the default. Who answers what cannot be is told why, and asked again.
fn answer((question, default): (&str, &str), check: &dyn Fn(&str) -> Checked) -> anyhow::Result<String> {
    let shown = match default.is_empty() {
        true => question.to_owned(),
        false => format!("{question} [{default}]"),
    };
    let mut wrong = String::new();
    for _ in 0..MOST_TRIES {
        let answer = prompt(&shown)?;
        let answer = match answer.is_empty() {
            true => default.to_owned(),
            false => answer,
        };
        match check(&answer) {
            Ok(()) => return Ok(answer),
            Err(why) => wrong = why,
        }
        say(&wrong);
    }
    Err(Failure::usage(format!("{wrong}; nothing was written")))
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
