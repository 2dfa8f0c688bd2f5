//! A set in the throwaway server: loaded, compared, and what differs once more.

use super::elsewhere::Elsewhere;
use super::expect::{Expected, expect, fit_to_server, uncompared, untold};
use super::keys::{Late, has_room_to_sort};
use super::layout::{DatabaseFiles, Layout};
use super::load::{Loaded, Restore};
use super::shares::side_by_side;
use super::{ProveRequest, asserts, engines, sequences};
use crate::env::ToolEnv;
use crate::error::ToolError;
use crate::introducers::Introducers;
use crate::log::Progress;
use crate::myloader::MyloaderInfo;
use crate::sandbox::ThrowawayServer;
use futures::StreamExt;
use mykeeper_domain::proof::{DatabaseProof, Difference, Proof};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// Enters into `proof` what came of it.
///
/// # Errors
/// The server or a tool is gone, or the run was ended.
pub(super) async fn restore_and_compare(
    (request, env): (&ProveRequest<'_>, &ToolEnv<'_>),
    server: &ThrowawayServer,
    (myloader, layout): (&MyloaderInfo, &Layout),
    proof: &mut Proof,
) -> Result<(), ToolError> {
    let mut expected = expected((request, env), server, layout, proof).await?;
    let elsewhere = Elsewhere::find(request.set_dir, layout, &env.cancel).await?;
    for note in elsewhere.leave_out(&mut expected)? {
        env.log.line("mykeeper", &note);
        proof.warnings.push(note);
    }
    let inventory = request.evidence.map(|evidence| &evidence.inventory);
    let parted = sequences::part(layout, (inventory, request.set_dir), &env.cancel).await?;
    let restore = Restore {
        request,
        env,
        server,
        myloader,
        layout: &parted.layout,
        sequences: &parted.sequences,
        elsewhere: &elsewhere,
        introducers: Introducers::find(request.set_dir, layout, &env.cancel).await?,
        late: late_keys((request, env), layout).await?,
    };
    let begun = Instant::now();
    let mut loaded = restore.run().await?;
    let mut load = begun.elapsed();
    proof.bytes_loaded = layout.databases.values().map(DatabaseFiles::plain_bytes).sum();
    env.log.progress(Progress {
        phase: "compare",
        done_bytes: 0,
        total_bytes: None,
    });
    let mut found = BTreeMap::new();
    restore.compare_those(&expected, &loaded, &mut found).await?;
    load += restore
        .mend(&expected, (&mut loaded, &mut found), &mut proof.warnings)
        .await?;
    proof.load_ms = Some(u64::try_from(load.as_millis()).unwrap_or(u64::MAX));
    proof.warnings.extend(loaded.iter().filter_map(left_out));
    let mut proofs: Vec<DatabaseProof> = found.into_values().collect();
    proof.asserts = restore.assert(&loaded, &expected.databases).await?;
    asserts::judge(&proof.asserts, &mut proofs, &mut proof.warnings)?;
    for difference in proofs.iter().flat_map(|found| &found.differences) {
        env.log.line("mykeeper", &difference.to_string());
    }
    proof.databases = proofs;
    Ok(())
}

/// The keys that are added once the rows are there; none where that takes more room than there is.
async fn late_keys(
    (request, env): (&ProveRequest<'_>, &ToolEnv<'_>),
    layout: &Layout,
) -> Result<Late, ToolError> {
    if has_room_to_sort(request, layout).await {
        return Late::find(request.set_dir, layout, &env.cancel).await;
    }
    let text =
        "all keys are made with their tables: there is no room to sort those that could be added later";
    env.log.line("mykeeper", text);
    Ok(Late::default())
}

/// What the set should hold, as far as this server shows it.
async fn expected(
    (request, env): (&ProveRequest<'_>, &ToolEnv<'_>),
    server: &ThrowawayServer,
    layout: &Layout,
    proof: &mut Proof,
) -> Result<Expected, ToolError> {
    let mut expected = expect((request.evidence, request.set_dir), layout, &env.cancel).await?;
    if let Some(what) = fit_to_server(&mut expected, request.evidence, server.version()) {
        let source = request.evidence.map_or("a server that is not known", |evidence| {
            &evidence.backup.server_version
        });
        let text = format!(
            "{what} are not compared: they were written by {source}, and the throwaway server is {}",
            server.version()
        );
        env.log.line("mykeeper", &text);
        proof.warnings.push(text);
    }
    let without_engine = engines::leave_out(&mut expected, server);
    let without_rows = match request.evidence {
        Some(_) => Vec::new(),
        None => untold(&expected),
    };
    let lines = uncompared(&expected).into_iter().chain(without_rows);
    for text in lines.chain(without_engine) {
        env.log.line("mykeeper", &text);
        proof.warnings.push(text);
    }
    Ok(expected)
}

impl Restore<'_> {
    /// Compares what is not yet known to have passed.
    async fn compare_those(
        &self,
        expected: &Expected,
        loaded: &BTreeMap<String, Loaded>,
        found: &mut BTreeMap<String, DatabaseProof>,
    ) -> Result<(), ToolError> {
        let none = &Loaded::default();
        let databases = self.layout.databases.iter();
        let open = databases.filter(|(database, _)| !found.get(*database).is_some_and(|found| found.passed));
        let open = open.map(|(database, files)| (database, files.plain_bytes()));
        let mut results = std::pin::pin!(side_by_side(
            open.collect(),
            self.threads(),
            |database, threads| async move {
                let state = loaded.get(database).unwrap_or(none);
                let result = self.compare(database, threads, (expected, state)).await?;
                Ok::<_, ToolError>((database, result))
            },
        ));
        while let Some(result) = results.next().await {
            let (database, result) = result?;
            found.insert(database.clone(), result);
        }
        Ok(())
    }

    /// Loads once more, without myloader, whatever it may be to blame for, all at once: what differs in one database may
    /// be for want of what lies in another. Yields how long that took: what it takes to have a set back is what both
    /// loads take.
    async fn mend(
        &self,
        expected: &Expected,
        (loaded, found): (
            &mut BTreeMap<String, Loaded>,
            &mut BTreeMap<String, DatabaseProof>,
        ),
        warnings: &mut Vec<String>,
    ) -> Result<Duration, ToolError> {
        let again: Vec<&String> = self
            .layout
            .databases
            .keys()
            .filter(|database| {
                let differs = found.get(*database).is_some_and(|found| !found.passed);
                differs && loaded.get(*database).is_some_and(|state| state.by_myloader)
            })
            .collect();
        if again.is_empty() {
            return Ok(Duration::ZERO);
        }
        for database in &again {
            let why = found.get(*database).and_then(|found| {
                let first = found.differences.first().map(Difference::to_string);
                first.or(found.error.clone())
            });
            let text = format!(
                "{database}: loading it again without myloader: {}",
                why.unwrap_or_default()
            );
            self.env.log.line("mykeeper", &text);
            warnings.push(text);
        }
        let begun = Instant::now();
        self.run_again(&again, loaded).await?;
        let took = begun.elapsed();
        self.compare_those(expected, loaded, found).await?;
        Ok(took)
    }
}

/// The views of a database that are not compared, for people.
fn left_out((database, state): (&String, &Loaded)) -> Option<String> {
    let views: Vec<&str> = state.excused_views.iter().map(String::as_str).collect();
    (!views.is_empty()).then(|| {
        let (are, they) = match views.len() {
            1 => ("1 view is".to_owned(), "it stands"),
            many => (format!("{many} views are"), "they stand"),
        };
        format!(
            "{database}: {are} left out and not compared, as {they} on databases that the set does not hold: {}",
            views.join(", ")
        )
    })
}
