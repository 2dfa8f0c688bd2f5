//! What stands in the file and means nothing.

use crate::document::{Document, complaint};
use crate::nearest::nearest;
use crate::pybackup::ini::Block;

/// Section and its keys. `CATALOG` and `TDB` share theirs.
const KEYS: [(&str, &[&str]); 5] = [
    (
        "CATALOG",
        &["db_host", "db_port", "db_user", "db_passwd", "db_use"],
    ),
    (
        "TDB",
        &[
            "db_host",
            "db_port",
            "db_user",
            "db_passwd",
            "db_use",
            "db_consistency",
            "db_list",
        ],
    ),
    ("rsync", &["password_file", "dest", "address"]),
    ("pybackup", &["tag"]),
    ("Validate", &["bk_list"]),
];

/// Warns of what pybackup does not read, and of what it reads once alone.
pub(super) fn warn_of_strangers(document: &Document, blocks: &[Block]) {
    for block in blocks {
        let name = block.name.trim();
        let Some((_, keys)) = KEYS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)) else {
            let help = match nearest(name, KEYS.iter().map(|(known, _)| *known)) {
                Some(meant) => format!("did you mean [{meant}]?"),
                None => "pybackup knows [CATALOG], [TDB], [rsync], [pybackup] and [Validate]".to_owned(),
            };
            document
                .spot(block.name_span.clone())
                .warning(complaint("this section means nothing").help(help));
            continue;
        };
        for pair in &block.pairs {
            if !keys.contains(&pair.key.as_str()) {
                document.hide_span(pair.value_span.clone());
                let help = match nearest(&pair.key, keys.iter().copied()) {
                    Some(meant) => format!("did you mean `{meant}`?"),
                    None => format!("[{name}] knows {}", keys.join(", ")),
                };
                document
                    .spot(pair.key_span.clone())
                    .warning(complaint("this key means nothing").help(help));
            } else if block.pairs.iter().filter(|other| other.key == pair.key).count() > 1 {
                document.spot(pair.key_span.clone()).warning(
                    complaint("this key stands more than once; the last counts").help("keep one of them"),
                );
            }
        }
    }
}
