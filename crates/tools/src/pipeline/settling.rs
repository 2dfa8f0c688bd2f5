//! Files that are closed and not yet what they will be. Pure.
//!
//! mydumper 0.10 with `--chunk-filesize` calls the first file of a table `t.00001.sql`. When it has closed it, it either
//! begins `t.00002.sql`, or renames it `t.sql`, where the table had room in one. Until one of the two has happened, the
//! file must stay where it is.

use std::collections::HashSet;

const FIRST: &str = ".00001.sql";
const SECOND: &str = ".00002.sql";

/// The first files of tables that are held back.
#[derive(Debug, Default)]
pub(crate) struct Settling {
    held: HashSet<String>,
}

impl Settling {
    /// A file was closed: whether it may be taken now.
    pub(crate) fn closed(&mut self, name: &str) -> bool {
        if name.ends_with(FIRST) {
            self.held.insert(name.to_owned());
            return false;
        }
        true
    }

    /// A file was begun: the one that may be taken therefore.
    pub(crate) fn begun(&mut self, name: &str) -> Option<String> {
        let first = format!("{}{FIRST}", name.strip_suffix(SECOND)?);
        self.held.take(&first)
    }

    /// A file has lost its name: under the other one it is taken.
    pub(crate) fn left(&mut self, name: &str) {
        self.held.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_first_file_waits_for_the_second_or_for_its_name() {
        let mut settling = Settling::default();
        assert!(settling.closed("a.t-schema.sql"));
        assert!(!settling.closed("a.t.00001.sql"));
        assert!(!settling.closed("a.u.00001.sql"));
        assert_eq!(settling.begun("a.v.00001.sql"), None);
        assert_eq!(settling.begun("a.t.00002.sql").as_deref(), Some("a.t.00001.sql"));
        assert!(settling.closed("a.t.00002.sql"));
        settling.left("a.u.00001.sql");
        assert!(settling.closed("a.u.sql"));
        assert_eq!(
            settling.begun("a.u.00002.sql"),
            None,
            "it is called otherwise by now"
        );
    }
}
