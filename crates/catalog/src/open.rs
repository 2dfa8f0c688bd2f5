//! Opening a catalog by its URL.

use crate::db::{Db, STATEMENT_LIMIT, Store};
use crate::error::CatalogError;
use crate::ways::{Known, Way, Ways, both_ways};
use crate::{Catalog, migrate, probe};
use chrono_tz::Tz;
use secrecy::{ExposeSecret, SecretString};
use sqlx::ConnectOptions;
use sqlx::mysql::{MySqlConnectOptions, MySqlPoolOptions};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

/// Connections to a MySQL catalog at most: many nodes share it.
const MY_CONNECTIONS: u32 = 8;
/// Readers of a SQLite catalog at most.
const LITE_READERS: u32 = 4;
/// How long a connection of the pool is waited for.
const MY_ACQUIRE: Duration = Duration::from_secs(4);
/// Longer, because here the wait is for the writer before us.
const LITE_ACQUIRE: Duration = Duration::from_secs(25);
/// How long SQLite itself waits for another process.
const LITE_BUSY: Duration = Duration::from_secs(10);
/// Connections nobody uses are given up after so long.
const IDLE: Duration = Duration::from_secs(300);

/// Which catalog, and how it is reached.
#[derive(Clone, Debug)]
pub struct OpenCatalog {
    /// `sqlite:/absolute/path` or `mysql://user@host:port/database?socket=/path&ssl-mode=required&ssl-ca=/path`.
    /// `or-socket=/path` is tried where nobody listens at the host's port, or does not let the account in, and taken if it
    /// leads to the same server. Never with a password.
    pub url: String,
    /// For MySQL.
    pub password: Option<SecretString>,
    /// The zone of the wall-clock times in the seed's three tables.
    pub timezone: Tz,
    /// Whether a SQLite file that is not there is made (mode 0600, its folder must exist).
    pub create: bool,
}

/// Connects, and refuses a catalog that a newer program has migrated. Makes no tables.
///
/// A MySQL server that cannot be reached is reported, with the server's or system's own words, within about 5 s.
pub async fn open(settings: &OpenCatalog) -> Result<Arc<dyn Catalog>, CatalogError> {
    open_store(settings, None).await
}

/// The same on a machine whose `state_dir` knows to which server the URL's port has led (`catalog-server`, written by what
/// [`open_journaled`](crate::open_journaled) opens): the socket that the URL names besides is not taken where it leads to
/// another. Writes nothing there.
///
/// # Errors
/// The same.
pub async fn open_known(settings: &OpenCatalog, state_dir: &Path) -> Result<Arc<dyn Catalog>, CatalogError> {
    open_store(settings, Some(Known::Read(state_dir))).await
}

async fn open_store(
    settings: &OpenCatalog,
    known: Option<Known<'_>>,
) -> Result<Arc<dyn Catalog>, CatalogError> {
    let store = if settings.url.starts_with("sqlite:") {
        sqlite(settings).await?
    } else if is_shared(&settings.url) {
        let store = mysql(settings, known)?;
        connect(&store).await?;
        store
    } else {
        return Err(CatalogError::Url {
            url: without_password(&settings.url),
            cause: "it must begin with \"sqlite:\" or \"mysql://\"".to_owned(),
        });
    };
    migrate::refuse_newer(&store).await?;
    Ok(Arc::new(store))
}

/// Whether a URL is of a server, which may be away while this machine is not.
pub fn is_shared(url: &str) -> bool {
    url.starts_with("mysql:") || url.starts_with("mariadb:")
}

/// The file of an embedded catalog; `None` for one that a server holds.
pub fn embedded_file(url: &str) -> Option<PathBuf> {
    let path = url.strip_prefix("sqlite:")?;
    let path = path
        .strip_prefix("//")
        .filter(|rest| rest.starts_with('/'))
        .unwrap_or(path);
    Some(PathBuf::from(path))
}

/// An empty catalog in memory that goes with its last connection: for a look where the file of an embedded one, which
/// `settings` name, is not there. It says of itself that it is that one, with no tables.
pub fn open_empty(settings: &OpenCatalog) -> Arc<dyn Catalog> {
    let only = SqlitePoolOptions::new()
        .max_connections(1)
        .acquire_timeout(LITE_ACQUIRE)
        .idle_timeout(None)
        .max_lifetime(None)
        .connect_lazy_with(SqliteConnectOptions::new().in_memory(true).foreign_keys(true));
    Arc::new(Store {
        db: Db::Lite {
            writer: only.clone(),
            readers: only,
        },
        url: settings.url.clone(),
        zone: settings.timezone,
        limit: STATEMENT_LIMIT,
        keeper: None,
    })
}

pub(crate) async fn sqlite(settings: &OpenCatalog) -> Result<Store, CatalogError> {
    let path = embedded_file(&settings.url).unwrap_or_else(|| PathBuf::from(&settings.url));
    let url = format!("sqlite:{}", path.display());
    if !path.is_absolute() || path.file_name().is_none() {
        return Err(CatalogError::Url {
            url,
            cause: "the path must be absolute: sqlite:/path/to/file".to_owned(),
        });
    }
    let make = settings.create;
    let file = path.clone();
    let made = tokio::task::spawn_blocking(move || present(&file, make)).await;
    made.unwrap_or_else(|error| Err(error.to_string()))
        .map_err(|cause| CatalogError::Unreachable {
            url: url.clone(),
            cause,
            is_shut_out: false,
        })?;

    let options = SqliteConnectOptions::new()
        .filename(&path)
        .create_if_missing(false)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(LITE_BUSY)
        .disable_statement_logging();
    let pool = |connections: u32, options: SqliteConnectOptions| -> SqlitePool {
        SqlitePoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(LITE_ACQUIRE)
            .idle_timeout(IDLE)
            .connect_lazy_with(options)
    };
    // Not opened read-only: a reader of a WAL file must be able to write its shared-memory index.
    let readers = pool(
        LITE_READERS,
        options
            .clone()
            .journal_mode(SqliteJournalMode::Wal)
            .pragma("query_only", "ON"),
    );
    let store = Store {
        db: Db::Lite {
            writer: pool(1, options.clone()),
            readers,
        },
        url,
        zone: settings.timezone,
        limit: STATEMENT_LIMIT,
        keeper: None,
    };
    // Two processes that switch a new file to WAL at once can find it locked whatever the busy timeout says.
    let mut tries = 0_u64;
    loop {
        match options.connect().await {
            Ok(connection) => {
                drop(connection);
                return Ok(store);
            }
            Err(error) if tries < 20 && probe::cause(&error).contains("locked") => {
                tries += 1;
                tokio::time::sleep(Duration::from_millis(10 * tries)).await;
            }
            Err(error) => {
                let words = probe::cause(&error);
                let file = path.clone();
                let why = tokio::task::spawn_blocking(move || why_no_file(&file)).await;
                return Err(store.unreachable(match why {
                    Ok(Some(why)) => format!("{words}: {why}"),
                    _ => words,
                }));
            }
        }
    }
}

/// What the system says of writing beside `path`: SQLite's own words, "disk I/O error" for a full disk, do not tell.
/// `None` where that can be done.
fn why_no_file(path: &Path) -> Option<String> {
    let (directory, name) = (path.parent()?, path.file_name()?.to_string_lossy());
    let tried = directory.join(format!(".{name}.{}.try", std::process::id()));
    let written = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&tried)
        // As much as SQLite's index of a WAL takes.
        .and_then(|mut file| file.write_all(&[0; 64 << 10]));
    // Where it could not be made there is nothing to remove.
    drop(std::fs::remove_file(&tried));
    let error = written.err()?;
    Some(format!("cannot write in {}: {error}", directory.display()))
}

/// Makes sure that the file is there, for its owner alone when it is made here.
fn present(path: &Path, make: bool) -> Result<(), String> {
    if path.is_dir() {
        return Err("it is a directory".to_owned());
    }
    let Some(directory) = path.parent().filter(|directory| directory.is_dir()) else {
        return Err(format!(
            "the directory {} does not exist",
            path.parent().unwrap_or(path).display()
        ));
    };
    if path.exists() {
        return Ok(());
    }
    if !make {
        return Err("there is no such file: run \"mykeeper catalog migrate\"".to_owned());
    }
    match std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
    {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(format!("cannot make a file in {}: {error}", directory.display())),
    }
}

/// Makes ready, and does not connect yet. `known` is where it is kept which server its URL led to.
pub(crate) fn mysql(settings: &OpenCatalog, known: Option<Known<'_>>) -> Result<Store, CatalogError> {
    let url = without_password(&settings.url);
    let bad = |cause: &str| CatalogError::Url {
        url: url.clone(),
        cause: cause.to_owned(),
    };
    if url != settings.url {
        return Err(bad("a password has no place in it; name a password file instead"));
    }
    let way = |url: String| {
        let mut options = MySqlConnectOptions::from_str(&url).map_err(|error| bad(&probe::cause(&error)))?;
        if options.get_database().is_none_or(str::is_empty) {
            return Err(bad("it names no database: mysql://user@host/database"));
        }
        if let Some(password) = &settings.password {
            options = options.password(password.expose_secret());
        }
        let options = options.disable_statement_logging();
        Ok(Way { options, url })
    };
    let (first, second) = both_ways(&url);
    let (first, second) = (way(first)?, second.map(way).transpose()?);
    let options = first.options.clone();
    let pool = MySqlPoolOptions::new()
        .max_connections(MY_CONNECTIONS)
        .acquire_timeout(MY_ACQUIRE)
        .idle_timeout(IDLE)
        .after_connect(|connection, _| Box::pin(probe::prepare(connection)))
        .connect_lazy_with(options);
    Ok(Store {
        db: Db::My {
            pool,
            ways: Box::new(Ways::new(first, second, known)),
        },
        url,
        zone: settings.timezone,
        limit: STATEMENT_LIMIT,
        keeper: None,
    })
}

/// Whether the server answers; the error has its own or the system's words.
pub(crate) async fn connect(store: &Store) -> Result<(), CatalogError> {
    match &store.db {
        Db::Lite { .. } => Ok(()),
        Db::My { pool, ways } => match ways.connect(pool).await {
            Ok(_) => Ok(()),
            Err(cause) => Err(store.unreachable(cause)),
        },
    }
}

/// The URL with `***` in place of a password.
///
/// A password may itself hold any of `/?#@:`. Where there is one, the last at sign of all ends it: rather too much is
/// hidden than a part of it shown.
fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    let Some(last) = rest.rfind('@') else {
        return url.to_owned();
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let query = rest.find(['?', '#']).unwrap_or(rest.len());
    let has_password = match rest[..query].rfind('@') {
        Some(at) => at > end || rest[..at].contains(':'),
        None => hides_password(&rest[..end], &rest[end..query], &rest[query..last]),
    };
    if !has_password {
        return url.to_owned();
    }
    match rest[..last].split_once(':') {
        Some((user, _)) => format!("{scheme}://{user}:***{}", &rest[last..]),
        None => format!("{scheme}://***{}", &rest[last..]),
    }
}

/// Whether what looks like a host, a database and a query with an at sign in it is a user and a password that holds
/// `?` or `#`: its port is no number, or it names no database, or the query gives nothing a value.
fn hides_password(host: &str, database: &str, query: &str) -> bool {
    let after_address = host.rsplit_once(']').map_or(host, |(_, after)| after);
    after_address.split_once(':').is_some_and(|(_, port)| {
        !port.bytes().all(|byte| byte.is_ascii_digit()) || database.len() < 2 || !query.contains('=')
    })
}

#[cfg(test)]
mod tests {
    use super::without_password;

    #[test]
    fn a_password_in_a_url_is_never_shown() {
        for (url, shown) in [
            ("mysql://keeper@db/catalog", "mysql://keeper@db/catalog"),
            (
                "mysql://keeper:s3cret@db/catalog",
                "mysql://keeper:***@db/catalog",
            ),
            (
                "mysql://keeper:s3/c@r:et@db/catalog?socket=/a",
                "mysql://keeper:***@db/catalog?socket=/a",
            ),
            (
                "mysql://keeper:s3c@db/catalog?socket=/a@b",
                "mysql://keeper:***@b",
            ),
            (
                "mysql://keeper:s3?c#r@et@db/catalog",
                "mysql://keeper:***@db/catalog",
            ),
            ("mysql://keeper:s3#et@db/catalog", "mysql://keeper:***@db/catalog"),
            ("mysql://keeper:12?34@db/catalog", "mysql://keeper:***@db/catalog"),
            (
                "mysql://keeper:12/3?4@db/catalog?a=b",
                "mysql://keeper:***@db/catalog?a=b",
            ),
            (
                "mysql://[::1]:3306/catalog?socket=/a@b",
                "mysql://[::1]:3306/catalog?socket=/a@b",
            ),
            (
                "mysql://keeper@db:3306/catalog?socket=/a@b",
                "mysql://keeper@db:3306/catalog?socket=/a@b",
            ),
            (
                "mysql://keeper@[::1]:3306/catalog",
                "mysql://keeper@[::1]:3306/catalog",
            ),
            (
                "mysql://localhost/catalog?socket=/run/a@b.sock",
                "mysql://localhost/catalog?socket=/run/a@b.sock",
            ),
            ("sqlite:/var/lib/catalog.db", "sqlite:/var/lib/catalog.db"),
        ] {
            assert_eq!(without_password(url), shown);
        }
    }
}
