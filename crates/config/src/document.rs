//! One file as text and tree, and the mistakes found in it.

use crate::mask::{self, MASK};
use crate::mistake::{ConfigErrors, Mistake, Severity};
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::ops::Range;
use std::path::{Path, PathBuf};
use toml::de::{DeTable, DeValue};

/// What is wrong and what would be right.
pub(crate) struct Complaint {
    message: String,
    help: Option<String>,
}

impl Complaint {
    /// Adds what would be right.
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Both in one sentence, where there is no file to show.
    pub(crate) fn sentence(self) -> String {
        match self.help {
            Some(help) => format!("{}: {help}", self.message),
            None => self.message,
        }
    }
}

/// Says what is wrong.
pub(crate) fn complaint(message: impl Into<String>) -> Complaint {
    Complaint {
        message: message.into(),
        help: None,
    }
}

impl From<&str> for Complaint {
    fn from(message: &str) -> Self {
        complaint(message)
    }
}

impl From<String> for Complaint {
    fn from(message: String) -> Self {
        complaint(message)
    }
}

/// Longer lines are shown in part.
const SHOWN_CHARS: usize = 400;
/// A file that is not one of ours at all should not fill the terminal.
const MAX_MISTAKES: usize = 500;

/// One file.
pub(crate) struct Document {
    file: PathBuf,
    text: String,
    line_starts: Vec<usize>,
    secrets: RefCell<Vec<Range<usize>>>,
    damaged_lines: RefCell<BTreeSet<usize>>,
    is_damaged: Cell<bool>,
    found: RefCell<Vec<Mistake>>,
}

/// A place in a file.
#[derive(Clone)]
pub(crate) struct Spot<'d> {
    document: &'d Document,
    span: Range<usize>,
}

impl<'d> Spot<'d> {
    /// The file cannot be used because of what stands here.
    pub(crate) fn mistake(&self, complaint: impl Into<Complaint>) {
        self.document
            .record(Severity::Error, self.span.clone(), complaint.into());
    }

    /// What stands here is worth a look.
    pub(crate) fn warning(&self, complaint: impl Into<Complaint>) {
        self.document
            .record(Severity::Warning, self.span.clone(), complaint.into());
    }

    /// Something is not there that should be. Not said of a file that cannot be read fully: it may be there.
    pub(crate) fn missing(&self, complaint: impl Into<Complaint>) {
        if !self.document.is_damaged() {
            self.mistake(complaint);
        }
    }

    /// The same file, another place.
    pub(crate) fn elsewhere(&self, span: Range<usize>) -> Spot<'d> {
        Spot {
            document: self.document,
            span,
        }
    }
}

impl Document {
    /// Reads the file.
    pub(crate) fn open(file: &Path) -> Result<Self, ConfigErrors> {
        let bytes = std::fs::read(file).map_err(|error| {
            let help = (error.kind() == std::io::ErrorKind::NotFound)
                .then(|| "`mykeeper config example` prints one to begin with".to_owned());
            ConfigErrors::of_file(file, format!("this file cannot be read: {error}"), help)
        })?;
        match String::from_utf8(bytes) {
            Ok(text) => Ok(Self::new(file.to_owned(), text)),
            Err(error) => {
                let valid = error.utf8_error().valid_up_to();
                let good = String::from_utf8_lossy(&error.as_bytes()[..valid]).into_owned();
                let document = Self::new(file.to_owned(), good);
                document
                    .spot(valid..valid)
                    .mistake(complaint("what follows here is not UTF-8").help("save the file in UTF-8"));
                Err(ConfigErrors {
                    mistakes: document.into_found(),
                    state_dir: None,
                })
            }
        }
    }

    pub(crate) fn new(file: PathBuf, text: String) -> Self {
        let line_starts = std::iter::once(0)
            .chain(text.match_indices('\n').map(|(at, _)| at + 1))
            .collect();
        let secrets = RefCell::new(mask::secret_ranges(&text));
        Self {
            file,
            text,
            line_starts,
            secrets,
            damaged_lines: RefCell::default(),
            is_damaged: Cell::new(false),
            found: RefCell::default(),
        }
    }

    /// The tree, as far as the file can be read; what cannot is recorded, and so is every password. What may be a secret is hidden.
    pub(crate) fn parse(&self) -> DeTable<'_> {
        let (tree, errors) = DeTable::parse_recoverable(&self.text);
        let tree = tree.into_inner();
        let (mut passwords, mut urls) = (Vec::new(), Vec::new());
        find_secrets(&tree, &mut passwords, &mut urls);
        self.hide(&passwords);
        for url in urls {
            self.hide_unseen(url);
        }
        for error in errors {
            let span = error.span().unwrap_or(0..0);
            self.is_damaged.set(true);
            let line = self.line_of(span.start);
            if self.damaged_lines.borrow_mut().insert(line) {
                self.push(Severity::Error, span, syntax_complaint(error.message()));
            }
        }
        for password in passwords {
            self.record(Severity::Error, password.shown, password.complaint);
        }
        tree
    }

    /// Whether parts of the file could not be read.
    pub(crate) fn is_damaged(&self) -> bool {
        self.is_damaged.get()
    }

    pub(crate) fn file(&self) -> &Path {
        &self.file
    }

    pub(crate) fn spot(&self, span: Range<usize>) -> Spot<'_> {
        Spot { document: self, span }
    }

    /// The place of something that the file does not say.
    pub(crate) fn whole(&self) -> Spot<'_> {
        self.spot(0..0)
    }

    /// The file cannot be used for something that it does not say: no line is shown.
    pub(crate) fn lacks(&self, complaint: Complaint) {
        self.found.borrow_mut().push(Mistake {
            severity: Severity::Error,
            file: self.file.clone(),
            line: 0,
            column: 0,
            source_line: String::new(),
            message: complaint.message,
            help: complaint.help,
            marked: 0..0,
        });
    }

    /// What was found, in the order of the lines.
    pub(crate) fn into_found(self) -> Vec<Mistake> {
        let mut found = self.found.into_inner();
        found.sort_by_key(|mistake| (mistake.line, mistake.column));
        found.dedup();
        found
    }

    /// Keeps what stands there out of every report: it may be a password.
    pub(crate) fn hide_span(&self, span: Range<usize>) {
        let mut secrets = self.secrets.borrow_mut();
        secrets.push(span);
        *secrets = mask::merge(std::mem::take(&mut secrets));
    }

    fn hide(&self, passwords: &[Password]) {
        for password in passwords {
            match password.is_whole_value {
                true => self.hide_span(password.value.clone()),
                false => self.hide_unseen(password.value.clone()),
            }
        }
    }

    /// The value whole, where the bare text has shown no secret in it: it may be written in another way.
    fn hide_unseen(&self, value: Range<usize>) {
        let is_inside = |range: &Range<usize>| range.end > value.start && range.start < value.end;
        let is_seen = self.secrets.borrow().iter().any(is_inside);
        if !is_seen {
            self.hide_span(value);
        }
    }

    fn record(&self, severity: Severity, span: Range<usize>, complaint: Complaint) {
        if !self.damaged_lines.borrow().contains(&self.line_of(span.start)) {
            self.push(severity, span, complaint);
        }
    }

    fn push(&self, severity: Severity, span: Range<usize>, complaint: Complaint) {
        let mut found = self.found.borrow_mut();
        if found.len() >= MAX_MISTAKES {
            return;
        }
        let start = self.floor(span.start);
        let line = self.line_of(start);
        let line_start = self.line_starts[line - 1];
        let content = self.line_content(line);
        let end = self
            .floor(span.end)
            .clamp(start, (line_start + content.len()).max(start));
        let (source_line, marked) = self.shown(content, line_start, start..end);
        found.push(Mistake {
            severity,
            file: self.file.clone(),
            line,
            column: self.text[line_start..start].chars().count() + 1,
            source_line,
            message: mask::without_secrets(&complaint.message),
            help: complaint.help,
            marked,
        });
    }

    /// The line with its secrets masked and its excess cut off, and where the span stands in it.
    fn shown(&self, content: &str, line_start: usize, span: Range<usize>) -> (String, Range<usize>) {
        let line_end = line_start + content.len();
        let skipped = self.text[line_start..span.start.min(line_end)]
            .chars()
            .count()
            .saturating_sub(100);
        let is_cut = content.chars().count() > SHOWN_CHARS;
        let mut shown = String::new();
        let mut marked = (None, None);
        if is_cut && skipped > 0 {
            shown.push('…');
        }
        let secrets = self.secrets.borrow();
        let mut masked: Option<usize> = None;
        for (index, (offset, c)) in content.char_indices().enumerate() {
            let at = line_start + offset;
            if at >= span.start && marked.0.is_none() {
                marked.0 = Some(shown.len());
            }
            if at >= span.end && marked.1.is_none() {
                marked.1 = Some(shown.len());
            }
            if is_cut && index < skipped {
                continue;
            }
            if is_cut && index >= skipped + SHOWN_CHARS {
                shown.push('…');
                break;
            }
            match secrets.iter().position(|secret| secret.contains(&at)) {
                Some(secret) if masked == Some(secret) => {}
                Some(secret) => {
                    shown.push_str(MASK);
                    masked = Some(secret);
                }
                // TOML admits control characters that terminals obey.
                None if c.is_control() && c != '\t' => shown.push(char::REPLACEMENT_CHARACTER),
                None => shown.push(c),
            }
        }
        let start = marked.0.unwrap_or(shown.len());
        let end = marked.1.unwrap_or(shown.len()).max(start);
        (shown, start..end)
    }

    fn line_of(&self, offset: usize) -> usize {
        self.line_starts.partition_point(|start| *start <= offset).max(1)
    }

    fn line_content(&self, line: usize) -> &str {
        let start = self.line_starts[line - 1];
        let end = self.line_starts.get(line).copied().unwrap_or(self.text.len());
        self.text[start..end].trim_end_matches(['\n', '\r'])
    }

    /// The nearest character boundary at or before `offset`.
    fn floor(&self, offset: usize) -> usize {
        self.text.floor_char_boundary(offset)
    }
}

fn syntax_complaint(message: &str) -> Complaint {
    if message.starts_with("duplicate key") {
        return complaint("this key stands here for the second time").help("keep one of the two");
    }
    complaint(format!("this is not TOML: {message}"))
}

/// A password that stands in a file.
struct Password {
    value: Range<usize>,
    is_whole_value: bool,
    shown: Range<usize>,
    complaint: Complaint,
}

/// No file of ours nests nearly so deep.
const MAX_DEPTH: usize = 32;

/// Passwords, and URLs whose path may be one.
fn find_secrets(tree: &DeTable<'_>, found: &mut Vec<Password>, urls: &mut Vec<Range<usize>>) {
    let mut tables = vec![(tree, 0)];
    while let Some((table, depth)) = tables.pop() {
        for (key, value) in table {
            if !value.get_ref().is_table() && mask::is_password_key(key.get_ref()) {
                found.push(Password {
                    value: value.span(),
                    is_whole_value: true,
                    shown: key.span(),
                    complaint: complaint("a password is never written into this file").help(
                        "put it into a file that only its owner may read (chmod 600) and write \
                         password_file = \"/etc/mykeeper/NAME.password\", or give it as a systemd \
                         credential and write password_credential = \"NAME\"",
                    ),
                });
                continue;
            }
            let mut values = vec![(value, depth)];
            while let Some((value, depth)) = values.pop() {
                match value.get_ref() {
                    DeValue::Table(inner) if depth < MAX_DEPTH => tables.push((inner, depth + 1)),
                    DeValue::Array(items) if depth < MAX_DEPTH => {
                        values.extend(items.iter().map(|item| (item, depth + 1)));
                    }
                    DeValue::String(text) if mask::password_in_url(text).is_some() => {
                        found.push(Password {
                            value: value.span(),
                            is_whole_value: false,
                            shown: value.span(),
                            complaint: complaint("a password has no place in a URL").help(
                                "take it out and name a password_file or a password_credential beside it",
                            ),
                        });
                    }
                    DeValue::String(text) if mask::secret_of_url(text).is_some() => urls.push(value.span()),
                    _ => {}
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters_from_one() {
        let document = Document::new("x.toml".into(), "a = 1\n标签 = \"国内\"  # 注\n".into());
        let at = document.text.find("\"国内\"").unwrap();
        document.spot(at..at + 8).mistake("wrong");
        let found = document.into_found();
        assert_eq!((found[0].line, found[0].column), (2, 6));
        assert_eq!(&found[0].source_line[found[0].marked.clone()], "\"国内\"");
    }

    #[test]
    fn a_very_long_line_is_shown_in_part() {
        let text = format!("key = [{}\"标\"]", "\"x\", ".repeat(2000));
        let document = Document::new("x.toml".into(), text);
        let at = document.text.find("\"标\"").unwrap();
        document.spot(at..at + 5).mistake("wrong");
        let found = document.into_found();
        assert!(found[0].source_line.chars().count() < 410);
        assert_eq!(&found[0].source_line[found[0].marked.clone()], "\"标\"");
        assert_eq!(found[0].column, 10_008);
    }

    #[test]
    fn text_that_is_not_toml_has_a_place() {
        let document = Document::new("x.toml".into(), "a = \nb = 2\nc = \"x\nd d = 4\n".into());
        let tree = document.parse();
        assert_eq!(
            tree.get("b")
                .and_then(|b| b.get_ref().as_integer().map(ToString::to_string)),
            Some("2".into())
        );
        drop(tree);
        let lines: Vec<_> = document.into_found().iter().map(|mistake| mistake.line).collect();
        assert_eq!(lines, [1, 3, 4]);
    }
}
