//! What stands within quotes and brackets: its end is where the shell finds it, whatever is quoted, escaped or remarked.

use super::{Part, RawWord, Reader, plain};

/// Brackets in brackets, and quotes in them; nobody writes more.
const DEEPEST: usize = 50;

impl Reader<'_> {
    /// Between `[[` and `]]`, where `&&`, `<`, `(` and the line's end are parts of the test.
    pub(super) fn is_in_test(&self) -> bool {
        let is = |word: Option<&RawWord>, text| word.and_then(plain).as_deref() == Some(text);
        let words = &self.command.words;
        is(words.first(), "[[") && !is(words.last(), "]]") && !is(self.word.as_ref(), "]]")
    }

    pub(super) fn test_sign(&mut self, sign: char) {
        self.end_word();
        if sign != '\n' {
            self.push(sign);
            if self.take(sign) {
                self.push(sign);
            }
            self.end_word();
        }
    }

    /// `case WORD in (PATTERN)`, and what a pattern has in brackets.
    pub(super) fn is_pattern(&mut self) -> bool {
        let is_in = |word: &RawWord| plain(word).as_deref() == Some("in");
        let begins =
            self.is_case() && self.command.words.len() > 2 && self.command.words.last().is_some_and(is_in);
        if !begins && !self.blocks.awaits_pattern() {
            return false;
        }
        if self.word.is_some() {
            let inner = self.until_closed('(', ')');
            inner.chars().for_each(|letter| self.push(letter));
        }
        true
    }

    /// `NAME=(`: what it holds is not known.
    pub(super) fn is_array(&mut self) -> bool {
        let is_it = matches!(self.word.as_deref(), Some([Part::Text(text)]) if text.ends_with('='));
        if is_it {
            let name = format!("({})", self.until_closed('(', ')'));
            let is_quoted = true;
            self.part().push(Part::Variable { name, is_quoted });
        }
        is_it
    }

    /// `((...))`, as `let`.
    pub(super) fn is_arithmetic(&mut self) -> bool {
        let is_first = self.word.is_none() && self.command.words.is_empty();
        if !is_first || self.rest.peek() != Some(&'(') {
            return false;
        }
        let before = (self.rest.clone(), self.line);
        let inner = self.until_closed('(', ')');
        let is_it = inner.ends_with(')') && !inner.contains(['\n', ';']);
        match is_it {
            true => {
                self.command.line = self.line;
                let words = ["let", inner.as_str()].map(|text| vec![Part::Text(text.to_owned())]);
                self.command.words.extend(words);
            }
            false => (self.rest, self.line) = before,
        }
        is_it
    }

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
