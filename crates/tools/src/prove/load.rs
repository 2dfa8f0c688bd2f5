//! Restores a set into the throwaway server.

use super::ProveRequest;
use super::elsewhere::Elsewhere;
use super::expect::is_same_series;
use super::feed::{Complaint, Feeder, Manner, quoted};
use super::keys::{Late, LateKeys, no_life};
use super::layout::{DatabaseFiles, Layout, SetFile};
use super::shares::{all_threads, largest_first, side_by_side};
use crate::env::ToolEnv;
use crate::error::ToolError;
use crate::introducers::Introducers;
use crate::log::Progress;
use crate::myloader::{LoadRequest, LoaderFile, MyloaderInfo, can_load, load};
use crate::sandbox::{ThrowawayServer, niceness};
use chrono::{DateTime, Utc};
use futures::{StreamExt, TryStreamExt, stream};
use mykeeper_domain::counted;
use mykeeper_supervise::Activity;
use sqlx::Row;
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::time::Duration;
use uuid::Uuid;

/// The server's own system database: it is never overwritten.
pub(super) const SYSTEM_DATABASE: &str = "mysql";
/// How often the server is asked whether rows still come in, or keys are built.
const WATCH_EVERY: Duration = Duration::from_secs(2);
/// What grows as rows come in.
const OF_ROWS: &str = "'Handler_write','Com_insert','Com_create_table','Innodb_rows_inserted'";
/// What grows as keys are built: pages are read, entries sorted and written.
const OF_KEYS: &str = "'Innodb_buffer_pool_read_requests','Innodb_data_read','Innodb_data_written'";

/// How one database was loaded.
#[derive(Clone, Debug, Default)]
pub(super) struct Loaded {
    /// By myloader, rather than by us: a second load may do better.
    pub(super) by_myloader: bool,
    /// What myloader complained of.
    pub(super) loader_said: Vec<String>,
    /// What the server said against statements that we fed, those of views apart.
    pub(super) complaints: Vec<String>,
    /// What it said against views.
    pub(super) view_complaints: Vec<String>,
    /// Views that could not be created, those that are excused among them.
    pub(super) failed_views: BTreeSet<String>,
    /// Views that stand on databases which the set does not hold.
    pub(super) excused_views: BTreeSet<String>,
    /// When its load began.
    pub(super) started_at: Option<DateTime<Utc>>,
}

/// The restoring of one set.
pub(super) struct Restore<'a> {
    pub(super) request: &'a ProveRequest<'a>,
    pub(super) env: &'a ToolEnv<'a>,
    pub(super) server: &'a ThrowawayServer,
    pub(super) myloader: &'a MyloaderInfo,
    /// Without sequences.
    pub(super) layout: &'a Layout,
    /// The files of sequences, by database.
    pub(super) sequences: &'a BTreeMap<String, DatabaseFiles>,
    pub(super) introducers: Introducers,
    pub(super) elsewhere: &'a Elsewhere,
    pub(super) late: Late,
}

impl Restore<'_> {
    /// What a database is called in the throwaway server.
    pub(super) fn target(&self, database: &str) -> String {
        if database != SYSTEM_DATABASE {
            return database.to_owned();
        }
        let mut name = format!("mk_{database}");
        while self.layout.databases.contains_key(&name) {
            name.push('_');
        }
        name
    }

    /// How many load at a time.
    pub(super) fn threads(&self) -> u32 {
        all_threads(self.request.sandbox.threads)
    }

    /// A way into the throwaway server for files of the set.
    pub(super) async fn feeder(&self) -> Result<Feeder, ToolError> {
        let is_foreign = !is_same_series(self.request.evidence, self.server.version());
        let feeder = Feeder::connect(self.server.socket()).await?;
        Ok(feeder.for_files(is_foreign))
    }

    /// All databases and their sequences, tables and rows of each, then everything that is defined upon them.
    ///
    /// # Errors
    /// The server or a tool is gone, or the run was ended.
    pub(super) async fn run(&self) -> Result<BTreeMap<String, Loaded>, ToolError> {
        let mut loaded = BTreeMap::new();
        let total: u64 = self
            .layout
            .databases
            .values()
            .map(DatabaseFiles::plain_bytes)
            .sum();
        let mut feeder = self.feeder().await?;
        let all: Vec<&String> = self.layout.databases.keys().collect();
        self.create_all(&mut feeder, &all, &mut loaded).await?;
        let progress = |done_bytes| {
            self.env.log.progress(Progress {
                phase: "restore",
                done_bytes,
                total_bytes: Some(total),
            });
        };
        let mut done_bytes = 0;
        progress(done_bytes);
        let databases = self.layout.databases.iter().map(|(database, files)| {
            let state = loaded.remove(database).unwrap_or_default();
            ((database, files, state), files.plain_bytes())
        });
        let mut loads = std::pin::pin!(side_by_side(
            databases.collect(),
            self.threads(),
            |(database, files, mut state), threads| async move {
                state.started_at = Some(self.env.clock.now());
                self.load_tables((database, files), threads, &mut state).await?;
                Ok::<_, ToolError>((database, files, state))
            },
        ));
        while let Some(ended) = loads.next().await {
            let (database, files, state) = ended?;
            loaded.insert(database.clone(), state);
            done_bytes += files.plain_bytes();
            progress(done_bytes);
        }
        self.define(&mut feeder, &all, &mut loaded).await?;
        Ok(loaded)
    }

    /// Some databases once more, by us alone.
    ///
    /// # Errors
    /// As [`run`](Self::run); one of them cannot be dropped.
    pub(super) async fn run_again(
        &self,
        databases: &[&String],
        loaded: &mut BTreeMap<String, Loaded>,
    ) -> Result<(), ToolError> {
        let mut feeder = self.feeder().await?;
        feeder.execute(b"SET NAMES utf8mb4").await?;
        // Tables of others may refer to theirs.
        feeder.execute(b"SET SESSION foreign_key_checks=0").await?;
        for database in databases {
            let drop = format!("DROP DATABASE IF EXISTS {}", quoted(&self.target(database)));
            if let Some((code, message)) = feeder.execute(drop.as_bytes()).await? {
                return Err(ToolError::Failed {
                    message: format!(
                        "cannot load database {database} once more: the throwaway server does not drop what is there: \
                         ERROR {code}: {message}; try again"
                    ),
                    passing: true,
                });
            }
        }
        self.create_all(&mut feeder, databases, loaded).await?;
        for database in databases {
            if let (Some(files), Some(state)) =
                (self.layout.databases.get(*database), loaded.get_mut(*database))
            {
                state
                    .complaints
                    .extend(self.feed_tables((database, files), self.threads()).await?);
            }
        }
        self.define(&mut feeder, databases, loaded).await
    }

    /// Databases, then the sequences of them all; what was known of them is forgotten.
    async fn create_all(
        &self,
        feeder: &mut Feeder,
        databases: &[&String],
        loaded: &mut BTreeMap<String, Loaded>,
    ) -> Result<(), ToolError> {
        for database in databases {
            let Some(files) = self.layout.databases.get(*database) else {
                continue;
            };
            let state = Loaded {
                started_at: Some(self.env.clock.now()),
                complaints: self.create(feeder, database, files).await?,
                ..Loaded::default()
            };
            loaded.insert((*database).clone(), state);
        }
        for database in databases {
            if let (Some(files), Some(state)) = (self.sequences.get(*database), loaded.get_mut(*database)) {
                state
                    .complaints
                    .extend(self.feed_tables((database, files), self.threads()).await?);
            }
        }
        Ok(())
    }

    async fn create(
        &self,
        feeder: &mut Feeder,
        database: &str,
        files: &DatabaseFiles,
    ) -> Result<Vec<String>, ToolError> {
        let target = self.target(database);
        let mut complaints = Vec::new();
        if let Some(file) = &files.create {
            let (from, to) = (quoted(database), quoted(&target));
            let change = |statement| replace_first(statement, from.as_bytes(), to.as_bytes());
            let said = feeder
                .feed(
                    file,
                    None,
                    Manner::Definitions {
                        at: None,
                        known: None,
                    },
                    &change,
                )
                .await?;
            complaints.extend(said.iter().map(Complaint::to_string));
        } else {
            complaints.push("the set has no CREATE DATABASE for it".to_owned());
        }
        feeder.execute(b"SET NAMES utf8mb4").await?;
        if feeder
            .execute(format!("USE {}", quoted(&target)).as_bytes())
            .await?
            .is_some()
        {
            if files.create.is_some() {
                complaints.push("its CREATE DATABASE does not make it".to_owned());
            }
            let answer = feeder
                .execute(format!("CREATE DATABASE {}", quoted(&target)).as_bytes())
                .await?;
            complaints.extend(answer.map(|(code, message)| format!("ERROR {code}: {message}")));
        }
        Ok(complaints)
    }

    async fn load_tables(
        &self,
        (database, files): (&str, &DatabaseFiles),
        threads: u32,
        state: &mut Loaded,
    ) -> Result<(), ToolError> {
        // Theirs would lie where the source's do: myloader sets a mode of its own.
        let (files, elsewhere) = &self.elsewhere.split(database, files);
        if !elsewhere.schemas.is_empty() {
            state
                .complaints
                .extend(self.feed_tables((database, elsewhere), threads).await?);
        }
        // Of text that these need to be told of as such, myloader would make NULL.
        let (files, introduced) = &self.introducers.split(database, files);
        if !introduced.schemas.is_empty() {
            let text = format!(
                "{database}: {} columns of type UUID, INET4 or INET6 and are loaded without myloader, which loses their \
                 values",
                counted(introduced.schemas.len(), "table has", "tables have")
            );
            self.env.log.line("mykeeper", &text);
            state
                .complaints
                .extend(self.feed_tables((database, introduced), threads).await?);
        }
        let known = loader_files(files);
        let target = self.target(database);
        if known.is_empty() {
            return Ok(());
        }
        if !can_load(self.myloader, &target, &known) {
            let text = format!(
                "{database}: loaded without myloader, which cannot be told its name or read its files"
            );
            self.env.log.line("mykeeper", &text);
            state
                .complaints
                .extend(self.feed_tables((database, files), threads).await?);
            return Ok(());
        }
        let folder = self
            .server
            .scratch()
            .join(format!("load-{}", Uuid::new_v4().simple()));
        std::fs::DirBuilder::new()
            .mode(0o700)
            .create(&folder)
            .map_err(|source| ToolError::Io {
                action: "create",
                path: folder.clone(),
                source,
            })?;
        let late = self.late.of(database, files);
        let request = LoadRequest {
            info: self.myloader,
            folder: &folder,
            socket: self.server.socket(),
            database: &target,
            files: &loader_files(&without_keys(files, &late, &folder)?),
            threads,
            nice: niceness(self.request.sandbox),
            limits: self.request.limits,
        };
        let activity = Activity::new();
        let complaints = tokio::select! {
            complaints = load(request, activity.clone(), self.env) => complaints?,
            () = self.watch(OF_ROWS, &activity) => Vec::new(),
        };
        state.by_myloader = true;
        state.loader_said = complaints;
        state
            .complaints
            .extend(self.add_keys((database, &target), threads, late).await?);
        Ok(())
    }

    /// The keys that were left out. Yields what the server says against them.
    async fn add_keys(
        &self,
        (database, target): (&str, &str),
        threads: u32,
        late: BTreeMap<&str, &LateKeys>,
    ) -> Result<Vec<String>, ToolError> {
        if late.is_empty() {
            return Ok(Vec::new());
        }
        let text = format!(
            "{database}: {} without further keys, which are added now",
            counted(late.len(), "large table was loaded", "large tables were loaded")
        );
        self.env.log.line("mykeeper", &text);
        let adding = late.into_iter().map(|(table, keys)| async move {
            let said = self.feeder().await?.alter(target, &keys.add).await?;
            Ok::<_, ToolError>(
                said.map(|(code, message)| format!("keys of {table}: ERROR {code}: {message}")),
            )
        });
        let adding = stream::iter(adding.collect::<Vec<_>>())
            .buffer_unordered(threads as usize)
            .try_collect();
        let activity = Activity::new();
        let said: Vec<Option<String>> = tokio::select! {
            said = adding => said?,
            stalled = no_life(&activity, self.request.limits.stall) => return Err(stalled),
            () = self.watch(OF_KEYS, &activity) => Vec::new(),
        };
        Ok(said.into_iter().flatten().collect())
    }

    /// Notes a sign of life as long as what these variables count grows: myloader says nothing during one long file. Never
    /// returns.
    async fn watch(&self, variables: &str, activity: &Activity) {
        let sql = format!("SHOW GLOBAL STATUS WHERE Variable_name IN ({variables})");
        let mut last: Vec<Vec<u8>> = Vec::new();
        let mut connection = None;
        loop {
            tokio::time::sleep(WATCH_EVERY).await;
            if connection.is_none() {
                connection = self.server.connect().await.ok();
            }
            let Some(open) = &mut connection else { continue };
            let Ok(rows) = sqlx::raw_sql(sqlx::AssertSqlSafe(sql.as_str()))
                .fetch_all(open)
                .await
            else {
                connection = None;
                continue;
            };
            let now: Vec<Vec<u8>> = rows
                .iter()
                .filter_map(|row| row.try_get_unchecked::<Vec<u8>, _>(1).ok())
                .collect();
            if now != last {
                last = now;
                activity.touch();
            }
        }
    }

    async fn feed_tables(
        &self,
        (database, files): (&str, &DatabaseFiles),
        threads: u32,
    ) -> Result<Vec<String>, ToolError> {
        let target = self.target(database);
        let unchanged = |statement| statement;
        let mut complaints = Vec::new();
        let mut feeder = self.feeder().await?;
        for (_, file) in &files.schemas {
            complaints.extend(
                feeder
                    .feed(file, Some(&target), Manner::Table, &unchanged)
                    .await?,
            );
        }
        let target = target.as_str();
        let feeding = largest_first(&files.data)
            .into_iter()
            .map(|(table, file)| async move {
                let introducer = self.introducers.of(database, table);
                let change = |statement| match introducer {
                    Some(introducer) => introducer.introduce(statement),
                    None => statement,
                };
                let mut feeder = self.feeder().await?;
                feeder.feed(file, Some(target), Manner::Rows, &change).await
            });
        let said: Vec<Vec<Complaint>> = stream::iter(feeding.collect::<Vec<_>>())
            .buffer_unordered(threads as usize)
            .try_collect()
            .await?;
        complaints.extend(said.into_iter().flatten());
        Ok(complaints.iter().map(Complaint::to_string).collect())
    }
}

/// The same files, with others in the place of the definitions of which keys wait.
fn without_keys(
    files: &DatabaseFiles,
    late: &BTreeMap<&str, &LateKeys>,
    folder: &Path,
) -> Result<DatabaseFiles, ToolError> {
    let mut files = files.clone();
    for (number, (table, file)) in files.schemas.iter_mut().enumerate() {
        if let Some(keys) = late.get(table.as_str()) {
            *file = keys.stage(folder, (number, file))?;
        }
    }
    Ok(files)
}

fn loader_files(files: &DatabaseFiles) -> Vec<LoaderFile> {
    let one = |(table, file): &(String, SetFile), is_schema| LoaderFile {
        path: file.real.clone(),
        table: table.clone(),
        is_schema,
        ending: file.ending(),
    };
    let schemas = files.schemas.iter().map(|file| one(file, true));
    schemas
        .chain(files.data.iter().map(|file| one(file, false)))
        .collect()
}

fn replace_first(statement: Vec<u8>, from: &[u8], to: &[u8]) -> Vec<u8> {
    if from == to {
        return statement;
    }
    match statement.windows(from.len()).position(|window| window == from) {
        None => statement,
        Some(at) => [&statement[..at], to, &statement[at + from.len()..]].concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_name_is_replaced() {
        let statement = b"CREATE DATABASE `mysql` /* `mysql` */".to_vec();
        assert_eq!(
            replace_first(statement, b"`mysql`", b"`mk_mysql`"),
            b"CREATE DATABASE `mk_mysql` /* `mysql` */"
        );
    }
}
