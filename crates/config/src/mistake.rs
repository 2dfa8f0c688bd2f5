//! Mistakes, and how a person sees them.

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use serde::Serialize;
use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The files cannot be used.
    Error,
    /// They can, but this is worth a look.
    Warning,
}

/// One mistake of one file. Holds no secret: passwords are masked in the line, and no message quotes one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mistake {
    /// How bad it is.
    pub severity: Severity,
    /// The file.
    pub file: PathBuf,
    /// The line, from 1; 0 when it is about the file as a whole.
    pub line: usize,
    /// The column in characters, from 1; 0 when it is about the file as a whole.
    pub column: usize,
    /// The line itself, without its end, passwords masked.
    pub source_line: String,
    /// What is wrong.
    pub message: String,
    /// What would be right.
    pub help: Option<String>,
    /// The bytes of `source_line` that it is about.
    #[serde(skip)]
    pub marked: Range<usize>,
}

impl Mistake {
    /// As rustc would show it; several lines without an end of line after the last.
    pub fn render(&self, colour: bool) -> String {
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let title = level.primary_title(self.message.as_str());
        let path = self.file.display().to_string();
        let mut group: Group<'_> = if self.line == 0 {
            title.element(Origin::path(path.as_str()))
        } else {
            title.element(
                Snippet::source(self.source_line.as_str())
                    .path(path.as_str())
                    .line_start(self.line)
                    .annotation(AnnotationKind::Primary.span(self.marked.clone())),
            )
        };
        if let Some(help) = &self.help {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        let renderer = if colour {
            Renderer::styled()
        } else {
            Renderer::plain()
        };
        let rendered = renderer.render(&[group]).trim_end().to_owned();
        // The renderer counts the column in the line as it is shown; masks and cuts have moved it.
        let before = self.source_line.get(..self.marked.start).unwrap_or_default();
        let shown_column = before.chars().count() + 1;
        if self.line == 0 || shown_column == self.column {
            return rendered;
        }
        let place = |column: usize| format!("{path}:{}:{column}", self.line);
        rendered.replacen(&place(shown_column), &place(self.column), 1)
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

/// All mistakes of both files, in the order of the files and of their lines; warnings among them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ConfigErrors {
    /// At least one of them is an error.
    pub mistakes: Vec<Mistake>,
    /// The state directory, where that much could be read: a daemon that runs on the files as they were is found there.
    #[serde(skip)]
    pub state_dir: Option<PathBuf>,
}

impl ConfigErrors {
    /// One mistake, about a file as a whole.
    pub(crate) fn of_file(file: &Path, message: String, help: Option<String>) -> Self {
        let mistake = Mistake {
            severity: Severity::Error,
            file: file.to_owned(),
            line: 0,
            column: 0,
            source_line: String::new(),
            message,
            help,
            marked: 0..0,
        };
        Self {
            mistakes: vec![mistake],
            state_dir: None,
        }
    }

    /// Every mistake, an empty line between them, and a last line that counts them.
    pub fn render(&self, colour: bool) -> String {
        let mut report: String = self.mistakes.iter().map(|m| m.render(colour) + "\n\n").collect();
        report.push_str(&self.summary());
        report
    }

    /// Where each mistake is, what it is and what would be right, without the lines of the files; warnings are left out.
    pub fn in_one_line(&self) -> String {
        let errors = self.mistakes.iter().filter(|m| m.severity == Severity::Error);
        let told: Vec<String> = errors
            .map(|mistake| {
                let place = match mistake.line {
                    0 => mistake.file.display().to_string(),
                    line => format!("{}:{line}:{}", mistake.file.display(), mistake.column),
                };
                let help = mistake.help.as_ref().map(|help| format!(" ({help})"));
                format!("{place}: {}{}", mistake.message, help.unwrap_or_default())
            })
            .collect();
        told.join("; ")
    }

    fn summary(&self) -> String {
        let errors = self
            .mistakes
            .iter()
            .filter(|m| m.severity == Severity::Error)
            .count();
        let files: BTreeSet<_> = self
            .mistakes
            .iter()
            .map(|m| m.file.display().to_string())
            .collect();
        let files: Vec<_> = files.into_iter().collect();
        let noun = if errors == 1 { "mistake" } else { "mistakes" };
        format!("{errors} {noun} in {}", files.join(" and "))
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for ConfigErrors {}
