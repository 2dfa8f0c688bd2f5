//! The ways to a catalog on a server: the one that its URL names, and this host's own socket where the URL names that,
//! too. A socket may lead to another server than the port beside it, of which a tunnel may be the owner: then it is not
//! gone.

use crate::probe::{self, Cause};
use sqlx::Executor;
use sqlx::Row;
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection, MySqlPool};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// The parameter of a URL that names the socket.
const OR_SOCKET: &str = "or-socket=";
/// The file of a `state_dir` that names the server which was reached last by the first way.
const SEEN: &str = "catalog-server";
/// It is no longer, in bytes.
const MAX_SEEN: u64 = 8 << 10;

/// One way, or two of which one is taken.
pub(crate) struct Ways {
    first: Way,
    second: Option<Way>,
    /// Whether the second is the one that is taken.
    is_second: AtomicBool,
    /// Why the first one was left, in the words of whoever refused it.
    refused: Mutex<Option<String>>,
    /// Which server the first way led to, as far as this process has seen.
    seen: Mutex<Option<String>>,
    /// Where that is kept; `None` for a process that has no `state_dir`.
    memory: Option<Memory>,
}

/// A `state_dir` that knows which server the first way led to.
#[derive(Clone, Copy)]
pub(crate) enum Known<'a> {
    /// It is read there, and written there when the first way leads somewhere.
    Kept(&'a Path),
    /// It is read there: what only looks leaves nothing behind.
    Read(&'a Path),
}

struct Memory {
    file: PathBuf,
    is_kept: bool,
}

/// How a server is reached.
pub(crate) struct Way {
    pub(crate) options: MySqlConnectOptions,
    /// The same as a URL, without secrets.
    pub(crate) url: String,
}

/// A connection, and whether it is by a way that was not taken before.
pub(crate) struct Connected {
    pub(crate) connection: MySqlConnection,
    /// Why the way that was taken leads nowhere, if it does.
    pub(crate) turned_from: Option<Cause>,
}

/// What a server says of itself.
struct Server {
    /// Its host, its port and its folder: no two servers have all of them in common. One line.
    name: String,
    /// 0 where it listens at none.
    port: u16,
}

/// The URL of each way that a URL names.
pub(crate) fn both_ways(url: &str) -> (String, Option<String>) {
    let Some((place, query)) = url.split_once('?') else {
        return (url.to_owned(), None);
    };
    let parameters = query.split('&').filter(|parameter| !parameter.is_empty());
    let (second, rest): (Vec<&str>, Vec<&str>) =
        parameters.partition(|parameter| parameter.starts_with(OR_SOCKET));
    let with = |parameters: &[&str]| match parameters.is_empty() {
        true => place.to_owned(),
        false => format!("{place}?{}", parameters.join("&")),
    };
    let socket = second.last().and_then(|last| last.strip_prefix(OR_SOCKET));
    let second = socket.map(|socket| {
        let socket = format!("socket={socket}");
        with(&[rest.as_slice(), &[&socket]].concat())
    });
    (with(&rest), second)
}

impl Ways {
    /// `known` is where it is kept which server the first way leads to.
    pub(crate) fn new(first: Way, second: Option<Way>, known: Option<Known<'_>>) -> Self {
        let memory = known.map(|known| match known {
            Known::Kept(folder) => (folder, true),
            Known::Read(folder) => (folder, false),
        });
        Self {
            first,
            second,
            is_second: AtomicBool::new(false),
            refused: Mutex::new(None),
            seen: Mutex::new(None),
            memory: memory.map(|(folder, is_kept)| Memory {
                file: folder.join(SEEN),
                is_kept,
            }),
        }
    }

    fn taken(&self) -> (&Way, Option<&Way>) {
        match (&self.second, self.is_second.load(Ordering::Relaxed)) {
            (Some(second), true) => (second, Some(&self.first)),
            (second, _) => (&self.first, second.as_ref()),
        }
    }

    /// How the one that is taken is gone.
    pub(crate) fn options(&self) -> &MySqlConnectOptions {
        &self.taken().0.options
    }

    /// It as a URL, without secrets.
    pub(crate) fn shown(&self) -> &str {
        &self.taken().0.url
    }

    /// That the second way is taken, and why; `None` while the first is.
    pub(crate) fn told(&self) -> Option<String> {
        if !self.is_second.load(Ordering::Relaxed) {
            return None;
        }
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        let refused = refused.as_deref().unwrap_or("it leads nowhere");
        Some(format!(
            "the catalog is reached as {}, not as {}: {refused}",
            self.shown(),
            self.first.url
        ))
    }

    /// One connection, apart from the pool. Where nobody listens on the way that is taken, or the account is not let in
    /// there, the other one is tried, once, and taken from then on where it leads there, to the same server.
    ///
    /// # Errors
    /// What was said on the way that is taken, and on the other.
    pub(crate) async fn connect(&self, pool: &MySqlPool) -> Result<Connected, Cause> {
        let was_second = self.is_second.load(Ordering::Relaxed);
        let (taken, other) = self.taken();
        let cause = match probe::connect(&taken.options).await {
            Ok(mut connection) => {
                if !was_second && other.is_some() {
                    self.note(&mut connection).await;
                }
                return Ok(Connected {
                    connection,
                    turned_from: None,
                });
            }
            Err(cause) => cause,
        };
        let Some(other) = other.filter(|_| cause.is_of_the_way) else {
            return Err(cause);
        };
        let reached = match probe::connect(&other.options).await {
            Ok(mut connection) if was_second => {
                self.note(&mut connection).await;
                Ok(connection)
            }
            Ok(connection) => self.same_server(connection, &cause).await,
            Err(second) => Err(second),
        };
        match reached {
            Ok(connection) => {
                // What was tried, whatever another caller has come to meanwhile; the pool hears of it at once.
                *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = Some(cause.words.clone());
                self.is_second.store(!was_second, Ordering::Relaxed);
                pool.set_connect_options(other.options.clone());
                tracing::warn!(url = %other.url, refused = %cause.words, "the catalog is reached by its other way");
                Ok(Connected {
                    connection,
                    turned_from: Some(cause),
                })
            }
            Err(second) => Err(Cause {
                words: format!("{}; and as {}: {}", cause.words, other.url, second.words),
                is_shut_out: cause.is_shut_out || second.is_shut_out,
                is_of_the_way: true,
                is_answered: cause.is_answered,
            }),
        }
    }

    /// The connection by the socket, if it leads where the first way does: to the server that was seen there before, or,
    /// where none was, to one that says that it listens at that port, or at none while nobody else does.
    async fn same_server(
        &self,
        mut connection: MySqlConnection,
        refused: &Cause,
    ) -> Result<MySqlConnection, Cause> {
        let server = identify(&mut connection).await?;
        let asked = self.first.options.get_port();
        let other = match self.seen().await {
            Some(seen) if seen == server.name => None,
            Some(seen) => Some(format!(
                "{}, and {}:{asked} led to {seen}{}",
                server.name,
                self.first.options.get_host(),
                self.memory.as_ref().map_or_else(String::new, |memory| format!(
                    "; if it is the right one, remove {}",
                    memory.file.display()
                ))
            )),
            None if server.port == asked => None,
            None if server.port == 0 && !refused.is_answered => None,
            None => Some(match server.port {
                0 => format!(
                    "{}, which listens at no port, while somebody answers at {asked}",
                    server.name
                ),
                _ => format!("{}, and not to that of port {asked}", server.name),
            }),
        };
        match other {
            None => Ok(connection),
            Some(other) => Err(format!("this leads to another server: {other}").into()),
        }
    }

    /// Keeps which server the first way leads to. That it cannot be kept is no reason not to work with it.
    async fn note(&self, connection: &mut MySqlConnection) {
        let Ok(server) = identify(connection).await else {
            return;
        };
        if self.seen().await.as_ref() == Some(&server.name) {
            return;
        }
        if let Some(Memory { file, is_kept: true }) = &self.memory {
            let file = file.clone();
            let name = format!("{}\n{}\n", self.first.url, server.name);
            let written = tokio::task::spawn_blocking(move || write_whole(&file, &name)).await;
            if let Ok(Err(error)) = written {
                tracing::warn!(%error, "which server the catalog is on cannot be kept");
            }
        }
        self.keep(server.name);
    }

    fn keep(&self, name: String) {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(name);
    }

    /// Which server the first way led to when it last led to one, as far as is known.
    async fn seen(&self) -> Option<String> {
        let Some(Memory { file, is_kept }) = &self.memory else {
            return self.seen_here();
        };
        // Read anew: a person may have taken it away, as told.
        let (file, url) = (file.clone(), self.first.url.clone());
        let read = tokio::task::spawn_blocking(move || read_name(&file, &url)).await;
        let read = read.ok().flatten();
        match is_kept {
            true => read,
            false => read.or_else(|| self.seen_here()),
        }
    }

    /// The same as far as this process has seen.
    fn seen_here(&self) -> Option<String> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.clone()
    }
}

async fn identify(connection: &mut MySqlConnection) -> Result<Server, Cause> {
    // Whether it listens, and where, may change. As text: of either engine's numbers.
    const QUESTION: &str = "SELECT CONCAT(@@hostname, ':', @@datadir) AS name, CAST(@@port AS CHAR) AS port";
    let row = tokio::time::timeout(probe::CONNECT_LIMIT, connection.fetch_one(QUESTION)).await;
    let read = |row: sqlx::mysql::MySqlRow| {
        let port: String = row.try_get("port")?;
        let name: String = row.try_get("name")?;
        Ok(Server {
            name: name.replace(char::is_control, " "),
            port: port.parse().unwrap_or(0),
        })
    };
    match row {
        Ok(row) => row.and_then(read).map_err(|error| Cause::from(&error)),
        Err(_) => Err(format!("no answer within {} s", probe::CONNECT_LIMIT.as_secs()).into()),
    }
}

/// Of a server at another place nothing is known; who asks for which of its databases is the same to it.
fn read_name(file: &Path, url: &str) -> Option<String> {
    use std::io::Read;
    let mut text = String::new();
    let file = std::fs::File::open(file).ok()?;
    file.take(MAX_SEEN).read_to_string(&mut text).ok()?;
    let (of, name) = text.split_once('\n')?;
    let name = name.trim_end();
    (place(of) == place(url) && !name.is_empty()).then(|| name.to_owned())
}

/// The host and the port of a URL, as it names them.
fn place(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    authority.rsplit('@').next().unwrap_or_default()
}

fn write_whole(file: &Path, text: &str) -> std::io::Result<()> {
    use std::io::Write;
    let new = file.with_extension(format!("{}.new", std::process::id()));
    let mut written = std::fs::File::create(&new)?;
    written.write_all(text.as_bytes())?;
    written.sync_all()?;
    std::fs::rename(&new, file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_seen_at_a_place_holds_for_every_account_and_database_there() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(SEEN);
        write_whole(&file, "mysql://keeper@db:3307/catalog\nvm:/var/lib/mysql/\n").unwrap();
        for (url, seen) in [
            ("mysql://keeper@db:3307/catalog", true),
            ("mysql://other%40x@db:3307/more?ssl-mode=DISABLED", true),
            ("mysql://keeper@db:3308/catalog", false),
            ("mysql://keeper@db/catalog", false),
        ] {
            let name = read_name(&file, url);
            assert_eq!(name.as_deref(), seen.then_some("vm:/var/lib/mysql/"), "{url}");
        }
    }

    #[test]
    fn a_url_names_one_way_or_two() {
        for (url, first, second) in [
            ("mysql://k@h/c", "mysql://k@h/c", None),
            ("mysql://k@h/c?socket=/a", "mysql://k@h/c?socket=/a", None),
            (
                "mysql://k@h/c?or-socket=%2Fa",
                "mysql://k@h/c",
                Some("mysql://k@h/c?socket=%2Fa"),
            ),
            (
                "mysql://k@h/c?ssl-mode=DISABLED&or-socket=/a&charset=utf8",
                "mysql://k@h/c?ssl-mode=DISABLED&charset=utf8",
                Some("mysql://k@h/c?ssl-mode=DISABLED&charset=utf8&socket=/a"),
            ),
        ] {
            assert_eq!(
                both_ways(url),
                (first.to_owned(), second.map(str::to_owned)),
                "{url}"
            );
        }
    }
}
