//! What stands within quotes and brackets: its end is where the shell finds it, whatever is quoted, escaped or remarked.

use super::{Part, Reader};

/// Brackets in brackets, and quotes in them; nobody writes more.
const DEEPEST: usize = 50;

impl Reader<'_> {
    pub(super) fn double_quoted(&mut self) {
        self.part();
        self.is_quoted = true;
        while let Some(next) = self.next() {
            match next {
                '"' => break,
                '$' => self.dollar(),
                '`' => self.backticks(),
                '\\' => match self.next() {
                    Some('\n') | None => {}
                    Some(literal @ ('$' | '`' | '"' | '\\')) => self.push(literal),
                    Some(other) => {
                        self.push('\\');
                        self.push(other);
                    }
                },
                _ => self.push(next),
            }
        }
        self.is_quoted = false;
    }

    pub(super) fn backticks(&mut self) {
        let mut inner = String::new();
        while let Some(next) = self.next() {
            match next {
                '`' => break,
                '\\' if matches!(self.rest.peek(), Some('`' | '$' | '\\')) => inner.extend(self.next()),
                _ => inner.push(next),
            }
        }
        let (text, is_quoted) = (inner, self.is_quoted);
        self.part().push(Part::Output { text, is_quoted });
    }

    /// What stands up to the bracket that closes the one that has been read.
    pub(super) fn until_closed(&mut self, open: char, close: char) -> String {
        let mut inner = String::new();
        self.copy_until((open, close), &mut inner, 0, self.is_quoted);
        inner.pop();
        inner
    }

    /// Copies what stands up to the closing bracket, and that, too; of a text that ends before it, a blank in its place.
    fn copy_until(&mut self, (open, close): (char, char), inner: &mut String, level: usize, is_quoted: bool) {
        // In `"${x:-it's}"` a `'` is a letter.
        let is_literal = is_quoted && open == '{';
        let mut depth = 0_usize;
        let begin = inner.len();
        while let Some(next) = self.next() {
            let is_remark = next == '#' && open == '(' && begins_word(&inner[begin..]);
            inner.push(next);
            match next {
                '\\' => inner.extend(self.next()),
                '\'' if !is_literal => self.copy_to('\'', inner),
                '"' => self.copy_quoted(inner, level),
                '`' => self.copy_to('`', inner),
                '$' => self.copy_dollar(inner, level, is_literal),
                '#' if is_remark => {
                    while self.rest.peek().is_some_and(|next| *next != '\n') {
                        inner.extend(self.next());
                    }
                }
                _ if next == open => depth += 1,
                _ if next == close && depth == 0 => return,
                _ if next == close => depth -= 1,
                _ => {}
            }
        }
        inner.push(' ');
    }

    /// `$(`, `${`, of which the `$` has been copied.
    fn copy_dollar(&mut self, inner: &mut String, level: usize, is_quoted: bool) {
        let brackets = match self.rest.peek() {
            Some('(') => ('(', ')'),
            Some('{') => ('{', '}'),
            _ => return,
        };
        inner.extend(self.next());
        if level < DEEPEST {
            self.copy_until(brackets, inner, level + 1, is_quoted);
        }
    }

    /// Up to the `"` that ends it.
    fn copy_quoted(&mut self, inner: &mut String, level: usize) {
        while let Some(next) = self.next() {
            inner.push(next);
            match next {
                '"' => return,
                '\\' => inner.extend(self.next()),
                '$' => self.copy_dollar(inner, level, true),
                '`' => self.copy_to('`', inner),
                _ => {}
            }
        }
    }

    /// Up to this letter; one that is escaped is none, but between `'`.
    fn copy_to(&mut self, end: char, inner: &mut String) {
        while let Some(next) = self.next() {
            inner.push(next);
            match next {
                '\\' if end != '\'' => inner.extend(self.next()),
                _ if next == end => return,
                _ => {}
            }
        }
    }
}

/// Whether a word begins behind this text.
fn begins_word(before: &str) -> bool {
    let last = before.chars().next_back();
    last.is_none_or(|last| last.is_whitespace() || ";|&(".contains(last))
}
