//! `[catalog]`

use crate::document::complaint;
use crate::keeper::top_key_hint;
use crate::mask;
use crate::nearest::nearest;
use crate::password;
use crate::section::{Entry, Section};
use crate::settings::CatalogSettings;
use chrono_tz::Tz;
use mykeeper_domain::server::PasswordSource;
use std::path::Path;

const FORMS: &str = "write \"sqlite:catalog.db\" (relative to state_dir), \"sqlite:/absolute/path.db\" or \
                     \"mysql://user@host:3306/database\"";

/// What may follow the `?` of a mysql URL.
const PARAMETERS: [&str; 8] = [
    "socket",
    "or-socket",
    "ssl-mode",
    "ssl-ca",
    "ssl-cert",
    "ssl-key",
    "charset",
    "statement-cache-capacity",
];

/// Reads the section; without it, an SQLite file in `state_dir`.
pub(crate) fn read(
    section: Option<Section<'_>>,
    base: &Path,
    state_dir: Option<&Path>,
) -> Option<CatalogSettings> {
    let embedded = || state_dir.map(|folder| format!("sqlite:{}", folder.join("catalog.db").display()));
    let Some(mut section) = section else {
        return Some(CatalogSettings {
            url: embedded()?,
            password: PasswordSource::None,
            timezone: Tz::UTC,
        });
    };
    let entry = section.take("url");
    let (password, password_entry) = password::read_source_at(&mut section, base);
    let timezone = section
        .take("timezone")
        .and_then(|entry| entry.zone())
        .unwrap_or(Tz::UTC);
    let url = match &entry {
        None => embedded(),
        Some(entry) => read_url(entry, state_dir),
    };
    let is_embedded = url.as_ref().is_some_and(|url| url.starts_with("sqlite:"));
    if let (Some(entry), true) = (&password_entry, is_embedded) {
        entry.key_spot.mistake(
            complaint("an SQLite catalog has no password")
                .help("take the password_file or password_credential out"),
        );
    }
    section.finish(|key| {
        ["host", "port", "user", "database", "socket"]
            .contains(&key)
            .then(|| "it is part of the url: \"mysql://user@host:port/database?socket=/path\"".to_owned())
            .or_else(|| top_key_hint(key))
    });
    Some(CatalogSettings {
        url: url?,
        password,
        timezone,
    })
}

fn read_url(entry: &Entry<'_>, state_dir: Option<&Path>) -> Option<String> {
    let text = entry.text()?;
    if mask::password_in_url(text).is_some() {
        return None; // recorded when the file was parsed
    }
    if let Some(path) = text.strip_prefix("sqlite:") {
        return read_sqlite(entry, path, state_dir);
    }
    let problem = match text
        .strip_prefix("mysql://")
        .or_else(|| text.strip_prefix("mariadb://"))
    {
        Some(rest) => match check_mysql(rest) {
            Ok(()) => return Some(format!("mysql://{rest}")),
            Err(problem) => problem,
        },
        None => complaint("this is no catalog's url").help(FORMS),
    };
    entry.spot.mistake(problem);
    None
}

fn read_sqlite(entry: &Entry<'_>, path: &str, state_dir: Option<&Path>) -> Option<String> {
    let path = path.strip_prefix("//").unwrap_or(path);
    let problem = if path.is_empty() || path.ends_with('/') {
        complaint("the url names no file").help(FORMS)
    } else if path.contains(":memory:") {
        complaint("a catalog in memory would be gone with the process").help(FORMS)
    } else if path.contains(['?', '#']) {
        complaint("the url of an SQLite catalog takes no parameters").help(FORMS)
    } else if Path::new(path)
        .components()
        .any(|part| part == std::path::Component::ParentDir)
    {
        complaint("the url climbs with \"..\"").help("write the path that it leads to")
    } else if Path::new(path).is_absolute() {
        return Some(format!("sqlite:{path}"));
    } else {
        return state_dir.map(|folder| format!("sqlite:{}", folder.join(path).display()));
    };
    entry.spot.mistake(problem);
    None
}

fn check_mysql(rest: &str) -> Result<(), crate::document::Complaint> {
    const FORM: &str = "write \"mysql://user@host:3306/database\", or \
                        \"mysql://user@localhost/database?socket=/run/mysqld/mysqld.sock\"";
    let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, database) = place.split_once('/').unwrap_or((place, ""));
    let (user, address) = authority.rsplit_once('@').unwrap_or(("", authority));
    let (host, port) = match address.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (address, None),
    };
    if user.is_empty() {
        return Err(complaint("the url names no user").help(FORM));
    }
    if host.is_empty() {
        return Err(complaint("the url names no host").help(FORM));
    }
    if port.is_some_and(|port| !port.parse::<u16>().is_ok_and(|port| port > 0)) {
        return Err(complaint("the url's port is no number from 1 to 65535").help(FORM));
    }
    if database.is_empty() || database.contains('/') {
        return Err(complaint("the url names no database").help(FORM));
    }
    if rest.contains([' ', '#']) {
        return Err(complaint("a url holds no spaces and no \"#\"").help("write %20 or %23 instead"));
    }
    for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        if !PARAMETERS.contains(&name) {
            let help = match nearest(name, PARAMETERS) {
                Some(meant) => format!("did you mean {meant:?}?"),
                None => format!("known: {}", PARAMETERS.join(", ")),
            };
            return Err(complaint(format!("the url has an unknown parameter {name:?}")).help(help));
        }
        if value.is_empty() {
            return Err(complaint(format!("the url's parameter {name:?} has no value")).help(FORM));
        }
        if name == "or-socket" && query.split('&').any(|other| other.starts_with("socket=")) {
            let problem =
                "the url names a socket, and \"or-socket\" is what is tried after a host and its port";
            return Err(complaint(problem).help("take one of them out"));
        }
    }
    Ok(())
}
