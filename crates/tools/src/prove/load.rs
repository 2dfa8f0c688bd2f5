//! Restores a set into the throwaway server.

use super::ProveRequest;
use super::feed::{Complaint, Feeder, Manner, quoted};
use super::layout::{DatabaseFiles, Layout, SetFile};
use crate::env::ToolEnv;
use crate::error::ToolError;
use crate::log::Progress;
use crate::myloader::{LoadRequest, LoaderFile, MyloaderInfo, can_load, load};
use crate::sandbox::ThrowawayServer;
use chrono::{DateTime, Utc};
use futures::{StreamExt, TryStreamExt, stream};
use mykeeper_supervise::Activity;
use sqlx::Row;
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::time::Duration;
use uuid::Uuid;

/// The server's own system database: it is never overwritten.
pub(super) const SYSTEM_DATABASE: &str = "mysql";
/// How often the server is asked whether rows still come in.
const WATCH_EVERY: Duration = Duration::from_secs(2);
/// The server's numbers for a table and a database that are not there.
const NO_SUCH_TABLE: u16 = 1146;
const NO_SUCH_DATABASE: u16 = 1049;

/// How one database was loaded.
#[derive(Clone, Debug, Default)]
pub(super) struct Loaded {
    /// By myloader, rather than by us: a second load may do better.
    pub(super) by_myloader: bool,
    /// What myloader complained of.
    pub(super) loader_said: Vec<String>,
    /// What the server said against statements that we fed.
    pub(super) complaints: Vec<String>,
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
    pub(super) layout: &'a Layout,
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

    /// Tables and rows of every database, then everything that is defined upon them.
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
        let mut done_bytes = 0;
        let mut feeder = Feeder::connect(self.server.socket()).await?;
        for (database, files) in &self.layout.databases {
            self.env.log.progress(Progress {
                phase: "restore",
                done_bytes,
                total_bytes: Some(total),
            });
            let mut state = Loaded {
                started_at: Some(self.env.clock.now()),
                ..Loaded::default()
            };
            state
                .complaints
                .extend(self.create(&mut feeder, database, files).await?);
            self.load_tables(database, files, &mut state).await?;
            done_bytes += files.plain_bytes();
            loaded.insert(database.clone(), state);
        }
        self.env.log.progress(Progress {
            phase: "restore",
            done_bytes,
            total_bytes: Some(total),
        });
        let all: Vec<&String> = self.layout.databases.keys().collect();
        self.define(&mut feeder, &all, &mut loaded).await?;
        Ok(loaded)
    }

    /// One database once more, by us alone.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub(super) async fn run_again(
        &self,
        database: &String,
        loaded: &mut BTreeMap<String, Loaded>,
    ) -> Result<(), ToolError> {
        let Some(files) = self.layout.databases.get(database) else {
            return Ok(());
        };
        let mut feeder = Feeder::connect(self.server.socket()).await?;
        let mut state = Loaded {
            started_at: Some(self.env.clock.now()),
            ..Loaded::default()
        };
        feeder.execute(b"SET NAMES utf8mb4").await?;
        feeder
            .execute(format!("DROP DATABASE {}", quoted(&self.target(database))).as_bytes())
            .await?;
        state
            .complaints
            .extend(self.create(&mut feeder, database, files).await?);
        state.complaints.extend(self.feed_tables(database, files).await?);
        loaded.insert(database.clone(), state);
        self.define(&mut feeder, &[database], loaded).await
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
                .feed(file, None, Manner::Definitions { at: None }, &change)
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
        database: &str,
        files: &DatabaseFiles,
        state: &mut Loaded,
    ) -> Result<(), ToolError> {
        let loader_files = loader_files(files);
        let target = self.target(database);
        if loader_files.is_empty() {
            return Ok(());
        }
        if !can_load(self.myloader, &target, &loader_files) {
            let text = format!(
                "{database}: loaded without myloader, which cannot be told its name or read its files"
            );
            self.env.log.line("mykeeper", &text);
            state.complaints.extend(self.feed_tables(database, files).await?);
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
        let request = LoadRequest {
            info: self.myloader,
            folder: &folder,
            socket: self.server.socket(),
            database: &target,
            files: &loader_files,
            threads: self.request.sandbox.threads,
            limits: self.request.limits,
        };
        let activity = Activity::new();
        let complaints = tokio::select! {
            complaints = load(request, activity.clone(), self.env) => complaints?,
            () = self.watch(&activity) => Vec::new(),
        };
        state.by_myloader = true;
        state.loader_said = complaints;
        Ok(())
    }

    /// Notes a sign of life as long as rows come in: myloader says nothing during one long file. Never returns.
    async fn watch(&self, activity: &Activity) {
        const SQL: &str = "SHOW GLOBAL STATUS WHERE Variable_name IN \
                           ('Handler_write','Com_insert','Com_create_table','Innodb_rows_inserted')";
        let mut last: Vec<Vec<u8>> = Vec::new();
        let mut connection = None;
        loop {
            tokio::time::sleep(WATCH_EVERY).await;
            if connection.is_none() {
                connection = self.server.connect().await.ok();
            }
            let Some(open) = &mut connection else { continue };
            let Ok(rows) = sqlx::raw_sql(SQL).fetch_all(open).await else {
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

    async fn feed_tables(&self, database: &str, files: &DatabaseFiles) -> Result<Vec<String>, ToolError> {
        let target = self.target(database);
        let unchanged = |statement| statement;
        let mut complaints = Vec::new();
        let mut feeder = Feeder::connect(self.server.socket()).await?;
        for (_, file) in &files.schemas {
            complaints.extend(feeder.feed(file, Some(&target), Manner::Rows, &unchanged).await?);
        }
        let at_once = self.request.sandbox.threads.clamp(1, 64) as usize;
        let target = target.as_str();
        let feeding = files.data.iter().map(|(_, file)| async move {
            let mut feeder = Feeder::connect(self.server.socket()).await?;
            feeder
                .feed(file, Some(target), Manner::Rows, &|statement| statement)
                .await
        });
        let said: Vec<Vec<Complaint>> = stream::iter(feeding.collect::<Vec<_>>())
            .buffer_unordered(at_once)
            .try_collect()
            .await?;
        complaints.extend(said.into_iter().flatten());
        Ok(complaints.iter().map(Complaint::to_string).collect())
    }

    /// Views, then triggers, routines and events.
    async fn define(
        &self,
        feeder: &mut Feeder,
        databases: &[&String],
        loaded: &mut BTreeMap<String, Loaded>,
    ) -> Result<(), ToolError> {
        // A view may call a function: these come first. Neither they nor triggers are resolved as they are created.
        for database in databases {
            let Some(files) = self.layout.databases.get(*database) else {
                continue;
            };
            let target = self.target(database);
            let mut said = Vec::new();
            for file in files.post.iter().chain(&files.triggers) {
                let manner = Manner::Definitions {
                    at: self.dumped_at(file),
                };
                said.extend(
                    feeder
                        .feed(file, Some(&target), manner, &|statement| statement)
                        .await?,
                );
            }
            if let Some(state) = loaded.get_mut(*database) {
                state.complaints.extend(said.iter().map(Complaint::to_string));
            }
        }
        let mut waiting: Vec<(&String, &String, &SetFile)> = Vec::new();
        for database in databases {
            let Some(files) = self.layout.databases.get(*database) else {
                continue;
            };
            waiting.extend(files.views.iter().map(|(view, file)| (*database, view, file)));
        }
        let failed = self.define_views(feeder, waiting).await?;
        let excused = self.judge_views(&failed, loaded);
        if !excused.is_empty() {
            self.excuse_dependents(excused, loaded).await?;
        }
        self.create_definers().await
    }

    /// Round by round, as long as one more can be created: a view may stand on one that comes later.
    async fn define_views<'f>(
        &self,
        feeder: &mut Feeder,
        mut waiting: Vec<(&'f String, &'f String, &'f SetFile)>,
    ) -> Result<Vec<(&'f String, &'f String, Complaint)>, ToolError> {
        loop {
            let before = waiting.len();
            let mut failed = Vec::new();
            let mut left = Vec::new();
            for (database, view, file) in waiting {
                let target = self.target(database);
                let manner = Manner::Definitions { at: None };
                let said = feeder
                    .feed(file, Some(&target), manner, &|statement| statement)
                    .await?;
                if let Some(complaint) = said.into_iter().next() {
                    failed.push((database, view, complaint));
                    left.push((database, view, file));
                }
            }
            if left.is_empty() || left.len() == before {
                return Ok(failed);
            }
            waiting = left;
        }
    }

    /// Tells a view that cannot come back because of what the set was never meant to hold from a damaged one.
    fn judge_views(
        &self,
        failed: &[(&String, &String, Complaint)],
        loaded: &mut BTreeMap<String, Loaded>,
    ) -> BTreeSet<(String, String)> {
        let mut excused: BTreeSet<(&str, &str)> = BTreeSet::new();
        loop {
            let before = excused.len();
            for (database, view, complaint) in failed {
                if is_excused(
                    complaint,
                    &|name| self.layout.databases.contains_key(name),
                    &excused,
                ) {
                    excused.insert((database, view));
                }
            }
            if excused.len() == before {
                break;
            }
        }
        for (database, view, complaint) in failed {
            let Some(state) = loaded.get_mut(*database) else {
                continue;
            };
            if excused.contains(&(database.as_str(), view.as_str())) {
                let text = format!(
                    "{database}: view {view} stands on what is not part of the set and is left out: {}",
                    complaint.text
                );
                self.env.log.line("mykeeper", &text);
                state.excused_views.insert((*view).clone());
            } else {
                state.complaints.push(complaint.to_string());
            }
        }
        excused
            .into_iter()
            .map(|(database, view)| (database.to_owned(), view.to_owned()))
            .collect()
    }

    /// Excuses views that were created upon what stood in for an excused one.
    async fn excuse_dependents(
        &self,
        mut excused: BTreeSet<(String, String)>,
        loaded: &mut BTreeMap<String, Loaded>,
    ) -> Result<(), ToolError> {
        const SQL: &str = "SELECT CONVERT(TABLE_SCHEMA USING utf8mb4), CONVERT(TABLE_NAME USING utf8mb4), \
                           CONVERT(VIEW_DEFINITION USING utf8mb4) FROM information_schema.VIEWS";
        let mut connection = self.server.connect().await?;
        let rows = sqlx::query(SQL)
            .fetch_all(&mut connection)
            .await
            .map_err(|error| ToolError::Query {
                action: "list the views".to_owned(),
                server: "throwaway".to_owned(),
                cause: error.to_string(),
            })?;
        let text = |row: &sqlx::mysql::MySqlRow, index: usize| {
            let bytes = row.try_get_unchecked::<Vec<u8>, _>(index).unwrap_or_default();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        let views: Vec<(String, String, String)> = rows
            .iter()
            .map(|row| (text(row, 0), text(row, 1), text(row, 2)))
            .collect();
        loop {
            let before = excused.len();
            for (database, view, definition) in &views {
                let stands_on = |(database, view): &(String, String)| {
                    definition.contains(&format!("{}.{}", quoted(database), quoted(view)))
                };
                if excused.iter().any(stands_on) {
                    excused.insert((database.clone(), view.clone()));
                }
            }
            if excused.len() == before {
                break;
            }
        }
        for (database, view) in excused {
            if let Some(state) = loaded.get_mut(&database)
                && state.excused_views.insert(view.clone())
            {
                self.env.log.line(
                    "mykeeper",
                    &format!("{database}: view {view} stands on a view that is left out"),
                );
            }
        }
        Ok(())
    }

    /// When the dump was made: an event that was due once since then would be dropped as it is created.
    fn dumped_at(&self, file: &SetFile) -> Option<i64> {
        match self.request.evidence {
            Some(evidence) => Some(evidence.backup.started_at.timestamp()),
            None => file.real.metadata().ok().map(|metadata| metadata.mtime()),
        }
    }

    /// Makes the accounts that definers name: without them a good view cannot be selected from.
    async fn create_definers(&self) -> Result<(), ToolError> {
        const SQL: &str = "SELECT CONVERT(DEFINER USING utf8mb4) FROM information_schema.VIEWS \
                           UNION SELECT CONVERT(DEFINER USING utf8mb4) FROM information_schema.ROUTINES \
                           UNION SELECT CONVERT(DEFINER USING utf8mb4) FROM information_schema.TRIGGERS";
        let query = |error: sqlx::Error| ToolError::Query {
            action: "list the definers".to_owned(),
            server: "throwaway".to_owned(),
            cause: error.to_string(),
        };
        let mut connection = self.server.connect().await?;
        let rows = sqlx::query(SQL).fetch_all(&mut connection).await.map_err(query)?;
        let mut feeder = Feeder::connect(self.server.socket()).await?;
        feeder.execute(b"SET NAMES utf8mb4").await?;
        feeder
            .execute(b"SET SESSION sql_mode='NO_BACKSLASH_ESCAPES'")
            .await?;
        for row in rows {
            let Ok(bytes) = row.try_get_unchecked::<Vec<u8>, _>(0) else {
                continue;
            };
            let definer = String::from_utf8_lossy(&bytes).into_owned();
            let (user, host) = definer.rsplit_once('@').unwrap_or((&definer, ""));
            let text = |text: &str| format!("'{}'", text.replace('\'', "''"));
            let statements = if host.is_empty() {
                [
                    format!("CREATE ROLE {}", text(user)),
                    format!("GRANT ALL ON *.* TO {}", text(user)),
                ]
            } else {
                let account = format!("{}@{}", text(user), text(host));
                [
                    format!("CREATE USER {account}"),
                    format!("GRANT ALL ON *.* TO {account}"),
                ]
            };
            // One may exist: the system's own, which may look at nothing but the server's own tables.
            for statement in statements {
                feeder.execute(statement.as_bytes()).await?;
            }
        }
        Ok(())
    }
}

/// Whether what is missing lies in a database that the set does not hold, or is itself excused.
pub(crate) fn is_excused(
    complaint: &Complaint,
    holds: &dyn Fn(&str) -> bool,
    excused: &BTreeSet<(&str, &str)>,
) -> bool {
    let Some(missing) = complaint.text.split('\'').nth(1) else {
        return false;
    };
    match complaint.code {
        NO_SUCH_DATABASE => !holds(missing),
        NO_SUCH_TABLE => {
            if excused
                .iter()
                .any(|(database, view)| missing == format!("{database}.{view}"))
            {
                return true;
            }
            let mut from = 0;
            while let Some(at) = missing[from..].find('.') {
                if holds(&missing[..from + at]) {
                    return false;
                }
                from += at + 1;
            }
            missing.contains('.')
        }
        _ => false,
    }
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

    fn missing(code: u16, text: &str) -> Complaint {
        Complaint {
            path: "f".into(),
            code,
            text: format!("ERROR {code}: {text}"),
        }
    }

    #[test]
    fn only_what_the_set_never_held_excuses_a_view() {
        let holds = |name: &str| ["shop", "shop.eu"].contains(&name);
        let mut excused = BTreeSet::new();
        let is =
            |complaint: Complaint, excused: &BTreeSet<(&str, &str)>| is_excused(&complaint, &holds, excused);
        assert!(is(missing(1146, "Table 'crm.people' doesn't exist"), &excused));
        assert!(!is(missing(1146, "Table 'shop.orders' doesn't exist"), &excused));
        assert!(!is(missing(1146, "Table 'shop.eu.a.b' doesn't exist"), &excused));
        assert!(is(missing(1049, "Unknown database 'crm'"), &excused));
        assert!(!is(missing(1064, "You have an error near 'crm.x'"), &excused));
        assert!(!is(missing(1146, "Table 'shop.v' doesn't exist"), &excused));
        excused.insert(("shop", "v"));
        assert!(is(missing(1146, "Table 'shop.v' doesn't exist"), &excused));
    }

    #[test]
    fn only_the_first_name_is_replaced() {
        let statement = b"CREATE DATABASE `mysql` /* `mysql` */".to_vec();
        assert_eq!(
            replace_first(statement, b"`mysql`", b"`mk_mysql`"),
            b"CREATE DATABASE `mk_mysql` /* `mysql` */"
        );
    }
}
