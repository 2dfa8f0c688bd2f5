//! `[notify]`: who is told, and how.

use crate::document::complaint;
use crate::keeper::top_key_hint;
use crate::nearest::nearest;
use crate::password::{read_secret, read_source_at};
use crate::section::{Entry, Section};
use mykeeper_domain::notice::NoticeKind;
use mykeeper_domain::notify::{
    Channel, CommandHook, Mail, MailTls, Means, NotifySettings, Ping, UrlSource, Webhook,
};
use mykeeper_domain::server::PasswordSource;
use mykeeper_domain::template::{Field, JsonTemplate};
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

const KINDS: [(&str, NoticeKind); 5] = [
    ("failure", NoticeKind::Failure),
    ("recovery", NoticeKind::Recovery),
    ("missed", NoticeKind::Missed),
    ("promise", NoticeKind::Promise),
    ("reload", NoticeKind::Reload),
];

const TLS: [(&str, MailTls); 3] = [
    ("starttls", MailTls::Starttls),
    ("implicit", MailTls::Implicit),
    ("none", MailTls::None),
];

/// A longer wait would be longer than anybody wants to be told late.
const LONGEST_GATHER: Duration = Duration::from_secs(600);
/// A command that takes longer holds up what is told after it.
const LONGEST_COMMAND: Duration = Duration::from_secs(600);
const COMMAND_TIMEOUT: Duration = Duration::from_secs(30);

/// Reads the section.
pub(crate) fn read(section: Option<Section<'_>>, base: &Path) -> NotifySettings {
    let mut settings = NotifySettings::default();
    let Some(mut section) = section else {
        return settings;
    };
    if let Some(repeat) = section
        .take("repeat")
        .and_then(|entry| entry.positive_duration("the same would be told without end"))
    {
        settings.repeat = repeat;
    }
    if let Some(entry) = section.take("gather")
        && let Some(gather) = entry.duration()
    {
        if gather > LONGEST_GATHER {
            entry.spot.mistake(
                complaint("`gather` is longer than 10 minutes")
                    .help("write \"10s\", the default, or up to \"10m\""),
            );
        }
        settings.gather = gather;
    }
    if let Some(give_up) = section
        .take("give_up")
        .and_then(|entry| entry.positive_duration("nothing would be delivered"))
    {
        settings.give_up = give_up;
    }
    let readers: [(&'static str, Reader); 3] = [
        ("webhook", read_webhook),
        ("mail", read_mail),
        ("command", read_command),
    ];
    for (kind, read) in readers {
        for entry in section.named(kind) {
            if let Some(channel) = read_channel(&entry, (kind, read), base) {
                settings.channels.insert(channel.name.clone(), Arc::new(channel));
            }
        }
    }
    section.finish(top_key_hint);
    settings
}

type Reader = fn(&mut Section<'_>, &Path) -> Option<Means>;

fn read_channel(entry: &Entry<'_>, (kind, read): (&str, Reader), base: &Path) -> Option<Channel> {
    let mut section = Section::of(entry)?;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let is_named = !entry.key.is_empty() && entry.key.len() <= 64 && entry.key.chars().all(is_plain);
    if !is_named {
        entry.key_spot.mistake(
            complaint(format!("{:?} is no name here", entry.key))
                .help("use letters, digits, - and _: [notify.webhook.chat]"),
        );
    }
    let on = section.take("on").map_or_else(
        || Some(KINDS.iter().map(|(_, kind)| *kind).collect()),
        |entry| read_on(&entry),
    );
    let means = read(&mut section, base);
    section.finish(top_key_hint);
    is_named.then_some(())?;
    Some(Channel {
        name: format!("{kind}.{}", entry.key),
        on: on?,
        means: means?,
    })
}

fn read_on(entry: &Entry<'_>) -> Option<Vec<NoticeKind>> {
    let items = entry.items("a list: [\"failure\", \"recovery\"]")?;
    if items.is_empty() {
        entry.spot.mistake(
            complaint("`on` is empty: nothing would ever be told").help("leave the key out for everything"),
        );
        return None;
    }
    items.iter().map(|item| item.choice(&KINDS)).collect()
}

fn read_webhook(section: &mut Section<'_>, base: &Path) -> Option<Means> {
    let url = read_url(section, "url", base);
    if url.is_none() {
        section.spot().missing(
            complaint("it has no `url`")
                .help("add url = \"https://chat.example.org/hook\", or url_file where the URL is a secret"),
        );
    }
    let (token, _) = read_secret(section, ("token_file", "token_credential"), base);
    let body = section
        .take("body")
        .map_or_else(|| Some(JsonTemplate::default()), |entry| template(&entry));
    let ca = section
        .take("ca")
        .map_or(Some(None), |entry| entry.path_beside(base).map(Some));
    Some(Means::Webhook(Webhook {
        url: url??,
        token,
        body: body?,
        ca: ca?,
    }))
}

fn read_mail(section: &mut Section<'_>, base: &Path) -> Option<Means> {
    let host_entry = section.require("host", "host = \"smtp.example.org\"");
    let host = host_entry.as_ref().and_then(Entry::text);
    let tls_entry = section.take("tls");
    let tls = tls_entry
        .as_ref()
        .map_or(Some(MailTls::Starttls), |entry| entry.choice(&TLS));
    let port = section.take("port").map_or_else(
        || {
            Some(match tls {
                Some(MailTls::Implicit) => 465,
                Some(MailTls::None) => 25,
                _ => 587,
            })
        },
        |entry| entry.whole_number(1, 65_535),
    );
    let ca = section
        .take("ca")
        .map_or(Some(None), |entry| entry.path_beside(base).map(Some));
    let user = section
        .take("user")
        .map_or(Some(None), |entry| entry.text().map(Some));
    let (password, password_entry) = read_source_at(section, base);
    if let Some(entry) = &password_entry {
        if user == Some(None) {
            entry
                .key_spot
                .missing(complaint("there is a password and no `user`").help("add user = \"...\""));
        }
        let is_here = host.is_some_and(is_loopback);
        if tls == Some(MailTls::None) && !is_here {
            entry.key_spot.mistake(
                complaint("the password would cross the network in the clear")
                    .help("write tls = \"starttls\" or tls = \"implicit\""),
            );
        }
    } else if let Some(Some(_)) = user {
        section.spot().missing(
            complaint("there is a `user` and no password")
                .help("add password_file = \"/etc/mykeeper/mail.password\""),
        );
    }
    let from = section
        .require("from", "from = \"mykeeper <backup@example.org>\"")
        .and_then(|entry| mailbox(&entry));
    let to = section
        .require("to", "to = [\"ops@example.org\"]")
        .and_then(|entry| {
            let items = entry.items("a list of addresses: [\"ops@example.org\"]")?;
            if items.is_empty() {
                entry
                    .spot
                    .mistake(complaint("`to` is empty").help("write [\"ops@example.org\"]"));
                return None;
            }
            items.iter().map(mailbox).collect::<Option<Vec<_>>>()
        });
    let subject = section
        .take("subject")
        .map_or_else(|| "{{subject}}".parse().ok(), |entry| template(&entry));
    Some(Means::Mail(Mail {
        host: host?.to_owned(),
        port: u16::try_from(port?).ok()?,
        tls: tls?,
        ca: ca?,
        user: user?.map(str::to_owned),
        password,
        from: from?,
        to: to?,
        subject: subject?,
    }))
}

/// `ops@example.org` or `Ops <ops@example.org>`.
fn mailbox(entry: &Entry<'_>) -> Option<String> {
    let text = entry.text()?;
    let address = match text.split_once('<') {
        Some((_, rest)) => rest.strip_suffix('>').unwrap_or_default(),
        None => text,
    };
    let is_address = address.rsplit_once('@').is_some_and(|(user, host)| {
        let is_plain = |part: &str| !part.is_empty() && !part.contains([' ', '<', '>', ',', ';', '"', '@']);
        is_plain(user) && is_plain(host)
    });
    if !is_address {
        entry.spot.mistake(
            complaint(format!("{text:?} is no mail address"))
                .help("write \"ops@example.org\" or \"Ops <ops@example.org>\""),
        );
        return None;
    }
    Some(text.to_owned())
}

fn read_command(section: &mut Section<'_>, _: &Path) -> Option<Means> {
    let program = section
        .require("program", "program = \"/usr/local/bin/page\"")
        .and_then(|entry| entry.program());
    let args = section.take("args").map_or_else(
        || Some(Vec::new()),
        |entry| {
            let items = entry.items("a list of texts: [\"--title\", \"{{subject}}\"]")?;
            items.iter().map(template).collect::<Option<Vec<_>>>()
        },
    );
    let timeout = section.take("timeout").map_or(Some(COMMAND_TIMEOUT), |entry| {
        let timeout = entry.positive_duration("it would be ended as soon as it begins")?;
        if timeout > LONGEST_COMMAND {
            entry
                .spot
                .mistake(complaint("`timeout` is longer than 10 minutes").help("write up to \"10m\""));
        }
        Some(timeout)
    });
    Some(Means::Command(CommandHook {
        program: program?,
        args: args?,
        timeout: timeout?,
    }))
}

fn template<T: FromStr<Err = String>>(entry: &Entry<'_>) -> Option<T> {
    let text = entry.raw_text("a text in quotes")?;
    match text.parse::<T>() {
        Ok(template) => Some(template),
        Err(error) => {
            let names = || Field::ALL.iter().map(|field| field.as_str());
            let wrong = error.strip_prefix("{{").and_then(|rest| rest.split_once("}}"));
            let help = match wrong.and_then(|(name, _)| nearest(name, names())) {
                Some(meant) => format!("did you mean {{{{{meant}}}}}?"),
                None => format!(
                    "the fields are {}; in JSON they stand within quotes",
                    names()
                        .map(|name| format!("{{{{{name}}}}}"))
                        .collect::<Vec<_>>()
                        .join(", ")
                ),
            };
            let message = format!("`{}` cannot be expanded: {error}", entry.key);
            entry.spot.mistake(complaint(message).help(help));
            None
        }
    }
}

/// `ping`, `ping_file` or `ping_credential` of a job.
pub(crate) fn read_ping(section: &mut Section<'_>, base: &Path) -> Option<Ping> {
    let url = read_url(section, "ping", base)??;
    Some(Ping { url })
}

/// The outer `None`: there is none. The inner: there is one with a mistake.
fn read_url(section: &mut Section<'_>, key: &'static str, base: &Path) -> Option<Option<UrlSource>> {
    let keys = match key {
        "ping" => ("ping_file", "ping_credential"),
        _ => ("url_file", "url_credential"),
    };
    let plain = section.take(key);
    let (secret, secret_entry) = read_secret(section, keys, base);
    match (plain, secret_entry) {
        (None, None) => None,
        (Some(_), Some(entry)) => {
            entry.key_spot.mistake(
                complaint("the URL is to come from two places")
                    .help(format!("keep either {key} or {}", entry.key)),
            );
            Some(None)
        }
        (Some(entry), None) => Some(plain_url(&entry).map(UrlSource::Plain)),
        (None, Some(_)) if secret == PasswordSource::None => Some(None),
        (None, Some(_)) => Some(Some(UrlSource::Secret(secret))),
    }
}

fn plain_url(entry: &Entry<'_>) -> Option<String> {
    let text = entry.text()?;
    let rest = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"));
    let host = rest.and_then(|rest| rest.split(['/', '?', '#']).next());
    let is_url = host.is_some_and(|host| !host.is_empty() && !host.contains('@'))
        && text.chars().all(|c| c.is_ascii_graphic());
    if !is_url {
        entry.spot.mistake(
            complaint(format!("`{}` is no URL that can be called", entry.key))
                .help("write \"https://host/path\"; what is not ASCII is written as %XX"),
        );
        return None;
    }
    Some(text.to_owned())
}

fn is_loopback(host: &str) -> bool {
    host == "localhost"
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}
