//! What holds for any text.

use crate::files::Files;
use mykeeper_config::{EXAMPLE_KEEPER, EXAMPLE_SCHEDULE};
use proptest::prelude::*;

/// Keys whose absence is a mistake, and the ones that others lean on.
const REQUIRED: [&str; 9] = [
    "socket",
    "user",
    "url",
    "cron",
    "server",
    "databases",
    "directory",
    "destination",
    "keep",
];

/// The text without those of its `key = value` lines that `keep` does not keep and that can go.
fn thinned(text: &str, keep: &[bool]) -> String {
    let mut choices = keep.iter().cycle();
    text.lines()
        .filter(|line| {
            let key = line.split(" =").next().unwrap_or_default();
            let is_key = line.starts_with(|c: char| c.is_ascii_lowercase());
            !is_key || REQUIRED.contains(&key) || *choices.next().unwrap()
        })
        .collect::<Vec<_>>()
        .join("\n")
}

/// What spoils a file: some bytes replaced, taken out or doubled.
fn spoiled(text: &str, changes: &[(prop::sample::Index, u8, u8)]) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    for (place, kind, byte) in changes {
        if bytes.is_empty() {
            break;
        }
        let at = place.index(bytes.len());
        match kind % 4 {
            0 => bytes[at] = *byte,
            1 => drop(bytes.remove(at)),
            2 => bytes.insert(at, b"\"'[]{}=.,#\n\\-09"[usize::from(*byte) % 15]),
            _ => bytes.truncate(at.max(bytes.len() / 2)),
        }
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn any_subset_of_the_optional_keys_of_the_examples_is_sound(
        keep in prop::collection::vec(any::<bool>(), 1..40),
    ) {
        let files = Files::new(&thinned(EXAMPLE_KEEPER, &keep), &thinned(EXAMPLE_SCHEDULE, &keep));
        if let Err(errors) = files.load() {
            return Err(TestCaseError::fail(errors.to_string()));
        }
    }

    #[test]
    fn a_spoiled_file_never_panics_and_every_mistake_has_its_place(
        keeper in prop::collection::vec(any::<(prop::sample::Index, u8, u8)>(), 0..6),
        schedule in prop::collection::vec(any::<(prop::sample::Index, u8, u8)>(), 0..6),
    ) {
        let files = Files::new("", "");
        std::fs::write(files.keeper(), spoiled(EXAMPLE_KEEPER, &keeper)).unwrap();
        std::fs::write(files.folder.path().join("schedule.toml"), spoiled(EXAMPLE_SCHEDULE, &schedule)).unwrap();
        for mistake in files.found() {
            prop_assert!(!mistake.render(false).is_empty());
            prop_assert!(mistake.source_line.get(mistake.marked.clone()).is_some());
            prop_assert!(mistake.line == 0 || mistake.column > 0);
        }
    }

    #[test]
    fn any_text_is_answered(text in "\\PC*", more in "[\\[\\]{}=\"'.,\\\\\n a-z国0-9#]*") {
        for text in [&text, &more] {
            let files = Files::new(text, text);
            for mistake in files.found() {
                prop_assert!(!mistake.render(true).is_empty());
            }
        }
    }
}
