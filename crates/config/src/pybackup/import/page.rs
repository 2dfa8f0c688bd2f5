//! A file that is written line by line, each with where it comes from.

use std::fmt::Write;

/// The text so far.
#[derive(Debug, Default)]
pub(super) struct Page {
    text: String,
    /// Whether sections and keys are written as comments.
    is_commented: bool,
}

impl Page {
    /// A remark of its own.
    pub(super) fn remark(&mut self, text: &str) {
        for line in text.lines() {
            self.line(format!("# {}", clean(line)).trim_end());
        }
    }

    /// An empty line.
    pub(super) fn gap(&mut self) {
        self.line("");
    }

    /// Sections and keys after this are written as comments, or no longer.
    pub(super) fn comment_out(&mut self, is_commented: bool) {
        self.is_commented = is_commented;
    }

    /// `[name]`
    pub(super) fn section(&mut self, name: &str, source: impl std::fmt::Display) {
        // What is said of it stands right above.
        if !self.is_commented {
            self.gap();
        }
        self.sourced(format!("[{name}]"), source);
    }

    /// `key = value`
    pub(super) fn key(&mut self, key: &str, value: impl std::fmt::Display, source: impl std::fmt::Display) {
        self.sourced(format!("{key} = {value}"), source);
    }

    fn sourced(&mut self, text: String, source: impl std::fmt::Display) {
        let source = clean(&source.to_string());
        let sign = if self.is_commented { "# " } else { "" };
        self.line(&format!("{sign}{text:<56}  # {source}"));
    }

    fn line(&mut self, text: &str) {
        // A String takes whatever is written.
        let _ = writeln!(self.text, "{text}");
    }

    /// The whole text.
    pub(super) fn into_text(self) -> String {
        self.text
    }
}

/// A text as TOML writes it.
pub(super) fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

/// A list of texts.
pub(super) fn list<T: AsRef<str>>(items: impl IntoIterator<Item = T>) -> String {
    let items: Vec<String> = items.into_iter().map(|item| quoted(item.as_ref())).collect();
    format!("[{}]", items.join(", "))
}

/// A comment holds no control characters.
fn clean(text: &str) -> String {
    text.chars()
        .map(|one| if one.is_control() { ' ' } else { one })
        .collect()
}
