//! The way to the rsync daemon: slow, lossy, cut, reset, refused.

use super::Trial;
use super::stage::{Setting, Stage};
use crate::netns::NetworkNamespace;
use std::time::Duration;

/// Where namespaces can be had.
const IN_NAMESPACE: [&str; 5] = ["slow", "lossy", "cut", "reset", "refused"];
/// What a proxy can do.
const BY_PROXY: [&str; 4] = ["slow", "cut", "reset", "refused"];

pub(super) fn inject(trial: &mut Trial) {
    let namespace = NetworkNamespace::new();
    let kinds: &[&str] = if namespace.is_some() {
        &IN_NAMESPACE
    } else {
        &BY_PROXY
    };
    let rounds = trial.plan.rounds(20, 1);
    let within = namespace
        .as_ref()
        .map(NetworkNamespace::through)
        .unwrap_or_default();
    let mut stage = Stage::with(
        trial,
        Setting {
            within,
            ..Setting::default()
        },
    );
    stage.start();
    for _ in 0..rounds {
        for kind in kinds {
            // Met while something is sent, or just before.
            stage.await_tool("rsync", Duration::from_secs(20));
            std::thread::sleep(trial.dice.millis(0, 100));
            let lasts = trial.lasts((500, 2_000), (1_000, 12_000));
            match &namespace {
                Some(namespace) => {
                    assert!(
                        in_namespace(trial, namespace, kind),
                        "{kind} cannot be had in a namespace"
                    );
                    std::thread::sleep(lasts);
                    assert!(namespace.heal(), "the namespace does not heal");
                }
                None => by_proxy(trial, &stage, kind, lasts),
            }
            trial.count(kind);
        }
    }
    stage.finish(trial);
    drop(namespace);
}

fn in_namespace(trial: &mut Trial, namespace: &NetworkNamespace, kind: &str) -> bool {
    match kind {
        "slow" => namespace.slow_down(trial.dice.pick(&[400_000, 1_000_000, 4_000_000])),
        "lossy" => namespace.lose(trial.dice.pick(&[5, 15, 40])),
        "cut" => namespace.cut(),
        "reset" => namespace.reset(),
        _ => namespace.refuse(),
    }
}

fn by_proxy(trial: &mut Trial, stage: &Stage, kind: &str, lasts: Duration) {
    let link = &stage.vault_link;
    match kind {
        "slow" => link.set_rate(trial.dice.pick(&[50_000, 120_000, 500_000])),
        "cut" => link.cut_after(trial.dice.pick(&[0, 10_000, 300_000])),
        // Everything that is open ends; what comes next is let through.
        "reset" => link.cut_now(),
        _ => link.refuse(),
    }
    if kind == "reset" {
        link.heal();
    }
    std::thread::sleep(lasts);
    link.set_rate(0);
    link.heal();
}
