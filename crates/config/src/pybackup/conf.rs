//! `pybackup.conf`, read: every value with its line.

mod strangers;

use super::ini::{self, Block, Pair};
use super::selection::parse_db_list;
use crate::document::{Complaint, Document, complaint};
use crate::mistake::{ConfigErrors, Mistake, Severity};
use mykeeper_domain::databases::DatabaseSelection;
use mykeeper_domain::destination::{DestinationUrl, DestinationUrlError};
use secrecy::SecretString;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use strangers::warn_of_strangers;

/// No conf file is nearly so large. Bytes.
const MAX_BYTES: u64 = 1 << 20;

/// A value and its line, from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said<T> {
    /// What the file says.
    pub value: T,
    /// Where it says so.
    pub line: usize,
}

/// The sections that a command cannot do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfPart {
    /// `[CATALOG]`
    Catalog,
    /// `[TDB]`, where its server is.
    Server,
    /// `[TDB] db_list`
    Databases,
    /// `[rsync]`
    Rsync,
    /// `[Validate]`
    Validate,
}

/// `[CATALOG]` and `[TDB]`: a database server and an account.
#[derive(Clone, Debug)]
pub struct ServerConf {
    /// The section's line.
    pub line: usize,
    /// `db_host`
    pub host: Said<String>,
    /// `db_port`; 3306 where there is none, on the section's line.
    pub port: Said<u16>,
    /// `db_user`
    pub user: Said<String>,
    /// `db_passwd`; `None` where it is empty.
    pub password: Option<Said<SecretString>>,
    /// `db_use`
    pub database: Option<Said<String>>,
}

/// `[rsync]`
#[derive(Clone, Debug)]
pub struct RsyncConf {
    /// The section's line.
    pub line: usize,
    /// `password_file`, as written.
    pub password_file: Option<Said<PathBuf>>,
    /// `dest`, as written: `platform@182.92.83.238/db_backup/106.3.130.84`.
    pub dest: Said<String>,
    /// The same, understood.
    pub url: DestinationUrl,
    /// `address`
    pub address: Option<Said<IpAddr>>,
}

/// The whole file. Holds passwords; `Debug` does not show them.
#[derive(Clone, Debug)]
pub struct PybackupConf {
    /// The file.
    pub file: PathBuf,
    /// `[pybackup] tag`
    pub tag: Option<Said<String>>,
    /// `[CATALOG]`
    pub catalog: Option<ServerConf>,
    /// `[TDB]`
    pub server: Option<ServerConf>,
    /// `[TDB] db_list`
    pub databases: Option<Said<DatabaseSelection>>,
    /// `[TDB] db_consistency`; false where there is none.
    pub consistency: Option<Said<bool>>,
    /// `[rsync]`; `None` also where its `dest` is empty.
    pub rsync: Option<RsyncConf>,
    /// The line of an `[rsync] dest` that is no destination.
    pub unusable_dest: Option<usize>,
    /// `[Validate] bk_list`: tags.
    pub validate: Vec<Said<String>>,
}

impl PybackupConf {
    /// Whether the file says nothing of what pybackup asks for.
    pub fn is_empty(&self) -> bool {
        let has_parts = self.catalog.is_some() || self.server.is_some() || self.rsync.is_some();
        !has_parts && self.tag.is_none() && self.databases.is_none() && self.validate.is_empty()
    }
}

/// What a usable file yields.
#[derive(Clone, Debug)]
pub struct ReadConf {
    /// What it says.
    pub conf: PybackupConf,
    /// What is worth a look; also what is wrong with sections that were not asked for.
    pub warnings: Vec<Mistake>,
}

/// Reads the file. `needed` are the parts that must be there and sound.
///
/// # Errors
/// It cannot be read, is no conf file, or something is wrong with a part that is needed. No password is in it.
pub fn read_pybackup_conf(file: &Path, needed: &[ConfPart]) -> Result<ReadConf, ConfigErrors> {
    use std::io::Read;
    let unreadable = |error: std::io::Error| {
        ConfigErrors::of_file(file, format!("this file cannot be read: {error}"), None)
    };
    let mut bytes = Vec::new();
    std::fs::File::open(file)
        .and_then(|opened| opened.take(MAX_BYTES + 1).read_to_end(&mut bytes))
        .map_err(unreadable)?;
    if bytes.len() as u64 > MAX_BYTES {
        let message = "this is no pybackup.conf: it is larger than a megabyte".to_owned();
        return Err(ConfigErrors::of_file(file, message, None));
    }
    // Remarks in another encoding do no harm; a value in one is told.
    parse_pybackup_conf(file, &String::from_utf8_lossy(&bytes), needed)
}

/// The same with the text at hand.
///
/// # Errors
/// As [`read_pybackup_conf`].
pub fn parse_pybackup_conf(file: &Path, text: &str, needed: &[ConfPart]) -> Result<ReadConf, ConfigErrors> {
    let document = Document::new(file.to_owned(), text.to_owned());
    let blocks = ini::read(&document, text);
    let reader = Reader {
        document: &document,
        blocks: &blocks,
        needed,
        is_doubled: is_doubled(&blocks),
    };
    warn_of_strangers(&document, &blocks);
    let catalog = reader.server("CATALOG", ConfPart::Catalog);
    let server = reader.server("TDB", ConfPart::Server);
    let rsync = reader.rsync();
    let dest = reader.pair("rsync", "dest").map(|pair| pair.line);
    let conf = PybackupConf {
        file: file.to_owned(),
        tag: reader.text("pybackup", "tag"),
        catalog,
        server,
        databases: reader.databases(),
        consistency: reader.consistency(),
        unusable_dest: dest.filter(|_| rsync.is_none()),
        rsync,
        validate: reader.validate(),
    };
    let warnings = document.into_found();
    if warnings.iter().any(|mistake| mistake.severity == Severity::Error) {
        return Err(ConfigErrors {
            mistakes: warnings,
            state_dir: None,
        });
    }
    Ok(ReadConf { conf, warnings })
}

/// Whether the file was written for a parser that takes `%%` for `%`: then no `%` of it stands alone.
fn is_doubled(blocks: &[Block]) -> bool {
    let values = blocks
        .iter()
        .flat_map(|block| block.pairs.iter().map(|pair| &pair.value));
    let mut any = false;
    for value in values {
        if value.replace("%%", "").contains('%') {
            return false;
        }
        any |= value.contains("%%");
    }
    any
}

struct Reader<'d> {
    document: &'d Document,
    blocks: &'d [Block],
    needed: &'d [ConfPart],
    is_doubled: bool,
}

impl Reader<'_> {
    /// ConfigParser minds the case of sections; nobody can mean two by it.
    fn block(&self, name: &str) -> Option<&Block> {
        let exact = self.blocks.iter().find(|block| block.name == name);
        exact.or_else(|| {
            self.blocks
                .iter()
                .find(|block| block.name.trim().eq_ignore_ascii_case(name))
        })
    }

    /// The last of its name counts, as it does to ConfigParser. Empty values are none.
    fn pair(&self, section: &str, key: &str) -> Option<&Pair> {
        let pairs = &self.block(section)?.pairs;
        pairs
            .iter()
            .rev()
            .find(|pair| pair.key == key)
            .filter(|pair| !pair.value.is_empty())
    }

    /// What is wrong with a part that the command does without is only worth a look.
    fn complain(&self, part: ConfPart, span: std::ops::Range<usize>, problem: Complaint) {
        let spot = self.document.spot(span);
        if self.needed.contains(&part) {
            spot.mistake(problem);
        } else {
            spot.warning(problem);
        }
    }

    fn missing(&self, part: ConfPart, section: &str, problem: Complaint) {
        if self.needed.contains(&part) {
            match self.block(section) {
                Some(block) => self.complain(part, block.name_span.clone(), problem),
                // It is of the file: no line of it is at fault.
                None => self.document.lacks(problem),
            }
        }
    }

    fn value(&self, pair: &Pair) -> String {
        match self.is_doubled {
            true => pair.value.replace("%%", "%"),
            false => pair.value.clone(),
        }
    }

    fn text(&self, section: &str, key: &str) -> Option<Said<String>> {
        let pair = self.pair(section, key)?;
        let value = self.value(pair);
        let spot = self.document.spot(pair.value_span.clone());
        if value.contains('\n') {
            spot.warning(complaint("this value goes on in an indented line").help("write it in one line"));
        }
        if value.contains(char::REPLACEMENT_CHARACTER) {
            spot.mistake(
                complaint("this value is not UTF-8").help("save the file in UTF-8: iconv -f GBK -t UTF-8"),
            );
        }
        Some(Said {
            value,
            line: pair.line,
        })
    }

    fn password(&self, section: &str) -> Option<Said<SecretString>> {
        let pair = self.pair(section, "db_passwd")?;
        let value = self.value(pair);
        let key = self.document.spot(pair.key_span.clone());
        if let Some(remark) = &pair.remark {
            self.document.spot(remark.start..remark.start).warning(
                complaint("what follows here is taken for a remark, not for a part of the password")
                    .help("a password with \" --\" or \" ;\" in it cannot stand in this file; give the account another"),
            );
        }
        if value != pair.value {
            key.warning(complaint(
                "`%%` in this password is taken for one `%`, since no `%` of this file stands alone",
            ));
        }
        if value.contains(char::REPLACEMENT_CHARACTER) {
            key.mistake(complaint("this password is not UTF-8").help("save the file in UTF-8"));
        }
        Some(Said {
            value: SecretString::from(value),
            line: pair.line,
        })
    }

    fn server(&self, section: &str, part: ConfPart) -> Option<ServerConf> {
        let Some(block) = self.block(section) else {
            self.missing(
                part,
                section,
                complaint(format!("there is no section [{section}]")).help(format!(
                    "write [{section}] with db_host, db_port, db_user, db_passwd and db_use"
                )),
            );
            return None;
        };
        let at = |value: String| Said {
            value,
            line: block.line,
        };
        let host = self
            .text(section, "db_host")
            .unwrap_or_else(|| at("localhost".to_owned()));
        let mut port = Some(Said {
            value: 3306,
            line: block.line,
        });
        if let Some(pair) = self.pair(section, "db_port") {
            port = pair
                .value
                .parse()
                .ok()
                .filter(|port| *port > 0)
                .map(|value| Said {
                    value,
                    line: pair.line,
                });
            if port.is_none() {
                let problem = complaint("this is no port").help("write a number from 1 to 65535");
                self.complain(part, pair.value_span.clone(), problem);
            }
        }
        let user = self.text(section, "db_user");
        if user.is_none() {
            let problem = complaint(format!("[{section}] names no account")).help("write db_user = NAME");
            self.missing(part, section, problem);
        }
        let database = self.text(section, "db_use");
        if database.is_none() && part == ConfPart::Catalog {
            let problem = complaint("[CATALOG] names no database").help("write db_use = catalogdb");
            self.missing(part, section, problem);
        }
        Some(ServerConf {
            line: block.line,
            host,
            port: port?,
            user: user?,
            password: self.password(section),
            database,
        })
    }

    fn databases(&self) -> Option<Said<DatabaseSelection>> {
        let Some(pair) = self.pair("TDB", "db_list") else {
            let problem = complaint("[TDB] has no `db_list`").help(
                "write db_list = a,b or db_list = % (all), or give database=, regex= or tables-list= on the command line",
            );
            self.missing(ConfPart::Databases, "TDB", problem);
            return None;
        };
        let value = self.value(pair);
        if value.contains(char::REPLACEMENT_CHARACTER) {
            let problem =
                complaint("this value is not UTF-8").help("save the file in UTF-8: iconv -f GBK -t UTF-8");
            self.complain(ConfPart::Databases, pair.value_span.clone(), problem);
        }
        match parse_db_list(&value) {
            Ok(value) => Some(Said {
                value,
                line: pair.line,
            }),
            Err(error) => {
                let problem = complaint(error.to_string())
                    .help("write db_list = fan,bo,shi for these, db_list = !fan,!bo for all others, db_list = % for all");
                self.complain(ConfPart::Databases, pair.value_span.clone(), problem);
                None
            }
        }
    }

    fn consistency(&self) -> Option<Said<bool>> {
        let pair = self.pair("TDB", "db_consistency")?;
        let word = pair.value.to_lowercase();
        let value = match word.as_str() {
            "true" | "yes" | "on" | "1" => true,
            "false" | "no" | "off" | "0" => false,
            _ => {
                let assumed = match self.needed.contains(&ConfPart::Server) {
                    true => "",
                    false => ", and is taken for False: a dump for each database",
                };
                let problem = complaint(format!("`db_consistency` is neither True nor False{assumed}"))
                    .help("write db_consistency = True, or False");
                self.complain(ConfPart::Server, pair.value_span.clone(), problem);
                return None;
            }
        };
        Some(Said {
            value,
            line: pair.line,
        })
    }

    fn rsync(&self) -> Option<RsyncConf> {
        let Some(dest) = self.text("rsync", "dest") else {
            let problem = complaint("there is no [rsync] with a `dest`")
                .help("write dest = user@host/module/path, and password_file = /path/of/its/password");
            self.missing(ConfPart::Rsync, "rsync", problem);
            return None;
        };
        let pair = self.pair("rsync", "dest")?;
        let url = match destination_url(&dest.value) {
            Ok(url) => url,
            Err(error) => {
                let account = dest.value.trim_start_matches("rsync://").split_once('@');
                let error = match account {
                    Some((account, _)) if account.contains(':') => DestinationUrlError::Password,
                    _ => error,
                };
                self.complain(
                    ConfPart::Rsync,
                    pair.value_span.clone(),
                    complaint(error.to_string()),
                );
                return None;
            }
        };
        let address = self
            .pair("rsync", "address")
            .and_then(|pair| match pair.value.parse() {
                Ok(value) => Some(Said {
                    value,
                    line: pair.line,
                }),
                Err(_) => {
                    let problem = complaint("`address` is no IP address")
                        .help("write an address of this host that rsync is to send from, or leave it empty");
                    self.complain(ConfPart::Rsync, pair.value_span.clone(), problem);
                    None
                }
            });
        let password_file = self.text("rsync", "password_file").map(|said| Said {
            value: PathBuf::from(said.value),
            line: said.line,
        });
        Some(RsyncConf {
            line: self.block("rsync")?.line,
            password_file,
            dest,
            url,
            address,
        })
    }

    fn validate(&self) -> Vec<Said<String>> {
        let Some(list) = self.text("Validate", "bk_list") else {
            let (what, line) = match self.block("Validate") {
                Some(_) => ("[Validate] has no `bk_list`", "bk_list"),
                None => (
                    "there is no section [Validate]",
                    "[Validate] and, below it, bk_list",
                ),
            };
            let problem = complaint(what).help(format!(
                "write {line} = the tags whose sets are proven here, with commas between them"
            ));
            self.missing(ConfPart::Validate, "Validate", problem);
            return Vec::new();
        };
        let tags = list
            .value
            .split([',', '\n'])
            .map(str::trim)
            .filter(|tag| !tag.is_empty());
        tags.map(|tag| Said {
            value: tag.to_owned(),
            line: list.line,
        })
        .collect()
    }
}

/// `user@host/module/path`, which pybackup puts `rsync://` before; `user@host::module/path` says the same.
fn destination_url(dest: &str) -> Result<DestinationUrl, DestinationUrlError> {
    let dest = dest.trim();
    if dest.starts_with("rsync://") || dest.starts_with('/') {
        return dest.parse();
    }
    match dest.split_once("::") {
        Some((host, path)) if !host.contains('/') => format!("rsync://{host}/{path}").parse(),
        _ if dest.contains(":/") => dest.parse(),
        _ => format!("rsync://{dest}").parse(),
    }
}

#[cfg(test)]
mod tests;
