//! The one binary, `mykeeper`: clap commands, terminal output, and the composition root.

mod acting_user;
mod args;
mod commands;
mod failure;
mod journal;
mod liveness;
mod output;
mod progress;
mod succession;
mod surroundings;
mod zone;

use args::{CatalogAction, Cli, Command, ConfigAction, NotifyAction};
use clap::Parser;
use commands::pybackup::hidden::{arguments_out_of_sight, words_begin};
use commands::pybackup::{Call, is_pybackup_conf};
use failure::{Status, status_of};
use std::ffi::OsString;
use std::process::ExitCode;

/// How long work on other threads may hold up the end of the process.
const LEFT_WITHIN: std::time::Duration = std::time::Duration::from_secs(5);

fn main() -> ExitCode {
    // Before anything else: the shim is a process of its own, without a runtime or a command line parser.
    let mut arguments = std::env::args_os();
    if arguments.nth(1).is_some_and(|first| first == "run-shim") {
        return mykeeper_supervise::shim_main(arguments);
    }
    // And this: until then a password can be seen.
    let (arguments, told_password) = match arguments_out_of_sight(std::env::args_os().collect()) {
        Ok(arguments) => arguments,
        Err(error) => {
            output::say(&format!("error: {error}"));
            return Status::Usage.into();
        }
    };
    let program = arguments.first().cloned().unwrap_or_default();
    let arguments = as_mykeeper(arguments);
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(error) => {
            drop(error.print());
            return if error.use_stderr() {
                Status::Usage.into()
            } else {
                Status::Done.into()
            };
        }
    };
    // Of pybackup's command lines it is found later by which file their sets are seen.
    if !matches!(cli.command, Command::Pybackup { .. }) {
        output::printed_for(&cli.config);
    }
    if let Err(error) = acting_user::act_as_owner(&cli, &arguments) {
        output::say(&format!("error: {error}"));
        return Status::Unavailable.into();
    }
    start_logging(matches!(cli.command, Command::Daemon));
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .worker_threads(2)
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            output::say(&format!("error: cannot start: {error}"));
            return Status::Unavailable.into();
        }
    };
    let result = runtime.block_on(Box::pin(dispatch(cli, program, told_password)));
    // Nothing that is left may hold up the end: a folder's removal, say.
    runtime.shutdown_timeout(LEFT_WITHIN);
    match result {
        Ok(status) => status.into(),
        Err(error) => {
            // The report on the configuration's mistakes brings its own heads.
            let text = format!("{error:#}");
            let head = if text.starts_with("error") { "" } else { "error: " };
            output::say(&format!("{head}{text}"));
            status_of(&error).into()
        }
    }
}

/// A link's arguments as `mykeeper pybackup` would have them.
fn as_mykeeper(arguments: Vec<OsString>) -> Vec<OsString> {
    if words_begin(&arguments) != Some(1) {
        return arguments;
    }
    let words = arguments.into_iter().skip(1);
    ["mykeeper", "pybackup"]
        .map(OsString::from)
        .into_iter()
        .chain(words)
        .collect()
}

async fn dispatch(cli: Cli, program: OsString, told_password: bool) -> anyhow::Result<Status> {
    let Cli {
        config,
        json,
        command,
    } = cli;
    if is_pybackup_conf(&config) && needs_a_schedule(&command) {
        return Err(failure::Failure::usage(format!(
            "{} is pybackup's and has no schedule; the command import makes mykeeper.toml and schedule.toml of it",
            config.display()
        )));
    }
    match command {
        Command::Daemon => commands::daemon::run(&config).await,
        Command::Reload => commands::reload::run(&config, json),
        Command::Check { offline } => commands::check::run(&config, offline, json).await,
        Command::Jobs { next } => commands::jobs::run(&config, usize::from(next), json).await,
        Command::Run { job, verbose } => commands::run::run(&config, &job, verbose, json).await,
        Command::Runs(args) => commands::runs::list(&config, &args, json).await,
        Command::RunLog { run } => commands::run_log::run(&config, &run).await,
        Command::Backups(args) => commands::backups::list(&config, &args, json).await,
        Command::Show { bk_id, files } => commands::show::run(&config, &bk_id, files, json).await,
        Command::Transfer {
            backup_dir,
            bk_id,
            to,
        } => commands::transfer::run(&config, &backup_dir, bk_id.as_deref(), to.as_deref(), json).await,
        Command::Validate { bk_id } => commands::validate::run(&config, bk_id.as_deref(), json).await,
        Command::Verify { bk_id } => commands::verify::run(&config, bk_id.as_deref(), json).await,
        Command::Proof(args) => commands::proof::run(&config, &args, json).await,
        Command::MarkDeleted(args) => commands::mark_deleted::run(&config, &args, json).await,
        Command::Retention { job, dry_run } => commands::retention::run(&config, &job, dry_run, json).await,
        Command::Restore(args) => commands::restore::run(&config, &args, json).await,
        Command::Paths { action } => commands::paths::run(&config, action, json).await,
        Command::Status { forget: None } => commands::status::run(&config, json).await,
        Command::Status { forget: Some(node) } => commands::status::forget(&config, &node).await,
        Command::Notify { action: None } => commands::notify::list(&config, json),
        Command::Notify {
            action: Some(NotifyAction::Test { who }),
        } => commands::notify::test(&config, &who, json).await,
        Command::Catalog {
            action: CatalogAction::Migrate,
        } => commands::catalog::migrate(&config, json).await,
        Command::Catalog {
            action: CatalogAction::Status,
        } => commands::catalog::status(&config, json).await,
        Command::Catalog {
            action: CatalogAction::Rebuild { from, dry_run },
        } => commands::catalog::rebuild(&config, &from, dry_run, json).await,
        Command::Config {
            action: ConfigAction::Example { keeper, schedule },
        } => commands::config::example(keeper, schedule),
        Command::Pybackup { words } => {
            let call = Call {
                program,
                config,
                told_password,
            };
            Box::pin(commands::pybackup::run(&call, words)).await
        }
        Command::Init(args) => commands::init::run(&config, args, json).await,
        Command::Import(args) => commands::import::run(&config, &args, json),
        Command::Completions { shell } => commands::man::completions(shell),
        Command::Man { page, out } => commands::man::man(&page, out.as_deref()),
        Command::RunShim { .. } => Err(failure::Failure::usage("run-shim is for mykeeper itself")),
    }
}

fn needs_a_schedule(command: &Command) -> bool {
    use Command::{Check, Daemon, Jobs, Reload, Retention, Run};
    matches!(
        command,
        Check { .. } | Daemon | Jobs { .. } | Reload | Retention { .. } | Run { .. }
    )
}

fn is_line(metadata: &tracing::Metadata<'_>) -> bool {
    metadata.is_event()
}

fn start_logging(is_daemon: bool) {
    use tracing_subscriber::filter::{EnvFilter, filter_fn};
    use tracing_subscriber::layer::{Layer, SubscriberExt};
    use tracing_subscriber::util::SubscriberInitExt;
    let default = if is_daemon {
        "info,sqlx=warn,tokio_cron_scheduler=warn".to_owned()
    } else {
        // A run in the foreground is shown by its own lines.
        format!("error,{}=off", mykeeper_daemon::engine::RUN_EVENTS)
    };
    let wanted = surroundings::wanted_log();
    let filter = EnvFilter::try_new(wanted.as_deref().unwrap_or(&default))
        .unwrap_or_else(|_| EnvFilter::new(&default));
    let to_journal = surroundings::logs_to_journal();
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_target(false);
    let layer = match to_journal.then(journal::Journal::open) {
        Some(Ok(journal)) => journal.boxed(),
        // Lines name what they are about; what they belong to is for the journal's fields.
        Some(Err(_)) => lines
            .without_time()
            .with_ansi(false)
            .with_filter(filter_fn(is_line))
            .boxed(),
        None => lines
            .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
            .with_filter(filter_fn(is_line))
            .boxed(),
    };
    if let Err(error) = tracing_subscriber::registry().with(layer).with(filter).try_init() {
        output::say(&format!("warning: nothing is logged: {error}"));
    }
}
