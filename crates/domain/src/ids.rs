//! Names and identities as types of their own, so that none can be taken for another.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use thiserror::Error;
use uuid::Uuid;

/// Why a text is no name.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum InvalidName {
    /// Nothing is left of it.
    #[error("a name cannot be empty")]
    Empty,
    /// Longer than [`MAX_NAME_CHARS`].
    #[error("a name has at most {MAX_NAME_CHARS} characters, this one has {0}")]
    TooLong(usize),
    /// Control characters and path separators would break logs, lock files and tables.
    #[error("a name cannot hold {0:?}")]
    Character(char),
    /// `.` and `..` mean folders.
    #[error("a name cannot be {0:?}")]
    Reserved(String),
}

/// The longest name of a job, server, destination or node, in characters: what the catalog's columns hold.
pub const MAX_NAME_CHARS: usize = 100;

fn check_name(text: &str) -> Result<(), InvalidName> {
    if text.trim().is_empty() {
        return Err(InvalidName::Empty);
    }
    let length = text.chars().count();
    if length > MAX_NAME_CHARS {
        return Err(InvalidName::TooLong(length));
    }
    if let Some(bad) = text.chars().find(|c| c.is_control() || *c == '/' || *c == '\\') {
        return Err(InvalidName::Character(bad));
    }
    if text == "." || text == ".." {
        return Err(InvalidName::Reserved(text.to_owned()));
    }
    Ok(())
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Checks the text and takes it as a name.
            pub fn new(text: impl Into<String>) -> Result<Self, InvalidName> {
                let text = text.into();
                check_name(&text)?;
                Ok(Self(text))
            }

            /// The name as written.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidName;
            fn try_from(text: String) -> Result<Self, InvalidName> {
                Self::new(text)
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;
            fn from_str(text: &str) -> Result<Self, InvalidName> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

name! {
    /// The name of a job: the part after the dot in `[backup.shop-nightly]`.
    JobName
}
name! {
    /// The name of a server that is backed up: the part after the dot in `[servers.shop]`.
    ServerName
}
name! {
    /// The name of a destination: the part after the dot in `[destinations.vault]`.
    DestinationName
}
name! {
    /// The name of a machine that runs mykeeper; two machines that share a catalog have different ones.
    NodeName
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// A new identity; later ones sort after earlier ones (UUID version 7).
            pub fn generate() -> Self {
                Self(Uuid::now_v7())
            }

            /// The UUID itself.
            pub fn as_uuid(&self) -> Uuid {
                self.0
            }
        }

        impl From<Uuid> for $name {
            fn from(id: Uuid) -> Self {
                Self(id)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, uuid::Error> {
                Uuid::try_parse(text).map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.0.hyphenated().encode_lower(&mut Uuid::encode_buffer()))
            }
        }
    };
}

id! {
    /// One run of one job.
    RunId
}
id! {
    /// One attempt within a run.
    AttemptId
}
id! {
    /// One backup set: `bk_id` of the seed's tables and the name of the set's folder.
    BackupId
}

impl BackupId {
    /// A new identity as pybackup makes them (UUID version 1), for those who tell a set's time from it. No address of
    /// this machine is in it.
    pub fn generate_as_pybackup() -> Self {
        let random = Uuid::new_v4().into_bytes();
        let mut node = [0; 6];
        node.copy_from_slice(&random[..6]);
        // The bit that no network card's address has.
        node[0] |= 1;
        Self(Uuid::now_v1(&node))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_take_chinese_and_spaces_but_no_separators() {
        assert_eq!(JobName::new("国内 平台-1").unwrap().as_str(), "国内 平台-1");
        assert_eq!(JobName::new("a/b"), Err(InvalidName::Character('/')));
        assert_eq!(JobName::new("a\nb"), Err(InvalidName::Character('\n')));
        assert_eq!(JobName::new(" "), Err(InvalidName::Empty));
        assert_eq!(JobName::new(".."), Err(InvalidName::Reserved("..".into())));
        assert_eq!(JobName::new("x".repeat(101)), Err(InvalidName::TooLong(101)));
    }

    #[test]
    fn backup_ids_print_as_pybackup_wrote_them() {
        let text = "bcd36dc6-c9e7-11e7-9e30-005056b15d9c";
        assert_eq!(text.parse::<BackupId>().unwrap().to_string(), text);
        let (one, other) = (BackupId::generate_as_pybackup(), BackupId::generate_as_pybackup());
        assert_eq!(one.as_uuid().get_version_num(), 1);
        assert_ne!(one, other);
    }
}
