//! What the rows of a dump's tables are, put together from their files. Pure.

use super::verdict::{PartFiles, TableName};
use crate::content::FileContent;
use std::collections::BTreeMap;

/// The content of each table whose files all tell theirs and name the same columns.
pub(super) fn table_contents(files: &PartFiles<'_>) -> BTreeMap<TableName, FileContent> {
    let digests = files.facts.digests;
    files
        .data
        .iter()
        .filter_map(|(table, names)| {
            let contents = names
                .iter()
                .map(|name| digests.get(*name)?.as_ref().ok()?.content.as_ref());
            Some((table.clone(), all(contents)?))
        })
        .collect()
}

/// The sum of all; `None` when one is not known, or they are not of the same columns.
pub(crate) fn all<'a>(mut contents: impl Iterator<Item = Option<&'a FileContent>>) -> Option<FileContent> {
    let mut sum: Option<FileContent> = None;
    contents.try_for_each(|content| {
        let content = content?;
        match &mut sum {
            // A file without a row names no columns.
            Some(_) if content.content.rows == 0 => {}
            Some(sum) if sum.content.rows > 0 => {
                if sum.columns != content.columns {
                    return None;
                }
                sum.content = sum.content.and(content.content);
                sum.has_signed_zero |= content.has_signed_zero;
                sum.has_other_escapes |= content.has_other_escapes;
            }
            _ => sum = Some(content.clone()),
        }
        Some(())
    })?;
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::ContentReader;

    fn file(sql: &str) -> FileContent {
        let mut reader = ContentReader::new();
        reader.feed(sql.as_bytes());
        reader.finish().unwrap()
    }

    #[test]
    fn chunks_of_a_table_add_up_whatever_their_order() {
        let (whole, one, two, none) = (
            file("INSERT INTO t VALUES (1),(2),(3);"),
            file("INSERT INTO t VALUES (3);"),
            file("INSERT INTO t VALUES (2),(1);"),
            file("/* nothing */;"),
        );
        for files in [[&one, &two, &none], [&none, &two, &one]] {
            assert_eq!(all(files.into_iter().map(Some)), Some(whole.clone()));
        }
        assert_eq!(all([Some(&one), None].into_iter()), None);
        let signed = file("INSERT INTO t VALUES (-0);");
        for files in [[&signed, &one], [&one, &signed]] {
            assert!(all(files.into_iter().map(Some)).unwrap().has_signed_zero);
        }
        let named = file("INSERT INTO t (`a`) VALUES (2),(1);");
        assert_eq!(all([Some(&one), Some(&named)].into_iter()), None);
    }
}
