//! Shell scripts, read as far as backup scripts go: commands, their words, what is quoted, what is a variable.
//!
//! Nothing is run. Of each command it is told under which conditions it stands (`blocks.rs`). A second reader has to agree
//! (`agreement.rs`).

mod agreement;
mod blocks;
mod functions;
mod nested;
mod redirections;

use blocks::Blocks;
pub(super) use functions::Bodies;
use std::rc::Rc;

/// A part of a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// As it stands.
    Text(String),
    /// `$name`, `${name}`.
    Variable {
        name: String,
        /// Otherwise the shell takes what is put in apart at its blanks.
        is_quoted: bool,
    },
    /// `` `command` ``, `$(command)`.
    Output { text: String, is_quoted: bool },
}

/// A word before variables are put in.
pub(super) type RawWord = Vec<Part>;

/// One simple command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct RawCommand {
    /// Of its first word, from 1.
    pub(super) line: usize,
    /// Without redirections.
    pub(super) words: Vec<RawWord>,
    /// Files that it writes; also those of commands before it that have no words.
    pub(super) targets: Vec<RawWord>,
    /// Files that it reads, in the same way.
    pub(super) sources: Vec<RawWord>,
    /// Whether it reads from a file that may not be there.
    pub(super) reads: bool,
    /// Whether the next command reads what this one writes.
    pub(super) is_piped: bool,
    /// `! command`
    pub(super) is_negated: bool,
    /// What must hold for it to be run.
    pub(super) under: Vec<Rc<Condition>>,
    /// The function that it is part of.
    pub(super) function: Option<String>,
    /// The shells of their own that it stands in, the outermost first: `( ... )`, a part of a pipe, `&`.
    pub(super) within: Vec<usize>,
    /// The loops that it stands in, the outermost first.
    pub(super) loops: Vec<usize>,
    /// Whether its failure ends nothing under `set -e`: something asks how it ended.
    pub(super) is_tested: bool,
    /// Which of the text's commands it is.
    pub(super) number: usize,
    /// What it stands in, the outermost first, a letter each; `&` before what comes after `&&` or `||`.
    pub(super) around: String,
}

/// What a command is run under: a test, or a command before it, and how that ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Condition {
    /// Where it stands, from 1.
    pub(super) line: usize,
    /// The test's last command; none of it where the test is more than one, or none at all: `case`, a group.
    pub(super) test: Vec<RawWord>,
    /// Whether the test has to succeed, or to fail.
    pub(super) holds: bool,
    /// It is in a function that nobody calls.
    pub(super) is_never: bool,
}

/// Words that say when a command runs, and are none themselves.
const KEYWORDS: [&str; 13] = [
    "if", "then", "else", "elif", "fi", "do", "done", "while", "until", "!", "{", "}", "esac",
];

/// How a command ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// `;`, the line.
    Plain,
    /// `&`
    Aside,
    /// `|`
    Pipe,
    /// `&&`
    And,
    /// `||`
    Or,
}

/// Reads a script. `first` is the number of its first line.
pub(super) fn read_shell(text: &str, first: usize) -> Vec<RawCommand> {
    let (commands, functions) = Reader::read_text(text, first);
    functions::call_functions(commands, &functions)
}

/// What the functions of a script do.
pub(super) fn read_functions(text: &str) -> Bodies {
    let (commands, functions) = Reader::read_text(text, 1);
    functions::bodies(&commands, &functions)
}

/// The line from which on it is not certain that a shell reads the text so.
pub(super) fn unclear_from(text: &str, first: usize) -> Option<usize> {
    let (commands, _) = Reader::read_text(text, first);
    agreement::first_difference(text, first, &commands)
}

struct Reader<'t> {
    rest: std::iter::Peekable<std::str::Chars<'t>>,
    line: usize,
    commands: Vec<RawCommand>,
    command: RawCommand,
    /// The word that is being read; a quoted empty word is one, too.
    word: Option<RawWord>,
    /// Whether the next word is where something is read from or written to.
    redirects: bool,
    /// Whether it is a file that something is read from.
    reads: bool,
    /// Within `"`.
    is_quoted: bool,
    /// What ends the texts that begin on the next line, and whether tabs may stand before it.
    heredocs: Vec<(String, bool)>,
    /// The next word is such an end, with that.
    heredoc: Option<bool>,
    /// The first command of the list that is being read.
    list: usize,
    /// Names of functions.
    functions: Vec<String>,
    blocks: Blocks,
}

impl<'t> Reader<'t> {
    /// The commands in the order in which they stand in the text, and the names of functions.
    fn read_text(text: &'t str, first: usize) -> (Vec<RawCommand>, Vec<String>) {
        let mut reader = Self {
            rest: text.chars().peekable(),
            line: first,
            commands: Vec::new(),
            command: RawCommand::default(),
            word: None,
            redirects: false,
            reads: false,
            is_quoted: false,
            heredocs: Vec::new(),
            heredoc: None,
            list: 0,
            functions: Vec::new(),
            blocks: Blocks::default(),
        };
        reader.read();
        (reader.commands, reader.functions)
    }

    fn next(&mut self) -> Option<char> {
        let next = self.rest.next();
        if next == Some('\n') {
            self.line += 1;
        }
        next
    }

    fn take(&mut self, wanted: char) -> bool {
        let is_it = self.rest.peek() == Some(&wanted);
        if is_it {
            self.next();
        }
        is_it
    }

    fn read(&mut self) {
        while let Some(next) = self.next() {
            match next {
                '\n' | '&' | '|' | '<' | '>' | '(' | ')' if self.is_in_test() => self.test_sign(next),
                '\n' => {
                    self.end_command(End::Plain);
                    self.skip_heredocs();
                }
                ' ' | '\t' | '\r' => self.end_word(),
                '#' if self.word.is_none() => {
                    while self.rest.peek().is_some_and(|next| *next != '\n') {
                        self.next();
                    }
                }
                '(' if self.is_pattern() || self.is_array() || self.is_arithmetic() || self.is_function() => {
                }
                ';' => {
                    self.end_command(End::Plain);
                    if self.take(';') || self.take('&') {
                        self.take('&');
                        self.blocks.end_arm();
                    }
                }
                '(' => {
                    self.end_command(End::Plain);
                    self.blocks.open_group(true);
                }
                ')' => self.close(),
                '&' => {
                    if self.take('>') {
                        self.take('>');
                        self.end_word();
                        self.redirects = true;
                    } else {
                        let is_and = self.take('&');
                        self.end_command(if is_and { End::And } else { End::Aside });
                    }
                }
                '|' => {
                    let is_or = self.take('|');
                    // `|&`
                    let _ = is_or || self.take('&');
                    self.end_command(if is_or { End::Or } else { End::Pipe });
                }
                '>' | '<' => self.redirect(next),
                '\\' => match self.next() {
                    Some('\n') | None => {}
                    Some(literal) => self.push(literal),
                },
                '\'' => {
                    self.part();
                    while let Some(next) = self.next().filter(|next| *next != '\'') {
                        self.push(next);
                    }
                }
                '"' => self.double_quoted(),
                '$' => self.dollar(),
                '`' => self.backticks(),
                _ => self.push(next),
            }
        }
        self.end_command(End::Plain);
        if let Some(last) = self.commands.last_mut() {
            last.targets.append(&mut self.command.targets);
            last.sources.append(&mut self.command.sources);
        }
    }

    /// `)`: of a pattern of `case`, or of a group.
    fn close(&mut self) {
        if self.is_case() {
            let line = self.command.line;
            self.command = RawCommand::default();
            self.word = None;
            self.blocks.open_case(line);
            self.blocks.begin_arm();
        } else if self.blocks.awaits_pattern() {
            self.command = RawCommand::default();
            self.word = None;
            self.blocks.begin_arm();
        } else {
            self.end_command(End::Plain);
            self.blocks.close_group();
        }
    }

    /// `case WORD in`, with whatever follows it.
    fn is_case(&self) -> bool {
        self.command.words.first().and_then(plain).as_deref() == Some("case")
    }

    /// `name() {`, `function name() {`: takes the definition's head out. What the function does counts where it is called.
    fn is_function(&mut self) -> bool {
        let mut after = self.rest.clone().skip_while(|next| [' ', '\t'].contains(next));
        if after.next() != Some(')') {
            return false;
        }
        let name = match (self.word.as_ref(), self.command.words.as_slice()) {
            (Some(word), []) => plain(word),
            (None, [word]) => plain(word),
            (Some(word), [first]) if is_word_function(first) => plain(word),
            // `function name` has been taken out.
            (None, []) => self.blocks.named_function(),
            _ => None,
        };
        let Some(name) = name.filter(|name| !name.contains('=')) else {
            return false;
        };
        while self.next().is_some_and(|next| next != ')') {}
        self.word = None;
        self.define(name);
        true
    }

    /// `for NAME`
    fn is_for_head(&self) -> bool {
        matches!(self.command.words.as_slice(), [first, _] if plain(first).as_deref() == Some("for"))
    }

    /// The next block is the body of this function.
    fn define(&mut self, name: String) {
        self.command.words.clear();
        if self.blocks.named_function().as_ref() != Some(&name) {
            self.functions.push(name.clone());
        }
        self.blocks.name_function(name);
    }

    fn dollar(&mut self) {
        let Some(next) = self.rest.peek().copied() else {
            return self.push('$');
        };
        let is_quoted = self.is_quoted;
        let name = match next {
            '(' => {
                self.next();
                let text = self.until_closed('(', ')');
                return self.part().push(Part::Output { text, is_quoted });
            }
            '{' => {
                self.next();
                self.until_closed('{', '}')
            }
            '_' | 'a'..='z' | 'A'..='Z' => {
                let mut name = String::new();
                while let Some(next) = self
                    .rest
                    .peek()
                    .filter(|next| **next == '_' || next.is_ascii_alphanumeric())
                {
                    name.push(*next);
                    self.next();
                }
                // Its name goes on in the next line.
                if self.rest.clone().take(2).eq(['\\', '\n']) {
                    name.push('\\');
                }
                name
            }
            '0'..='9' | '@' | '*' | '#' | '?' | '$' | '!' | '-' => {
                self.next();
                next.to_string()
            }
            _ => return self.push('$'),
        };
        self.part().push(Part::Variable { name, is_quoted });
    }

    /// The word that is being read, begun where there is none.
    fn part(&mut self) -> &mut RawWord {
        if self.word.is_none() && self.command.words.is_empty() && !self.redirects {
            self.command.line = self.line;
        }
        self.word.get_or_insert_default()
    }

    fn push(&mut self, literal: char) {
        let word = self.part();
        match word.last_mut() {
            Some(Part::Text(text)) => text.push(literal),
            _ => word.push(Part::Text(literal.to_string())),
        }
    }

    fn end_word(&mut self) {
        let Some(word) = self.word.take() else { return };
        if std::mem::take(&mut self.redirects) {
            self.end_target(&word);
            return;
        }
        if self.is_for_head() && plain(&word).as_deref() == Some("do") {
            // `for NAME do`
            self.end_command(End::Plain);
        }
        let keyword = self
            .command
            .words
            .is_empty()
            .then(|| plain(&word))
            .flatten()
            .filter(|text| KEYWORDS.contains(&text.as_str()));
        match keyword.as_deref() {
            Some("!") => self.command.is_negated = true,
            Some(keyword) => self.blocks.keyword(keyword, self.command.line),
            None => self.command.words.push(word),
        }
        if let [first, name] = self.command.words.as_slice()
            && is_word_function(first)
            && let Some(name) = plain(name)
        {
            self.define(name);
        }
    }

    fn end_command(&mut self, end: End) {
        self.end_word();
        self.redirects = false;
        let mut command = std::mem::take(&mut self.command);
        command.is_piped = end == End::Pipe;
        if command.words.is_empty() {
            self.command.targets = std::mem::take(&mut command.targets);
            self.command.sources = std::mem::take(&mut command.sources);
            if let Some((first, depth)) = self.blocks.end_nothing(end) {
                self.set_aside(first, depth);
            }
            return;
        }
        if self.blocks.awaits_pattern() {
            // `a|b)`
            return;
        }
        match command.words.first().and_then(plain).as_deref() {
            Some("case") => {
                self.blocks.tell(&mut command);
                self.blocks.open_case(command.line);
            }
            Some("for" | "select") => {
                self.blocks.tell(&mut command);
                self.blocks.open_for(command.line);
            }
            _ => self.blocks.place(&mut command, end),
        }
        command.number = self.commands.len();
        self.commands.push(command);
        self.blocks.count = self.commands.len();
        match end {
            End::Aside => {
                self.set_aside(self.list, self.blocks.shells());
                self.list = self.commands.len();
            }
            End::Plain => self.list = self.commands.len(),
            End::Pipe | End::And | End::Or => {}
        }
    }

    /// The commands from this one on are in a shell of their own, within so many others.
    fn set_aside(&mut self, first: usize, depth: usize) {
        let shell = self.blocks.new_shell();
        for command in self.commands.iter_mut().skip(first) {
            let at = depth.min(command.within.len());
            command.within.insert(at, shell);
        }
    }
}

/// `function`, which a name follows.
fn is_word_function(word: &RawWord) -> bool {
    plain(word).as_deref() == Some("function")
}

/// A word's text where nothing in it has to be put in.
pub(super) fn plain(word: &RawWord) -> Option<String> {
    word.iter()
        .map(|part| match part {
            Part::Text(text) => Some(text.as_str()),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests;
