//! `mykeeper man`, `mykeeper completions`: for packages, and for who has none.

mod reference;

use crate::args::Cli;
use crate::failure::{Failure, Status};
use crate::output::print_as_is;
use anyhow::Context;
use clap::CommandFactory;
use reference::{Reference, page_of};
use std::path::Path;

/// The pages of the two files, made of the examples that document them.
const REFERENCES: [Reference; 2] = [
    Reference {
        file: "mykeeper.toml",
        about: "what mykeeper works with: this node, the catalog, servers, destinations",
        example: mykeeper_config::EXAMPLE_KEEPER,
        other: "schedule.toml",
    },
    Reference {
        file: "schedule.toml",
        about: "what mykeeper does when: backups, transfers, proofs, removals",
        example: mykeeper_config::EXAMPLE_SCHEDULE,
        other: "mykeeper.toml",
    },
];

/// Every page with the name of its file: `mykeeper-run.1`.
fn pages() -> anyhow::Result<Vec<(String, String)>> {
    let mut pages = Vec::new();
    let mut root = Cli::command().disable_help_subcommand(true);
    root.build();
    let mut commands = vec![root];
    while let Some(command) = commands.pop() {
        commands.extend(
            command
                .get_subcommands()
                .filter(|below| !below.is_hide_set())
                .cloned(),
        );
        // mykeeper-catalog-migrate, once it has been built.
        let name = command
            .get_display_name()
            .unwrap_or_else(|| command.get_name())
            .to_owned();
        let mut text = Vec::new();
        // Arguments would be laid out for the terminal that this runs in.
        clap_mangen::Man::new(command.term_width(0))
            .source(concat!("mykeeper ", env!("CARGO_PKG_VERSION")))
            .manual("mykeeper")
            .render(&mut text)
            .context("cannot lay out a page")?;
        pages.push((format!("{name}.1"), String::from_utf8(text)?));
    }
    pages.extend(
        REFERENCES
            .iter()
            .map(|reference| (format!("{}.5", reference.file), page_of(reference))),
    );
    pages.sort();
    Ok(pages)
}

/// One page on standard output, or all of them as files of a folder.
pub(crate) fn man(page: &str, out: Option<&Path>) -> anyhow::Result<Status> {
    let pages = pages()?;
    if let Some(out) = out {
        for (name, text) in &pages {
            let path = out.join(name);
            std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        }
        return Ok(Status::Done);
    }
    let is_it = |name: &str| name == page || name.rsplit_once('.').is_some_and(|(stem, _)| stem == page);
    match pages.iter().find(|(name, _)| is_it(name)) {
        Some((_, text)) => print_as_is(text.trim_end())?,
        None => {
            let names: Vec<&str> = pages.iter().map(|(name, _)| name.as_str()).collect();
            return Err(Failure::usage(format!(
                "there is no page {page:?}; there are {}",
                names.join(", ")
            )));
        }
    }
    Ok(Status::Done)
}

/// What a shell completes by.
pub(crate) fn completions(shell: clap_complete::Shell) -> anyhow::Result<Status> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "mykeeper", &mut text);
    print_as_is(String::from_utf8(text)?.trim_end())?;
    Ok(Status::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_page_for_each_command_and_each_file() {
        let pages = pages().unwrap();
        let text = |name: &str| {
            let page = pages.iter().find(|(page, _)| page == name);
            page.map(|(_, text)| text.as_str())
                .unwrap_or_else(|| panic!("no page {name}"))
        };
        assert!(text("mykeeper.1").contains("mykeeper\\-daemon(1)"));
        assert!(text("mykeeper-catalog-rebuild.1").contains("dry\\-run"));
        assert!(text("mykeeper-restore.1").contains("despite"));
        assert!(text("mykeeper.toml.5").contains(".SH \"[catalog]\""));
        assert!(
            pages.iter().all(|(name, _)| !name.contains("shim")),
            "what is hidden stays so"
        );
    }

    #[test]
    fn every_key_of_the_examples_has_its_place_in_the_pages() {
        for reference in &REFERENCES {
            let page = page_of(reference);
            let mut keys = 0;
            for line in reference.example.lines() {
                let bare = line.strip_prefix('#').unwrap_or(line);
                if let Some((key, _)) = bare.split_once('=')
                    && bare.starts_with(|c: char| c.is_ascii_lowercase())
                {
                    keys += 1;
                    let tag = format!(".B \"{}{}", if bare == line { "" } else { "#" }, key.trim_end());
                    assert!(page.contains(&tag), "{}: {tag}", reference.file);
                }
            }
            assert!(keys > 20, "{keys} keys in {}", reference.file);
        }
    }
}
