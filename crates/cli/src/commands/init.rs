//! `mykeeper init`: the first two files, of what a person answers.

mod account;
mod answers;
mod checks;
pub(super) mod made;

use super::check;
use super::new_files::{self, NewFile};
use crate::acting_user::service_user;
use crate::args::InitArgs;
use crate::failure::{Failure, Status};
use crate::output::{print, say};
use account::{account, account_text};
use answers::{Answers, ask, ask_to_go_on};
use anyhow::Context;
use made::{Made, give_all};
use secrecy::ExposeSecret;
use secrecy::zeroize::Zeroizing;
use std::path::{Path, PathBuf};

const SCHEDULE_FILE: &str = "schedule.toml";
const ELSEWHERE: &str = "choose another file with --config";

pub(crate) async fn run(config: &Path, args: InitArgs, json: bool) -> anyhow::Result<Status> {
    if json {
        return Err(Failure::usage(
            "init speaks to a person; \"mykeeper check --json\" tells of what it wrote",
        ));
    }
    let keeper = std::path::absolute(config)
        .map_err(|error| Failure::usage(format!("cannot tell where {} is: {error}", config.display())))?;
    let (Some(folder), Some(name)) = (keeper.parent(), keeper.file_name().and_then(|name| name.to_str()))
    else {
        return Err(Failure::usage(format!(
            "{} is no file that can be written",
            keeper.display()
        )));
    };
    // Before anybody has answered anything in vain.
    new_files::refuse_existing(folder, [name, SCHEDULE_FILE], ELSEWHERE)?;
    let answers = ask(args, folder)?;
    let files = files(&answers, folder, name);
    new_files::write(folder, &files, ELSEWHERE)?;
    for file in &files {
        print(&format!("wrote {}", folder.join(&file.name).display()))?;
    }
    let made = make_directory(&answers.directory)?;
    let service = service_user(&keeper);
    // At once, while nobody is waited for: what is under these names later may be another's.
    if let Some(service) = &service {
        let passwords = files.iter().filter(|file| file.name.ends_with(".password"));
        let passwords = passwords.map(|file| Made::file(&folder.join(&file.name), &file.text));
        give_all(service, passwords.chain(made.map(Ok)));
    }
    offer_account(&answers, folder)?;
    print("\nmykeeper check:")?;
    let status = match service {
        // What root is told holds for root; and what a check makes of root's the service could not use.
        Some(_) => check_anew(&keeper)?,
        None => check::run(&keeper, false, false).await?,
    };
    if matches!(status, Status::Unavailable | Status::Usage) {
        print("\nwhat FAILED comes first. Then the first backup is made by:")?;
    } else {
        print("\nthe first backup is made by:")?;
    }
    print(&format!("mykeeper run {}", answers.job))?;
    Ok(match status {
        // That would say that nothing was written.
        Status::Usage => Status::Unavailable,
        status => status,
    })
}

/// The folder for sets, where it is not there; never its parents, one of which may be a mount that is missing.
fn make_directory(directory: &Path) -> anyhow::Result<Option<Made>> {
    match Made::folder(directory) {
        Ok(made) => print(&format!("made {}", directory.display())).map(|()| Some(made)),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(None),
        Err(error) => {
            say(&format!(
                "warning: {} cannot be made: {error}; make it before the first backup",
                directory.display()
            ));
            Ok(None)
        }
    }
}

/// `mykeeper check` as a command of its own, which begins as the service's user.
fn check_anew(keeper: &Path) -> anyhow::Result<Status> {
    let ended = std::env::current_exe().and_then(|program| {
        let mut check = std::process::Command::new(program);
        check.arg("--config").arg(keeper).arg("check").status()
    });
    match ended.context("cannot call mykeeper check")?.code() {
        Some(0) => Ok(Status::Done),
        Some(2) => Ok(Status::Usage),
        Some(4) => Ok(Status::Warnings),
        _ => Ok(Status::Unavailable),
    }
}

/// Where the statements are that make the account.
fn account_name(server: &str) -> String {
    format!("{server}-account.sql")
}

fn files(answers: &Answers, folder: &Path, keeper: &str) -> Vec<NewFile> {
    let text = |name: &str, text: String, mode: u32| NewFile {
        name: name.to_owned(),
        text: Zeroizing::new(text),
        mode,
    };
    let mut files = vec![
        text(keeper, keeper_text(answers, folder), 0o644),
        text(SCHEDULE_FILE, schedule_text(answers), 0o644),
    ];
    if let Some(password) = &answers.password {
        let line = format!("{}\n", password.expose_secret());
        files.push(text(&password_name(&answers.server), line, 0o600));
        files.push(text(
            &account_name(&answers.server),
            account_text(answers, password.expose_secret()),
            0o600,
        ));
    }
    if let Some((destination, Some(password))) =
        answers.destination.as_ref().map(|to| (&to.name, &to.password))
    {
        let line = format!("{}\n", password.expose_secret());
        files.push(text(&password_name(destination), line, 0o600));
    }
    files
}

fn password_name(of: &str) -> String {
    format!("{of}.password")
}

/// A text as TOML has it.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => quoted.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

fn line(key: &str, value: &str) -> String {
    format!("{key} = {}\n", quoted(value))
}

fn keeper_text(answers: &Answers, folder: &Path) -> String {
    let mut text = String::from(
        "# What exists. \"mykeeper config example --keeper\" prints every key with its default.\n\n",
    );
    if let Some(node) = &answers.node {
        text.push_str(&line("node", node));
    }
    if let Some(state_dir) = &answers.state_dir {
        text.push_str(&line("state_dir", &state_dir.display().to_string()));
    }
    text.push_str(&format!("\n[servers.{}]\n", answers.server));
    match (&answers.socket, &answers.host) {
        (Some(socket), _) => text.push_str(&line("socket", &socket.display().to_string())),
        (None, Some(host)) => {
            text.push_str(&line("host", host));
            if let Some(port) = answers.port {
                text.push_str(&format!("port = {port}\n"));
            }
        }
        (None, None) => {}
    }
    text.push_str(&line("user", &answers.user));
    if answers.password.is_some() {
        let file = folder.join(password_name(&answers.server));
        text.push_str(&line("password_file", &file.display().to_string()));
    }
    if let Some(to) = &answers.destination {
        text.push_str(&format!("\n[destinations.{}]\n{}", to.name, line("url", &to.url)));
        if to.password.is_some() {
            let file = folder.join(password_name(&to.name));
            text.push_str(&line("password_file", &file.display().to_string()));
        }
    }
    text
}

fn schedule_text(answers: &Answers) -> String {
    let mut text = String::from(
        "# What happens when. \"mykeeper config example --schedule\" prints every key with its default.\n",
    );
    text.push_str(&line("timezone", answers.timezone.name()));
    text.push_str(&format!(
        "\n[backup.{}]\n{}",
        answers.job,
        line("cron", &answers.cron)
    ));
    text.push_str(&line("server", &answers.server));
    let databases: Vec<String> = answers.databases.iter().map(|pattern| quoted(pattern)).collect();
    text.push_str(&format!("databases = [{}]\n", databases.join(", ")));
    text.push_str(&line("directory", &answers.directory.display().to_string()));
    if let Some(to) = &answers.destination {
        text.push_str(&line("transfer_to", &to.name));
        text.push_str(&format!(
            "\n# Sends what has not arrived.\n[transfer.{}-catch-up]\n{}{}",
            to.name,
            line("cron", "*/30 * * * *"),
            line("destination", &to.name)
        ));
    }
    if answers.proves {
        text.push_str(&format!(
            "\n# Restores each set into a throwaway server and compares: a backup counts when that has passed.\n\
             [validation.prove]\n{}{}",
            line("cron", "*/15 * * * *"),
            line("within", "31d")
        ));
    }
    text
}

fn offer_account(answers: &Answers, folder: &Path) -> anyhow::Result<()> {
    let file: PathBuf = folder.join(account_name(&answers.server));
    if answers.password.is_none() {
        return print(&format!(
            "the account {} logs in without a password, as it must be told to on the server",
            account(answers)
        ));
    }
    print(&format!(
        "\nthe account {}, where it is not there yet, is made by:\n{}",
        account(answers),
        account_text(answers, "***")
            .lines()
            .filter(|line| !line.starts_with("--"))
            .map(|line| format!("  {line}"))
            .collect::<Vec<_>>()
            .join("\n")
    ))?;
    print(&format!(
        "with the password in its place they lie in {0}: feed them to the server as its administrator, \
         \"mysql < {0}\", then remove that file",
        file.display()
    ))?;
    ask_to_go_on("the account is there")
}
