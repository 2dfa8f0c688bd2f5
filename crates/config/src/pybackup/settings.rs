//! The settings of one command of pybackup's: what its conf says, in mykeeper's own terms.

use super::conf::{PybackupConf, RsyncConf, ServerConf};
use super::dump_options::DumpWords;
use crate::keeper::default_state_dir;
use crate::settings::{CatalogSettings, LogSettings, Settings, Surroundings};
use crate::{daemon, limits, sandbox, tools};
use chrono_tz::Tz;
use mykeeper_domain::destination::Destination;
use mykeeper_domain::server::{Endpoint, PasswordSource, Server, Tls, ToldPassword};
use mykeeper_domain::{DestinationName, InvalidName, NodeName, ServerName};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use thiserror::Error;

/// The name of the conf's destination.
pub const THE_DESTINATION: &str = "rsync";
/// The tag of a server that has none.
pub const THE_SERVER_TAG: &str = "N/A";

/// Where a server listens that says nothing else, and clients ask.
const USUAL_PORT: u16 = 3306;

/// Why there are no settings.
#[derive(Debug, Error)]
pub enum DropInError {
    /// Neither `mykeeper.toml` nor the surroundings tell one.
    #[error(
        "there is no folder for locks and logs: run this as root, with a home folder, or with $STATE_DIRECTORY set"
    )]
    NoStateDir,
    /// What something is called cannot be.
    #[error("cannot name {what} {name:?}: {cause}")]
    Name {
        /// The node, a server.
        what: &'static str,
        /// Its name.
        name: String,
        /// Why not.
        cause: InvalidName,
    },
}

/// What the settings are made from.
#[derive(Clone, Copy, Debug)]
pub struct DropIn<'a> {
    /// The conf.
    pub conf: &'a PybackupConf,
    /// `mykeeper.toml`, where there is one: its tools, limits and sandbox hold here, too.
    pub keeper: Option<&'a Settings>,
    /// What the process finds around it.
    pub surroundings: &'a Surroundings,
    /// The zone that pybackup wrote times in: the host's own.
    pub timezone: Tz,
    /// The socket at which this host's own clients look for a server, where there is one.
    pub local_socket: Option<&'a Path>,
    /// What the command line says of the server.
    pub words: Option<&'a DumpWords>,
    /// Nothing is to be written into the conf's catalog.
    pub no_history: bool,
}

/// Puts the settings together. There are no jobs in them; the server is the only one, and so is the destination.
///
/// Where `mykeeper.toml` names the conf's catalog, both work on one state directory, since each takes for lost what runs
/// under a lock that it cannot see. Where it does not, each catalog has a directory of its own.
///
/// # Errors
/// [`DropInError`].
pub fn drop_in_settings(from: DropIn<'_>) -> Result<Settings, DropInError> {
    let DropIn {
        conf,
        keeper,
        surroundings,
        ..
    } = from;
    let base = keeper
        .map(|keeper| keeper.state_dir.clone())
        .or_else(|| default_state_dir(surroundings))
        .ok_or(DropInError::NoStateDir)?;
    let (state_dir, catalog) = place_catalog(&from, base);
    let node = match keeper {
        Some(keeper) => keeper.node.clone(),
        None => named("this host", &surroundings.host_name, NodeName::new)?,
    };
    let server = server(&from)?;
    let destination = conf.rsync.as_ref().map(destination).transpose()?;
    let servers = BTreeMap::from([(server.name.clone(), Arc::new(server))]);
    let destinations = destination
        .into_iter()
        .map(|one| (one.name.clone(), Arc::new(one)));
    Ok(Settings {
        keeper_file: conf.file.clone(),
        schedule_file: conf.file.clone(),
        node,
        state_dir,
        catalog,
        servers,
        destinations: destinations.collect(),
        sandbox: keeper.map_or_else(|| sandbox::read(None), |keeper| keeper.sandbox.clone()),
        tools: keeper.map_or_else(|| tools::read(None), |keeper| keeper.tools.clone()),
        daemon: keeper.map_or_else(|| daemon::read(None), |keeper| keeper.daemon.clone()),
        limits: keeper.map_or_else(|| limits::read(None), |keeper| keeper.limits),
        logs: keeper.map_or_else(LogSettings::default, |keeper| keeper.logs),
        // Whoever calls pybackup's command line looks at its end.
        notify: Default::default(),
        jobs: BTreeMap::new(),
    })
}

/// `[CATALOG]` with the conf's own account, whatever `mykeeper.toml` says of the same catalog; `None` where there is none.
pub fn catalog_by_conf(
    conf: &PybackupConf,
    timezone: Tz,
    local_socket: Option<&Path>,
) -> Option<CatalogSettings> {
    conf.catalog
        .as_ref()
        .map(|catalog| by_conf(catalog, timezone, local_socket))
}

fn by_conf(catalog: &ServerConf, timezone: Tz, local_socket: Option<&Path>) -> CatalogSettings {
    let database = catalog.database.as_ref().map_or("", |said| said.value.as_str());
    CatalogSettings {
        url: catalog_url(catalog, database, local_socket),
        password: told(catalog),
        timezone,
    }
}

fn place_catalog(from: &DropIn<'_>, base: PathBuf) -> (PathBuf, CatalogSettings) {
    let below = base.join("pybackup");
    let catalog = from.conf.catalog.as_ref().filter(|_| !from.no_history);
    let Some(catalog) = catalog else {
        // The run has its record all the same: what is left of one that was cut off is found by the next.
        let state_dir = below.join("no-history");
        let url = format!("sqlite:{}", state_dir.join("catalog.db").display());
        let settings = CatalogSettings {
            url,
            password: PasswordSource::None,
            timezone: from.timezone,
        };
        return (state_dir, settings);
    };
    if let Some(keeper) = from.keeper
        && is_same(&keeper.catalog.url, catalog)
    {
        return (base, keeper.catalog.clone());
    }
    let database = catalog.database.as_ref().map_or("", |said| said.value.as_str());
    let place = format!("{}-{}-{database}", catalog.host.value, catalog.port.value);
    let settings = by_conf(catalog, from.timezone, from.local_socket);
    (below.join(file_name(&place)), settings)
}

/// How a server is reached that the conf, or a command line, names: `localhost` means this host's own socket, as it does to
/// MySQL's client library, where there is one and no other port is asked for.
pub(super) fn reached(host: &str, port: u16, local_socket: Option<&Path>) -> Endpoint {
    match local_socket {
        _ if host.starts_with('/') => Endpoint::Socket(PathBuf::from(host)),
        Some(socket) if host == "localhost" && port == USUAL_PORT => Endpoint::Socket(socket.to_owned()),
        _ => Endpoint::Tcp {
            host: host.to_owned(),
            port,
        },
    }
}

/// `[CATALOG]` as a URL. To PyMySQL, by which pybackup reaches it, `localhost` is a host like another; where nobody listens
/// at its port, or the account is one of the socket's, that is the second way.
pub(super) fn catalog_url(catalog: &ServerConf, database: &str, local_socket: Option<&Path>) -> String {
    let place = match reached(&catalog.host.value, catalog.port.value, local_socket) {
        Endpoint::Socket(socket) => {
            let port = catalog.port.value;
            let (address, name) = match catalog.host.value.starts_with('/') {
                true => ("localhost".to_owned(), "socket"),
                false => (format!("localhost:{port}"), "or-socket"),
            };
            let socket = encoded(&socket.to_string_lossy());
            format!("{address}/{}?{name}={socket}", encoded(database))
        }
        Endpoint::Tcp { host, port } if host.contains(':') => {
            format!("[{host}]:{port}/{}", encoded(database))
        }
        Endpoint::Tcp { host, port } => format!("{}:{port}/{}", encoded(&host), encoded(database)),
    };
    format!("mysql://{}@{place}", encoded(&catalog.user.value))
}

/// Whether a catalog's URL means the conf's catalog, as far as can be told from both.
fn is_same(url: &str, catalog: &ServerConf) -> bool {
    let Some(rest) = url.strip_prefix("mysql://") else {
        return false;
    };
    let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, database) = place.split_once('/').unwrap_or((place, ""));
    let address = authority
        .rsplit_once('@')
        .map_or(authority, |(_, address)| address);
    let (host, port) = match address.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port.parse().unwrap_or(3306)),
        _ => (address, 3306),
    };
    let host = host.trim_matches(['[', ']']);
    let conf_host = catalog.host.value.as_str();
    let wanted = catalog.database.as_ref().map_or("", |said| said.value.as_str());
    if database != encoded(wanted) {
        return false;
    }
    if query.contains("socket=") {
        return is_here(conf_host);
    }
    port == catalog.port.value && (host == conf_host || is_here(host) && is_here(conf_host))
}

fn is_here(host: &str) -> bool {
    host == "localhost" || host.starts_with("127.") || host == "::1" || host.starts_with('/')
}

fn server(from: &DropIn<'_>) -> Result<Server, DropInError> {
    let conf = from.conf.server.as_ref();
    let words = from.words;
    let said = match (words.and_then(|words| words.endpoint.clone()), conf) {
        (Some(endpoint), _) => endpoint,
        (None, Some(conf)) => reached(&conf.host.value, conf.port.value, None),
        (None, None) => reached("localhost", USUAL_PORT, None),
    };
    let endpoint = match &said {
        Endpoint::Tcp { host, port } => reached(host, *port, from.local_socket),
        socket => socket.clone(),
    };
    let conf_user = conf.map(|conf| conf.user.value.as_str());
    let user = words
        .and_then(|words| words.user.as_deref())
        .or(conf_user)
        .unwrap_or("root");
    let password = match words.and_then(|words| words.password.clone()) {
        Some(password) => PasswordSource::Told(ToldPassword::new(password)),
        // Another account has another password.
        None => conf
            .filter(|_| conf_user == Some(user))
            .map_or(PasswordSource::None, told),
    };
    let address = [&from.surroundings.host_address, &from.surroundings.host_name]
        .into_iter()
        .find(|address| !address.is_empty());
    let tag = from
        .conf
        .tag
        .as_ref()
        .map_or(THE_SERVER_TAG, |tag| tag.value.as_str());
    Ok(Server {
        name: named("the server", &file_name(&said.to_string()), ServerName::new)?,
        endpoint,
        user: user.to_owned(),
        password,
        tag: tag.to_owned(),
        address: address.map_or_else(|| "localhost".to_owned(), String::clone),
        tls: words.map_or_else(Tls::default, |words| words.tls.clone()),
        proven_within: None,
    })
}

fn destination(conf: &RsyncConf) -> Result<Destination, DropInError> {
    let password = conf.password_file.as_ref().map(|said| {
        let path = std::path::absolute(&said.value).unwrap_or_else(|_| said.value.clone());
        PasswordSource::File(path)
    });
    let name = named("the destination", THE_DESTINATION, DestinationName::new)?;
    Ok(Destination {
        password: password.unwrap_or(PasswordSource::None),
        source_address: conf.address.as_ref().map(|said| said.value),
        recorded_as: Some(format!("{}/", conf.dest.value.trim_end_matches('/'))),
        ..Destination::at(name, conf.url.clone())
    })
}

fn told(conf: &ServerConf) -> PasswordSource {
    conf.password.as_ref().map_or(PasswordSource::None, |said| {
        PasswordSource::Told(ToldPassword::new(said.value.clone()))
    })
}

fn named<T>(
    what: &'static str,
    name: &str,
    make: impl Fn(String) -> Result<T, InvalidName>,
) -> Result<T, DropInError> {
    make(name.to_owned()).map_err(|cause| DropInError::Name {
        what,
        name: name.to_owned(),
        cause,
    })
}

/// A text as the name of a file, or of a server.
fn file_name(text: &str) -> String {
    let plain: String = Path::new(text)
        .to_string_lossy()
        .trim_matches('/')
        .chars()
        .map(|c| {
            if c.is_control() || c == '/' || c == '\\' {
                '_'
            } else {
                c
            }
        })
        .take(100)
        .collect();
    if plain.trim_matches('.').is_empty() {
        "_".to_owned()
    } else {
        plain
    }
}

/// Percent-encoded for a URL.
fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

/// A database's name as a LIKE pattern that means it alone.
pub fn pattern_of(name: &str) -> String {
    let mut pattern = String::with_capacity(name.len());
    for c in name.chars() {
        if matches!(c, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pybackup::{ConfPart, parse_pybackup_conf, read_dump_words};
    use mykeeper_domain::databases::like;
    use secrecy::ExposeSecret;

    const CONF: &str = "[CATALOG]\ndb_host=10.0.0.5\ndb_user=k p\ndb_passwd=c\ndb_use=catalogdb\n\
                        [TDB]\ndb_host=localhost\ndb_user=root\ndb_passwd=t\n[rsync]\ndest=u@h/m/x\n[pybackup]\ntag=国内\n";

    fn settings(words: &str, no_history: bool, keeper: Option<&Settings>) -> Settings {
        settings_beside(None, words, no_history, keeper)
    }

    fn settings_beside(
        local_socket: Option<&str>,
        words: &str,
        no_history: bool,
        keeper: Option<&Settings>,
    ) -> Settings {
        let conf = parse_pybackup_conf(Path::new("/x/pybackup.conf"), CONF, &[ConfPart::Catalog])
            .unwrap()
            .conf;
        let words: Vec<String> = words.split_whitespace().map(str::to_owned).collect();
        let words = read_dump_words(&words).unwrap();
        let surroundings = Surroundings {
            host_name: "db1".into(),
            host_address: "106.3.130.84".into(),
            is_root: true,
            ..Surroundings::default()
        };
        let from = DropIn {
            conf: &conf,
            keeper,
            surroundings: &surroundings,
            timezone: Tz::Asia__Shanghai,
            local_socket: local_socket.map(Path::new),
            words: Some(&words),
            no_history,
        };
        drop_in_settings(from).unwrap()
    }

    fn password(source: &PasswordSource) -> Option<String> {
        match source {
            PasswordSource::Told(password) => Some(password.secret().expose_secret().to_owned()),
            _ => None,
        }
    }

    #[test]
    fn the_conf_is_said_in_our_own_terms() {
        let settings = settings("", false, None);
        assert_eq!(settings.catalog.url, "mysql://k%20p@10.0.0.5:3306/catalogdb");
        assert_eq!(password(&settings.catalog.password).as_deref(), Some("c"));
        assert_eq!(settings.catalog.timezone, Tz::Asia__Shanghai);
        assert_eq!(
            settings.state_dir,
            Path::new("/var/lib/mykeeper/pybackup/10.0.0.5-3306-catalogdb")
        );
        let server = settings.servers.values().next().unwrap();
        assert_eq!(
            (server.name.as_str(), server.user.as_str()),
            ("localhost:3306", "root")
        );
        assert_eq!(
            (server.tag.as_str(), server.address.as_str()),
            ("国内", "106.3.130.84")
        );
        let destination = settings.destinations.values().next().unwrap();
        assert_eq!(destination.remote_dest(), "u@h/m/x/");
        assert_eq!(destination.url.to_string(), "rsync://u@h/m/x");
        assert!(!format!("{settings:?}").contains("\"c\""));
    }

    #[test]
    fn the_command_line_wins_and_another_account_has_another_password() {
        let server = |words: &str| settings(words, false, None).servers.into_values().next().unwrap();
        let given = server("user=root socket=/data/mysql/mysql.sock password=x");
        assert_eq!(
            (given.name.as_str(), password(&given.password).as_deref()),
            ("data_mysql_mysql.sock", Some("x"))
        );
        assert_eq!(password(&server("user=root").password).as_deref(), Some("t"));
        assert_eq!(server("user=other").password, PasswordSource::None);
    }

    #[test]
    fn localhost_means_the_hosts_own_socket_where_there_is_one() {
        let socket = "/run/mysqld/mysqld.sock";
        let endpoint = |words: &str| {
            let settings = settings_beside(Some(socket), words, false, None);
            let server = settings.servers.into_values().next().unwrap();
            assert!(server.name.as_str() != socket, "it goes by what was said");
            server.endpoint.to_string()
        };
        assert_eq!(endpoint(""), socket);
        assert_eq!(endpoint("host=localhost"), socket);
        assert_eq!(endpoint("host=localhost port=3307"), "localhost:3307");
        assert_eq!(endpoint("host=127.0.0.1"), "127.0.0.1:3306");
        assert_eq!(endpoint("socket=/x"), "/x");
        let catalog = CONF.replace("10.0.0.5", "localhost");
        let conf = parse_pybackup_conf(Path::new("/x"), &catalog, &[ConfPart::Catalog]).unwrap();
        let catalog = conf.conf.catalog.unwrap();
        assert_eq!(
            catalog_url(&catalog, "catalogdb", Some(Path::new(socket))),
            "mysql://k%20p@localhost:3306/catalogdb?or-socket=%2Frun%2Fmysqld%2Fmysqld.sock"
        );
        assert_eq!(
            catalog_url(&catalog, "catalogdb", None),
            "mysql://k%20p@localhost:3306/catalogdb"
        );
    }

    #[test]
    fn one_catalog_has_one_state_directory() {
        let mut keeper = settings("", false, None);
        keeper.state_dir = "/srv/keeper".into();
        for (url, dir) in [
            ("mysql://keeper@10.0.0.5:3306/catalogdb", "/srv/keeper"),
            ("mysql://keeper@10.0.0.5/catalogdb", "/srv/keeper"),
            (
                "mysql://keeper@10.0.0.6/catalogdb",
                "/srv/keeper/pybackup/10.0.0.5-3306-catalogdb",
            ),
            (
                "sqlite:/srv/keeper/catalog.db",
                "/srv/keeper/pybackup/10.0.0.5-3306-catalogdb",
            ),
        ] {
            keeper.catalog.url = url.to_owned();
            let settings = settings("", false, Some(&keeper));
            assert_eq!(settings.state_dir, Path::new(dir), "{url}");
            assert_eq!(settings.catalog.url == url, dir == "/srv/keeper");
        }
        let without = settings("", true, None);
        assert_eq!(
            without.catalog.url,
            "sqlite:/var/lib/mykeeper/pybackup/no-history/catalog.db"
        );
    }

    #[test]
    fn a_name_is_a_pattern_of_itself_alone() {
        for name in ["a_b", "100%", "a\\b", "日志 库-1"] {
            assert!(like(&pattern_of(name), name), "{name}");
        }
        assert!(!like(&pattern_of("a_b"), "axb"));
    }
}
