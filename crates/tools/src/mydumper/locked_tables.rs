//! Questions about tables that others have locked.
//!
//! One that is waited for holds nobody else up, but a dump that is to begin would come to stand behind the same lock:
//! who has it is named, and waited for as the job says of long queries.

use super::long_queries::ANSWER_LIMIT;
use super::run::{DumpEnv, DumpRequest};
use super::verdict::TableName;
use crate::error::{ToolError, humane};
use crate::probe::{InTheWay, Probe};
use mykeeper_domain::job::LongQueries;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// One look at a lock.
const LOOK: Duration = Duration::from_secs(2);
/// What is locked for less is a change of the table's definition, and soon over.
const PATIENCE: Duration = Duration::from_secs(20);

/// Which tables are empty before the dump.
///
/// # Errors
/// [`ToolError::Failed`], passing: one is locked, and the job says abort, or has waited as long as it says. What a
/// server says that cannot be asked.
pub(super) async fn emptiness_before(
    probe: &mut Probe,
    (request, env): (&DumpRequest<'_>, &DumpEnv<'_>),
    tables: &[TableName],
) -> Result<BTreeMap<TableName, bool>, ToolError> {
    let policy = &request.lock;
    let patience = match policy.long_queries {
        LongQueries::Wait => policy.long_query_wait,
        LongQueries::Abort | LongQueries::Ignore => policy.long_query_limit.min(PATIENCE),
    };
    let mut answers = BTreeMap::new();
    let mut told = None;
    let began = Instant::now();
    probe.wait_for_locks(LOOK).await?;
    loop {
        let (table, who) = match ask(probe, tables, &mut answers).await? {
            None => break,
            Some(table) => {
                let who = probe.who_has_locked(&table).await;
                (table, who)
            }
        };
        let name = format!("{}.{}", table.0, table.1);
        if told.as_ref() != Some(&table) {
            env.log
                .line("mykeeper", &format!("table {name} is locked, {}", who.describe()));
            told = Some(table);
        }
        if began.elapsed() < patience {
            continue;
        }
        let what = match policy.long_queries {
            LongQueries::Ignore => break,
            LongQueries::Abort => "the job says long_queries = \"abort\"".to_owned(),
            LongQueries::Wait => format!("waited for {}", humane(patience)),
        };
        return Err(ToolError::Failed {
            message: format!(
                "the dump was not started, since table {name} is locked ({what}), {}",
                who.describe()
            ),
            passing: true,
        });
    }
    probe.wait_for_locks(PATIENCE).await?;
    Ok(answers)
}

/// Which tables are empty after the dump. What is locked now may be so for ever: it is not asked.
///
/// # Errors
/// What a server says that cannot be asked.
pub(super) async fn emptiness_after(
    probe: &mut Probe,
    tables: &[TableName],
) -> Result<BTreeMap<TableName, bool>, ToolError> {
    let began = Instant::now();
    let mut answers = BTreeMap::new();
    let mut pending = tables.to_vec();
    probe.wait_for_locks(LOOK).await?;
    while let Some(locked) = ask(probe, &pending, &mut answers).await?
        && began.elapsed() < PATIENCE
    {
        pending.retain(|table| *table != locked);
    }
    Ok(answers)
}

/// Asks about those that have no answer yet. Yields one that is locked, if any.
async fn ask(
    probe: &mut Probe,
    tables: &[TableName],
    answers: &mut BTreeMap<TableName, bool>,
) -> Result<Option<TableName>, ToolError> {
    let pending: Vec<TableName> = tables
        .iter()
        .filter(|table| !answers.contains_key(*table))
        .cloned()
        .collect();
    let asked = probe.emptiness(&pending).await?;
    answers.extend(asked.answers);
    Ok(asked.locked)
}

/// A question that took too long, with who may have held it up.
pub(super) async fn explained(request: &DumpRequest<'_>, error: ToolError) -> ToolError {
    let ToolError::Query {
        action,
        server,
        cause,
    } = error
    else {
        return error;
    };
    let who = tokio::time::timeout(ANSWER_LIMIT, who_holds_up(request)).await;
    let cause = match who {
        Ok(Ok(who)) => format!("{cause}; {}", who.describe()),
        _ => cause,
    };
    ToolError::Query {
        action,
        server,
        cause,
    }
}

async fn who_holds_up(request: &DumpRequest<'_>) -> Result<InTheWay, ToolError> {
    let mut probe = Probe::connect_answering(request.connection, ANSWER_LIMIT).await?;
    let holders = probe.lock_holders(None).await.unwrap_or_default();
    let sessions = probe.sessions().await?;
    probe.close().await;
    Ok(InTheWay::among(sessions.iter(), |session| {
        holders.contains(&session.id)
    }))
}
