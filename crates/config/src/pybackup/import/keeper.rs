//! `mykeeper.toml`: what exists.

use super::dumps::{Dump, at, at_said};
use super::page::{Page, quoted};
use super::{ImportFrom, PasswordFile, Place, Remark, moved};
use crate::pybackup::conf::{PybackupConf, ServerConf};
use crate::pybackup::settings::{THE_SERVER_TAG, catalog_url, reached};
use mykeeper_domain::destination::DestinationUrl;
use mykeeper_domain::server::{Endpoint, Tls, TlsMode};
use secrecy::{ExposeSecret, SecretString};

/// The name of the conf's destination.
pub(super) const DESTINATION: &str = crate::pybackup::THE_DESTINATION;

/// A server that is backed up, and where it stands.
struct BackedUp {
    endpoint: (Endpoint, String),
    user: (String, String),
    password: Option<Password>,
    /// A password is given, and nobody can tell which.
    hides_password: Option<Place>,
    /// The call that names it first.
    place: Option<Place>,
    /// Another call has another password for the same account.
    other_password: Option<Place>,
    tls: (Tls, Option<Place>),
    /// Another call for the same account encrypts otherwise.
    other_tls: Option<Place>,
}

#[derive(Clone)]
struct Password {
    text: SecretString,
    place: Place,
    /// By a call, which wins over the conf.
    is_of_call: bool,
}

/// Writes the file.
pub(super) fn write(
    from: &ImportFrom<'_>,
    dumps: &[Dump],
    mails: &[(Place, String)],
    remarks: &mut Vec<Remark>,
) -> (String, Vec<PasswordFile>) {
    let conf = from.conf;
    let mut page = Page::default();
    let mut passwords = Vec::new();
    page.remark(&format!(
        "mykeeper.toml: what exists, as {} says it. When things happen stands in schedule.toml.",
        conf.file.display()
    ));
    page.remark("\"mykeeper config example\" tells of every key; \"mykeeper check\" tries what stands here.");
    write_catalog(&mut page, from, &mut passwords, remarks);
    for (number, server) in servers(conf, dumps).into_iter().enumerate() {
        write_server(&mut page, from, (number, server), &mut passwords, remarks);
    }
    write_destination(&mut page, conf, remarks);
    moved::write_mail(&mut page, mails, remarks);
    (page.into_text(), passwords)
}

/// The server's name in both files.
pub(super) fn server_name(conf: &PybackupConf, dumps: &[Dump], dump: &Dump) -> String {
    let mine = of_dump(conf, dump);
    let number = servers(conf, dumps)
        .iter()
        .position(|server| is_same(server, &mine))
        .unwrap_or_default();
    name(conf, number)
}

/// Each once, in the order in which they are met; the conf's own where no call names one.
fn servers(conf: &PybackupConf, dumps: &[Dump]) -> Vec<BackedUp> {
    let mut servers: Vec<BackedUp> = Vec::new();
    for dump in dumps {
        let server = of_dump(conf, dump);
        match servers.iter_mut().find(|other| is_same(other, &server)) {
            Some(same) => same.join(server),
            None => servers.push(server),
        }
    }
    if servers.is_empty()
        && let Some(server) = &conf.server
    {
        servers.push(of_conf(conf, server));
    }
    servers
}

impl BackedUp {
    /// Takes what another call knows of the same account: a password where there is none, or only the conf's.
    fn join(&mut self, other: Self) {
        self.hides_password = self.hides_password.take().or(other.hides_password);
        self.other_password = self.other_password.take().or(other.other_password);
        if self.tls.0 != other.tls.0 {
            let is_less = self.tls.0.mode < other.tls.0.mode;
            let left = match is_less {
                true => std::mem::replace(&mut self.tls, other.tls),
                false => other.tls,
            };
            self.other_tls = self.other_tls.take().or(left.1);
        }
        let Some(new) = other.password else { return };
        let Some(known) = &mut self.password else {
            self.password = Some(new);
            return;
        };
        if known.text.expose_secret() == new.text.expose_secret() {
            return;
        }
        let left = match new.is_of_call && !known.is_of_call {
            true => std::mem::replace(known, new).place,
            false => new.place,
        };
        self.other_password.get_or_insert(left);
    }
}

fn is_same(one: &BackedUp, other: &BackedUp) -> bool {
    one.endpoint.0 == other.endpoint.0 && one.user.0 == other.user.0
}

fn of_conf(conf: &PybackupConf, server: &ServerConf) -> BackedUp {
    let endpoint = match server.host.value.as_str() {
        socket if socket.starts_with('/') => Endpoint::Socket(socket.into()),
        host => Endpoint::Tcp {
            host: host.to_owned(),
            port: server.port.value,
        },
    };
    let password = server.password.as_ref();
    BackedUp {
        endpoint: (endpoint, at_said(conf, &server.host).to_string()),
        user: (server.user.value.clone(), at_said(conf, &server.user).to_string()),
        password: password.map(|said| Password {
            text: said.value.clone(),
            place: at_said(conf, said),
            is_of_call: false,
        }),
        hides_password: None,
        place: None,
        other_password: None,
        tls: (Tls::default(), None),
        other_tls: None,
    }
}

fn of_dump(conf: &PybackupConf, dump: &Dump) -> BackedUp {
    let said = dump.place.to_string();
    let mut server = conf.server.as_ref().map_or_else(
        || BackedUp {
            endpoint: (
                Endpoint::Tcp {
                    host: "localhost".to_owned(),
                    port: 3306,
                },
                format!("{said}: mydumper's own default"),
            ),
            user: ("root".to_owned(), format!("{said}: mydumper's own default")),
            password: None,
            hides_password: None,
            place: None,
            other_password: None,
            tls: (Tls::default(), None),
            other_tls: None,
        },
        |server| of_conf(conf, server),
    );
    if let Some(endpoint) = &dump.words.endpoint {
        server.endpoint = (endpoint.clone(), said.clone());
    }
    if let Some(user) = dump.words.user.clone().filter(|user| *user != server.user.0) {
        server.user = (user, said.clone());
        // Another account has another password.
        server.password = None;
    }
    if let Some(password) = &dump.password {
        server.password = Some(Password {
            text: password.clone(),
            place: dump.place.clone(),
            is_of_call: true,
        });
    }
    if dump.hides_password {
        server.password = None;
        server.hides_password = Some(dump.place.clone());
    }
    server.tls = (dump.words.tls.clone(), Some(dump.place.clone()));
    server.place = Some(dump.place.clone());
    server
}

/// A tag that is a plain word names the server, too.
fn name(conf: &PybackupConf, number: usize) -> String {
    let tag = conf.tag.as_ref().map_or("", |tag| tag.value.as_str());
    let is_plain = (1..=40).contains(&tag.len())
        && tag
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let name = if is_plain { tag } else { "mysql" };
    match number {
        0 => name.to_owned(),
        _ => format!("{name}-{}", number + 1),
    }
}

fn write_catalog(
    page: &mut Page,
    from: &ImportFrom<'_>,
    passwords: &mut Vec<PasswordFile>,
    remarks: &mut Vec<Remark>,
) {
    let conf = from.conf;
    let catalog = conf.catalog.as_ref().zip(
        conf.catalog
            .as_ref()
            .and_then(|catalog| catalog.database.as_ref()),
    );
    let Some((catalog, database)) = catalog else {
        page.section("catalog", format!("{}: no usable [CATALOG]", conf.file.display()));
        let text = "there is no usable [CATALOG]: mykeeper keeps a catalog of its own, which knows none of the sets until now";
        remarks.push(Remark::gap(at(conf, 1), text.to_owned()));
        return write_zone(page, from);
    };
    page.section("catalog", at(conf, catalog.line));
    let url = catalog_url(catalog, &database.value, from.local_socket);
    if let Endpoint::Socket(socket) = reached(&catalog.host.value, catalog.port.value, from.local_socket)
        && catalog.host.value == "localhost"
    {
        let text = format!(
            "localhost is TCP to pybackup's own connections: the catalog is looked for there first, and where nobody \
             listens, or the account is not let in, at this host's own socket, {}; \"mykeeper check\" says which it is",
            socket.display()
        );
        remarks.push(Remark::note(at_said(conf, &catalog.host), text));
    }
    page.key("url", quoted(&url), at(conf, catalog.line));
    if let Some(password) = &catalog.password {
        page.key(
            "password_file",
            quoted("catalog.password"),
            at_said(conf, password),
        );
        passwords.push(PasswordFile {
            name: "catalog.password".to_owned(),
            password: password.value.clone(),
        });
    }
    write_zone(page, from);
}

fn write_zone(page: &mut Page, from: &ImportFrom<'_>) {
    page.key(
        "timezone",
        quoted(from.zone.name()),
        "this host's zone, in which pybackup wrote its times",
    );
}

fn write_server(
    page: &mut Page,
    from: &ImportFrom<'_>,
    (number, server): (usize, BackedUp),
    passwords: &mut Vec<PasswordFile>,
    remarks: &mut Vec<Remark>,
) {
    let conf = from.conf;
    let name = name(conf, number);
    let (endpoint, source) = &server.endpoint;
    page.section(&format!("servers.{name}"), source);
    let endpoint = match endpoint {
        Endpoint::Tcp { host, port } => {
            let endpoint = reached(host, *port, from.local_socket);
            let line = conf.server.as_ref().map_or(1, |server| server.host.line);
            note_socket(at(conf, line), host, &endpoint, remarks);
            endpoint
        }
        socket => socket.clone(),
    };
    match &endpoint {
        Endpoint::Socket(path) => page.key("socket", quoted(&path.display().to_string()), source),
        Endpoint::Tcp { host, port } => {
            page.key("host", quoted(host), source);
            page.key("port", port, source);
        }
    }
    page.key("user", quoted(&server.user.0), &server.user.1);
    let file = format!("{name}.password");
    if let Some(Password { text, place, .. }) = server.password {
        page.key("password_file", quoted(&file), &place);
        let account = format!("{} of [servers.{name}]", server.user.0);
        let unlike = server.other_password.map(|other| (other, "is another than"));
        let hidden = server
            .hides_password
            .map(|other| (other, "is not known before the script runs, unlike"));
        for (other, how) in unlike.into_iter().chain(hidden) {
            let told = format!(
                "the password of {account} here {how} that at {place}, which is the one in {file}: look which of them \
                 the account has"
            );
            remarks.push(Remark::gap(other, told));
        }
        passwords.push(PasswordFile {
            name: file,
            password: text,
        });
    } else if let Some(place) = server.hides_password {
        page.key("password_file", quoted(&file), &place);
        let text = format!(
            "the password is not known before the script runs: write it into {file} beside mykeeper.toml, and run chmod \
             600 on it"
        );
        remarks.push(Remark::gap(place, text));
    }
    if let Some(place) = server.place.filter(|_| number > 0) {
        let (tag, first) = (tag(conf, number), tag(conf, 0));
        let text = format!(
            "this is another server, or another account, than the first, and each has a tag of its own: its sets are \
             recorded as {tag:?} from now on, and those until now stand under {first:?}; look at the dashboards, and at \
             what else goes by the tag"
        );
        remarks.push(Remark::gap(place, text));
    }
    write_tag(page, conf, number);
    write_tls(page, &server.tls);
    if let Some(place) = server.other_tls {
        let text = format!(
            "this call reaches {} of [servers.{name}] with another `tls` than is written there, which asks for more: look \
             which of them is meant",
            server.user.0
        );
        remarks.push(Remark::gap(place, text));
    }
}

/// Where `localhost` was said and a socket is written.
fn note_socket(place: Place, host: &str, endpoint: &Endpoint, remarks: &mut Vec<Remark>) {
    if let Endpoint::Socket(socket) = endpoint
        && host == "localhost"
    {
        let text = format!(
            "localhost means this host's own socket to MySQL's clients, which is {}: that is what is written; for TCP \
             write 127.0.0.1",
            socket.display()
        );
        remarks.push(Remark::note(place, text));
    }
}

/// What the sets of the so manieth server are recorded under.
fn tag(conf: &PybackupConf, number: usize) -> String {
    let tag = conf.tag.as_ref().map_or(THE_SERVER_TAG, |tag| tag.value.as_str());
    match number {
        0 => tag.to_owned(),
        _ => format!("{tag} {}", number + 1),
    }
}

/// The tags of further servers, where the first one's sets are proven.
pub(super) fn more_tags(conf: &PybackupConf, dumps: &[Dump]) -> Vec<String> {
    let is_proven = conf.validate.iter().any(|said| said.value == tag(conf, 0));
    let count = if is_proven { servers(conf, dumps).len() } else { 0 };
    (1..count).map(|number| tag(conf, number)).collect()
}

fn write_tag(page: &mut Page, conf: &PybackupConf, number: usize) {
    let source = conf.tag.as_ref().map_or_else(
        || "what pybackup records where [pybackup] names no tag".to_owned(),
        |tag| at_said(conf, tag).to_string(),
    );
    let source = match number {
        0 => source,
        _ => format!("{source}, and a number: each server has a tag of its own"),
    };
    page.key("tag", quoted(&tag(conf, number)), source);
}

fn write_tls(page: &mut Page, (tls, place): &(Tls, Option<Place>)) {
    let Some(source) = place.as_ref().filter(|_| *tls != Tls::default()) else {
        return;
    };
    let mode = match tls.mode {
        TlsMode::Disabled => "disabled",
        TlsMode::Preferred => "preferred",
        TlsMode::Required => "required",
        TlsMode::VerifyCa => "verify-ca",
        TlsMode::VerifyIdentity => "verify-identity",
    };
    let ca = tls
        .ca
        .as_ref()
        .map(|ca| format!(", ca = {}", quoted(&ca.display().to_string())));
    page.key(
        "tls",
        format!("{{ mode = {}{} }}", quoted(mode), ca.unwrap_or_default()),
        source,
    );
}

fn write_destination(page: &mut Page, conf: &PybackupConf, remarks: &mut Vec<Remark>) {
    let Some(rsync) = &conf.rsync else { return };
    page.section(&format!("destinations.{DESTINATION}"), at(conf, rsync.line));
    page.key(
        "url",
        quoted(&String::from(rsync.url.clone())),
        at_said(conf, &rsync.dest),
    );
    let asks_for_password = matches!(rsync.url, DestinationUrl::Daemon { .. });
    if let Some(file) = rsync.password_file.as_ref().filter(|_| !asks_for_password) {
        let text =
            "only an rsync daemon asks for a password, and `dest` is none: `password_file` is left out";
        remarks.push(Remark::gap(at_said(conf, file), text.to_owned()));
    } else if let Some(file) = &rsync.password_file {
        let folder = conf.file.parent().unwrap_or(std::path::Path::new("/"));
        let path = folder.join(&file.value);
        if file.value.is_relative() {
            let text = format!(
                "a relative password_file begins where pybackup was called; {} is taken for it",
                path.display()
            );
            remarks.push(Remark::gap(at_said(conf, file), text));
        }
        page.key(
            "password_file",
            quoted(&path.display().to_string()),
            at_said(conf, file),
        );
    }
    let is_reached = !matches!(rsync.url, DestinationUrl::Local { .. });
    if let Some(address) = rsync.address.as_ref().filter(|_| !is_reached) {
        let text = "a local folder is not reached from an address: `address` is left out";
        remarks.push(Remark::gap(at_said(conf, address), text.to_owned()));
    } else if let Some(address) = &rsync.address {
        page.key(
            "source_address",
            quoted(&address.value.to_string()),
            at_said(conf, address),
        );
    }
}
