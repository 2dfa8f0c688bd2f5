//! The statements of a plain script, one after another. What a plain script has no need of is refused, whatever it means.

use super::super::word::{Piece, Word, variable_shown, with_numbers};
use super::date::read_plain_date;
use std::collections::BTreeMap;

/// One command without `&&`, `|`, `&`, or one assignment.
#[derive(Debug, Default)]
pub(super) struct Statement {
    /// Of its first word, from 1.
    pub(super) line: usize,
    /// `NAME=value`: its first word is the value.
    pub(super) assigns: Option<String>,
    /// With every variable put in that is set before it; redirections are no words.
    pub(super) words: Vec<Word>,
    /// Whether `&&` follows it.
    pub(super) is_and: bool,
    /// The files that it writes to by redirection.
    pub(super) writes: Vec<Word>,
}

/// Something that no plain script has: its line, and what it is, for people.
pub(super) type Strange = (usize, String);

/// Reads a script.
pub(super) struct Statements {
    letters: Vec<char>,
    at: usize,
    line: usize,
}

/// A word that is being read.
#[derive(Default)]
struct Reading {
    word: Word,
    /// All of it so far, where nothing is quoted or put in.
    bare: Option<String>,
    assigns: Option<String>,
}

impl Reading {
    fn push(&mut self, letter: char, is_bare: bool) {
        self.word.push(Piece::Text(letter.to_string()));
        match self.bare.as_mut().filter(|_| is_bare) {
            Some(bare) => bare.push(letter),
            None => self.bare = None,
        }
    }
}

impl Statements {
    /// `first` is the number of the text's first line.
    pub(super) fn of(text: &str, first: usize) -> Self {
        Self {
            letters: text.chars().collect(),
            at: 0,
            line: first,
        }
    }

    /// The next one; `None` at the end. `variables` are those that are set by now.
    pub(super) fn next(&mut self, variables: &BTreeMap<String, Word>) -> Result<Option<Statement>, Strange> {
        let mut statement = Statement::default();
        while let Some(next) = self.peek(0) {
            match next {
                ' ' | '\t' => self.skip(),
                '#' => {
                    while self.peek(0).is_some_and(|next| next != '\n') {
                        self.skip();
                    }
                }
                '\\' if self.peek(1) == Some('\n') => {
                    self.skip();
                    self.skip();
                }
                '\n' => {
                    self.skip();
                    if statement.line > 0 {
                        break;
                    }
                }
                ';' if statement.line > 0 && self.peek(1) != Some(';') => {
                    self.skip();
                    break;
                }
                '&' if statement.line > 0 && self.peek(1) == Some('&') => {
                    self.skip();
                    self.skip();
                    statement.is_and = true;
                    break;
                }
                '>' | '<' if statement.line > 0 => self.redirection(&mut statement, variables)?,
                _ => self.word(&mut statement, variables)?,
            }
        }
        Ok((statement.line > 0).then_some(statement))
    }

    fn peek(&self, ahead: usize) -> Option<char> {
        self.letters.get(self.at + ahead).copied()
    }

    fn skip(&mut self) {
        if self.peek(0) == Some('\n') {
            self.line += 1;
        }
        self.at += 1;
    }

    fn take(&mut self, wanted: char) -> bool {
        let is_it = self.peek(0) == Some(wanted);
        if is_it {
            self.skip();
        }
        is_it
    }

    fn strange<T>(&self, what: &str) -> Result<T, Strange> {
        Err((self.line, what.to_owned()))
    }

    /// `> FILE`, `>> FILE`, `2>&1`, `< /dev/null`.
    fn redirection(
        &mut self,
        statement: &mut Statement,
        variables: &BTreeMap<String, Word>,
    ) -> Result<(), Strange> {
        let reads = self.take('<');
        if !reads {
            self.skip();
            let appends = self.take('>');
            // `>>&1` is no redirection: the shell stops there.
            if !appends && self.take('&') {
                let is_known = self.take('1') || self.take('2');
                return match self.peek(0) {
                    None | Some(' ' | '\t' | '\n' | ';') if is_known => Ok(()),
                    _ => self.strange("\">&\""),
                };
            }
        }
        while matches!(self.peek(0), Some(' ' | '\t')) {
            self.skip();
        }
        let mut target = Statement {
            line: self.line,
            ..Statement::default()
        };
        self.word(&mut target, variables)?;
        let target = target.words.first().cloned().unwrap_or_default();
        match reads {
            true if target.text().as_deref() == Some("/dev/null") => Ok(()),
            false if is_known(&target) && !target.shown().is_empty() => {
                statement.writes.push(target);
                Ok(())
            }
            _ => self.strange("a redirection from or to something that is not known"),
        }
    }

    /// One word; or the number before a redirection, which is none.
    fn word(&mut self, statement: &mut Statement, variables: &BTreeMap<String, Word>) -> Result<(), Strange> {
        let (line, begin) = (self.line, self.at);
        let mut reading = Reading {
            bare: Some(String::new()),
            ..Reading::default()
        };
        while let Some(next) = self.peek(0) {
            let is_first = self.at == begin;
            match next {
                ' ' | '\t' | '\n' | ';' | '&' | '>' | '<' if !is_first => break,
                // `word\`, and the next line begins with a blank: between words.
                '\\' if !is_first
                    && self.peek(1) == Some('\n')
                    && matches!(self.peek(2), Some(' ' | '\t')) =>
                {
                    break;
                }
                '\\' if self.peek(1) == Some(';') => {
                    self.skip();
                    reading.push(';', false);
                }
                '\'' | '"' => self.quoted(&mut reading, variables)?,
                '$' | '`' => self.put_in(&mut reading, (variables, false))?,
                '=' if statement.line == 0
                    && is_name(reading.bare.as_deref())
                    && reading.assigns.is_none() =>
                {
                    reading.assigns = reading.bare.take();
                    reading.word = Word::default();
                }
                '!' if is_first && self.ends_at(1) => reading.push('!', true),
                '{' if is_first && self.peek(1) == Some('}') && self.ends_at(2) => {
                    reading.push('{', true);
                    self.skip();
                    reading.push('}', true);
                }
                '~' if is_first && self.peek(1) == Some('/') => reading.push('~', true),
                '#' if is_first => return self.strange("\"#\""),
                letter if is_plain(letter) => reading.push(letter, true),
                letter => return self.strange(&format!("{letter:?}")),
            }
            self.skip();
        }
        if let Some(number) = reading.bare.filter(|_| matches!(self.peek(0), Some('>' | '<')))
            && !number.is_empty()
            && number.bytes().all(|byte| byte.is_ascii_digit())
        {
            return match statement.line > 0 && matches!(number.as_str(), "1" | "2") {
                true => Ok(()),
                false => self.strange(&format!("\"{number}>\"")),
            };
        }
        if statement.line == 0 {
            (statement.line, statement.assigns) = (line, reading.assigns);
        }
        statement.words.push(reading.word);
        Ok(())
    }

    /// Whether a word ends before the letter so far ahead.
    fn ends_at(&self, ahead: usize) -> bool {
        matches!(self.peek(ahead), None | Some(' ' | '\t' | '\n' | ';'))
    }

    /// What stands between quotes; ends on the closing one.
    fn quoted(&mut self, reading: &mut Reading, variables: &BTreeMap<String, Word>) -> Result<(), Strange> {
        let quote = self.peek(0).unwrap_or_default();
        reading.bare = None;
        loop {
            self.skip();
            match self.peek(0) {
                Some(next) if next == quote => return Ok(()),
                Some('$' | '`') if quote == '"' => self.put_in(reading, (variables, true))?,
                Some('\\') if quote == '"' => return self.strange("a backslash"),
                Some(letter) if is_printed(letter) => reading.push(letter, false),
                Some(letter) if !letter.is_control() => return self.strange(&format!("{letter:?}")),
                _ => return self.strange("a quoted text of several lines"),
            }
        }
    }

    /// `$NAME`, `${NAME}`, `$1`, `$(date ...)`, `` `date ...` ``; ends on its last letter.
    fn put_in(
        &mut self,
        reading: &mut Reading,
        (variables, is_quoted): (&BTreeMap<String, Word>, bool),
    ) -> Result<(), Strange> {
        reading.bare = None;
        let is_backquoted = self.peek(0) == Some('`');
        if is_backquoted || self.peek(1) == Some('(') {
            self.at += if is_backquoted { 1 } else { 2 };
            // What quotes mean between backquotes between quotes, shells do not agree on.
            let refused = if is_backquoted && is_quoted { "\"'" } else { "" };
            return self.date(
                (reading, variables),
                if is_backquoted { '`' } else { ')' },
                refused,
            );
        }
        let is_braced = self.peek(1) == Some('{');
        self.at += if is_braced { 2 } else { 1 };
        let mut name = String::new();
        while let Some(letter) = self
            .peek(0)
            .filter(|one| *one == '_' || one.is_ascii_alphanumeric())
        {
            name.push(letter);
            self.at += 1;
            if name.len() == 1 && letter.is_ascii_digit() {
                break;
            }
        }
        if name.is_empty() && !is_braced {
            name.extend(self.peek(0).filter(|one| "?#@*$!".contains(*one)));
            self.at += name.len();
        }
        let is_whole = !name.is_empty() && (!is_braced || self.peek(0) == Some('}'));
        if !is_whole {
            return self.strange("a \"$\" before more than a plain name");
        }
        self.at -= usize::from(!is_braced);
        let Some(value) = variables.get(&name) else {
            reading.word.push(Piece::Unknown(variable_shown(&name)));
            return Ok(());
        };
        let is_taken_apart =
            |piece: &Piece| matches!(piece, Piece::Text(text) if !text.chars().all(is_plain));
        if !is_quoted && reading.assigns.is_none() && value.0.iter().any(is_taken_apart) {
            return self.strange(&format!("${name} without quotes, which the shell takes apart,"));
        }
        value.0.iter().for_each(|piece| reading.word.push(piece.clone()));
        Ok(())
    }

    /// `date` as it is understood, up to what ends it; of variables it takes those that hold a number.
    fn date(
        &mut self,
        (reading, variables): (&mut Reading, &BTreeMap<String, Word>),
        end: char,
        refused: &str,
    ) -> Result<(), Strange> {
        let mut inner = String::new();
        while let Some(letter) = self.peek(0).filter(|letter| *letter != end) {
            if !is_printed(letter) || "`\\<>|&;()#*?[]~!^".contains(letter) || refused.contains(letter) {
                break;
            }
            inner.push(letter);
            self.at += 1;
        }
        let value = |name: &str| variables.get(name).and_then(Word::text);
        let inner = with_numbers(&inner, &value);
        let is_whole = self.peek(0) == Some(end) && !inner.contains(['$', '{', '}']);
        let day = read_plain_date(&inner).filter(|day| is_whole && day.format.chars().all(is_plain));
        match day {
            Some(day) => reading.word.push(Piece::Day(day)),
            None => return self.strange("the output of a command other than a plain \"date\""),
        }
        Ok(())
    }
}

/// A letter that means nothing but itself, wherever it stands in a word.
fn is_plain(letter: char) -> bool {
    match letter.is_ascii() {
        true => letter.is_ascii_alphanumeric() || "_-./,:=+%@#".contains(letter),
        false => !letter.is_whitespace() && is_printed(letter),
    }
}

/// Not what stands for bytes that are no UTF-8: which they are is not known.
fn is_printed(letter: char) -> bool {
    !letter.is_control() && letter != char::REPLACEMENT_CHARACTER
}

fn is_name(text: Option<&str>) -> bool {
    text.is_some_and(|text| {
        !text.is_empty()
            && !text.starts_with(|first: char| first.is_ascii_digit())
            && text.chars().all(|one| one == '_' || one.is_ascii_alphanumeric())
    })
}

/// Whether nothing in a word is left to be put in.
pub(super) fn is_known(word: &Word) -> bool {
    word.0
        .iter()
        .all(|piece| matches!(piece, Piece::Text(_) | Piece::Day(_)))
}
