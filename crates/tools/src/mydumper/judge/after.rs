//! The server, asked again when the last mydumper has ended.

use crate::error::ToolError;
use crate::mydumper::checksums::{Bracket, Source, take_after, untaken};
use crate::mydumper::locked_tables::emptiness_after;
use crate::mydumper::options::DumpOptions;
use crate::mydumper::run::{DumpEnv, DumpRequest, PROGRAM, define};
use crate::mydumper::verdict::TableName;
use crate::probe::Probe;
use mykeeper_domain::checksum::SourceChecksum;
use mykeeper_domain::inventory::Inventory;
use std::collections::BTreeMap;

/// What the server has told after the dump.
pub(in super::super) struct After {
    pub(super) inventory: Inventory,
    pub(super) checksums: BTreeMap<TableName, SourceChecksum>,
    pub(super) warnings: Vec<String>,
}

/// Asks the server again, when the last mydumper has ended.
///
/// # Errors
/// It does not answer, or the run was ended.
pub(in super::super) async fn ask_after(
    request: &DumpRequest<'_>,
    env: &DumpEnv<'_>,
    (options, bracket): (&DumpOptions, Option<Bracket>),
) -> Result<After, ToolError> {
    let mut warnings = Vec::new();
    let asked = tokio::select! {
        biased;
        () = env.cancel.cancelled() => Err(ToolError::Cancelled { program: PROGRAM.to_owned() }),
        asked = take_inventory(request, (!options.changes_definitions(), &mut warnings)) => asked,
    };
    let mut inventory = asked?;
    options.scope(&mut inventory);
    let checksums = take_checksums((request, env), bracket, &mut warnings).await;
    Ok(After {
        inventory,
        checksums,
        warnings,
    })
}

/// The server's checksums once more; none of a dump that is being ended.
async fn take_checksums(
    (request, env): (&DumpRequest<'_>, &DumpEnv<'_>),
    bracket: Option<Bracket>,
    warnings: &mut Vec<String>,
) -> BTreeMap<TableName, SourceChecksum> {
    let Some(bracket) = bracket else {
        return BTreeMap::new();
    };
    let source = Source {
        connection: request.connection,
        cancel: &env.cancel,
    };
    take_after(source, bracket).await.unwrap_or_else(|error| {
        if !matches!(error, ToolError::Cancelled { .. }) {
            warnings.push(untaken(&error));
        }
        BTreeMap::new()
    })
}

async fn take_inventory(
    request: &DumpRequest<'_>,
    (wants_definitions, warnings): (bool, &mut Vec<String>),
) -> Result<Inventory, ToolError> {
    let mut probe = Probe::connect(request.connection).await?;
    let mut inventory = probe.inventory(request.databases).await?;
    // Without the definitions, what has been asked is worth having.
    let defined = !wants_definitions || define(&mut probe, &mut inventory, warnings).await.is_ok();
    if defined {
        probe.close().await;
    }
    Ok(inventory)
}

/// Whether each of them is empty now.
///
/// # Errors
/// The server does not answer.
pub(super) async fn ask_emptiness(
    request: &DumpRequest<'_>,
    unsure: &[TableName],
) -> Result<BTreeMap<TableName, bool>, ToolError> {
    let mut probe = Probe::connect(request.connection).await?;
    let answers = emptiness_after(&mut probe, unsure).await;
    probe.close().await;
    answers
}
