//! The ways to a catalog on a server: the one that its URL names, and this host's own socket where the URL names that,
//! too.

use crate::probe::{self, Cause};
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection, MySqlPool};
use std::sync::atomic::{AtomicBool, Ordering};

/// The parameter of a URL that names the socket.
const OR_SOCKET: &str = "or-socket=";

/// One way, or two of which one is taken.
pub(crate) struct Ways {
    first: Way,
    second: Option<Way>,
    /// Whether the second is the one that is taken.
    is_second: AtomicBool,
}

/// How a server is reached.
pub(crate) struct Way {
    pub(crate) options: MySqlConnectOptions,
    /// The same as a URL, without secrets.
    pub(crate) url: String,
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
    pub(crate) fn new(first: Way, second: Option<Way>) -> Self {
        let is_second = AtomicBool::new(false);
        Self {
            first,
            second,
            is_second,
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

    /// One connection, apart from the pool. Where nobody listens on the way that is taken, or the account is not let in
    /// there, the other one is tried, once, and taken from then on where it leads there.
    ///
    /// # Errors
    /// What was said on the way that is taken, and on the other.
    pub(crate) async fn connect(&self, pool: &MySqlPool) -> Result<MySqlConnection, Cause> {
        let (taken, other) = self.taken();
        let cause = match probe::connect(&taken.options).await {
            Ok(connection) => return Ok(connection),
            Err(cause) => cause,
        };
        let Some(other) = other.filter(|_| cause.is_of_the_way) else {
            return Err(cause);
        };
        match probe::connect(&other.options).await {
            Ok(connection) => {
                let is_second = self.is_second.load(Ordering::Relaxed);
                self.is_second.store(!is_second, Ordering::Relaxed);
                pool.set_connect_options(other.options.clone());
                tracing::info!(url = %other.url, refused = %cause.words, "the catalog is reached by its other way");
                Ok(connection)
            }
            Err(second) => Err(Cause {
                words: format!("{}; and as {}: {}", cause.words, other.url, second.words),
                is_shut_out: cause.is_shut_out || second.is_shut_out,
                is_of_the_way: true,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
