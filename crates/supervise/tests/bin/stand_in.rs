//! What the tests start: the shim, and a supervising process that can be killed.

use std::ffi::OsString;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use mykeeper_supervise::{Activity, ChildSpec, Limits, ShimCommand, Supervisor, become_subreaper, shim_main};
use tokio_util::sync::CancellationToken;

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    match args.next().as_deref().and_then(|mode| mode.to_str()) {
        Some("run-shim") => shim_main(args),
        Some("supervise") => supervise(args.collect(), None),
        Some("supervise-recording") => match args.next() {
            Some(folder) => supervise(args.collect(), Some(folder)),
            None => ExitCode::from(2),
        },
        _ => ExitCode::from(2),
    }
}

/// Runs its arguments as a child, written down in `folder`, and copies the child's lines to standard output.
fn supervise(command: Vec<OsString>, folder: Option<OsString>) -> ExitCode {
    let run = async {
        become_subreaper().ok()?;
        let (program, args) = command.split_first()?;
        let mut supervisor = Supervisor::new(
            ShimCommand::this_binary(["run-shim"]),
            std::env::vars_os().collect(),
        );
        if let Some(folder) = &folder {
            supervisor = supervisor.recording_in(Path::new(folder)).on_behalf_of("a run");
        }
        let limits = Limits {
            grace: Duration::from_millis(300),
            ..Limits::default()
        };
        let spec = ChildSpec::new(program).args(args).limits(limits);
        let mut copy = |_, line: &[u8]| {
            let mut stdout = std::io::stdout().lock();
            drop(
                stdout
                    .write_all(line)
                    .and_then(|()| stdout.write_all(b"\n"))
                    .and_then(|()| stdout.flush()),
            );
        };
        supervisor
            .run(spec, CancellationToken::new(), Activity::new(), &mut copy)
            .await
            .ok()
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    match runtime.ok().and_then(|runtime| runtime.block_on(run)) {
        Some(_) => ExitCode::SUCCESS,
        None => ExitCode::FAILURE,
    }
}
