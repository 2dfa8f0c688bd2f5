//! A second reader of the same text: a parser that others wrote and keep has to see the same commands in the same places.
//!
//! What a shell makes of a text is easily read otherwise, and nothing tells. Two readers that were written apart seldom
//! err alike.

use super::{Part, RawCommand, RawWord, Reader, plain};
use brush_parser::ast::{
    AndOrList, Command, CommandPrefixOrSuffixItem, CompoundCommand, CompoundList, FunctionDefinition,
    Pipeline, SimpleCommand,
};
use brush_parser::{ParseError, Parser, ParserOptions, SourceInfo, TokenizerError};

/// Larger texts are no backup script's. Bytes.
const MOST_BYTES: usize = 256 << 10;
/// Brackets in brackets: each may double the time that the parser takes.
const DEEPEST_BRACKETS: usize = 12;
/// Blocks in blocks: it goes down with each.
const DEEPEST_BLOCKS: usize = 40;
/// Of `case`, whose last arm it reads up to three times.
const DEEPEST_CASES: usize = 10;
/// What it may need for that. Bytes, of which none is taken before it is needed.
const STACK: usize = 64 << 20;

/// A command as the parser sees it.
struct Seen {
    /// As they stand in the text.
    words: Vec<String>,
    /// Of `[[ ... ]]` and `(( ... ))` what stands between is a language of its own.
    is_test: bool,
    /// See [`RawCommand::around`].
    around: String,
    function: Option<String>,
    is_piped: bool,
}

/// The line from which on the two do not agree: the parser refuses the text, or sees another command.
pub(super) fn first_difference(text: &str, first: usize, commands: &[RawCommand]) -> Option<usize> {
    if text.len() > MOST_BYTES || is_deep(text) {
        return Some(first);
    }
    let seen = match read(text) {
        Ok(seen) => seen,
        Err(line) => return Some(first + line.saturating_sub(1)),
    };
    let is_head = |command: &&RawCommand| command.words.first().and_then(plain).as_deref() == Some("case");
    let mut ours = commands.iter().filter(|command| !is_head(command));
    let mut line = first;
    for seen in &seen {
        let Some(command) = ours.next() else {
            return Some(line);
        };
        line = command.line;
        if !seen.is_like(command) {
            return Some(line);
        }
    }
    ours.next().map(|command| command.line)
}

/// The commands in their order; the line that the parser refuses.
fn read(text: &str) -> Result<Vec<Seen>, usize> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK);
        let reading = thread.spawn_scoped(scope, || parse(text)).map_err(|_| 1_usize)?;
        reading.join().unwrap_or(Err(1))
    })
}

fn parse(text: &str) -> Result<Vec<Seen>, usize> {
    let options = ParserOptions {
        // As in scripts that do not ask for it.
        enable_extended_globbing: false,
        ..ParserOptions::default()
    };
    let text = without_braces(text);
    let mut parser = Parser::new(text.as_bytes(), &options, &SourceInfo::default());
    let last = text.lines().count().max(1);
    let program = parser.parse_program();
    let program = program.map_err(|error| refused_at(error).unwrap_or(last).min(last))?;
    let mut walk = Walk::default();
    program.complete_commands.iter().for_each(|list| walk.list(list));
    Ok(walk.seen)
}

/// `<<EOF > ${file}` with `$file`, which is the same: the parser loses count at the brace.
fn without_braces(text: &str) -> String {
    let mut lines = Vec::new();
    for line in text.split('\n') {
        let Some((before, after)) = line.split_once("<<") else {
            lines.push(line.to_owned());
            continue;
        };
        let mut whole = format!("{before}<<");
        let mut rest = after;
        while let Some((before, after)) = rest.split_once("${") {
            let is_of_name = |letter: char| letter == '_' || letter.is_ascii_alphanumeric();
            let end = after.find(|letter| !is_of_name(letter)).unwrap_or(after.len());
            let behind = after[end..].strip_prefix('}');
            let is_plain = end > 0 && behind.is_some_and(|behind| !behind.starts_with(is_of_name));
            whole.push_str(before);
            whole.push_str(if is_plain { "$" } else { "${" });
            whole.push_str(&after[..end]);
            rest = behind.filter(|_| is_plain).unwrap_or(&after[end..]);
        }
        whole.push_str(rest);
        lines.push(whole);
    }
    lines.join("\n")
}

/// The line, where the parser knows it.
fn refused_at(error: ParseError) -> Option<usize> {
    use TokenizerError::{UnterminatedBackquote, UnterminatedDoubleQuote, UnterminatedSingleQuote};
    match error {
        ParseError::ParsingNearToken(token) => Some(token.location().start.line),
        // Where it begins.
        ParseError::Tokenizing {
            inner: UnterminatedBackquote(at) | UnterminatedDoubleQuote(at) | UnterminatedSingleQuote(at),
            ..
        } => Some(at.line),
        ParseError::Tokenizing { position, .. } => position.map(|position| position.line),
        ParseError::ParsingAtEndOfInput => None,
    }
}

/// Whether brackets or blocks stand in one another beyond what a person writes.
fn is_deep(text: &str) -> bool {
    const OPENS: [&str; 8] = ["if", "while", "until", "for", "case", "select", "{", "coproc"];
    const CLOSES: [&str; 4] = ["fi", "done", "esac", "}"];
    const BEFORE: [&str; 12] = [
        "then", "do", "else", "elif", "if", "while", "until", "!", "{", "coproc", "&&", "||",
    ];
    let (mut blocks, mut cases, mut negations) = (Depth::default(), Depth::default(), Depth::default());
    for line in text.lines().filter(|line| !line.trim_start().starts_with('#')) {
        let mut is_first = true;
        for word in line.split_whitespace() {
            let bare = word.trim_end_matches(';');
            blocks.count(
                is_first && OPENS.contains(&bare),
                is_first && CLOSES.contains(&bare),
            );
            match bare {
                "!" => negations.count(true, false),
                "\\" => {}
                _ => negations.now = 0,
            }
            is_first = BEFORE.contains(&bare) || word.ends_with([';', '|', '&', '(', ')']);
        }
        for word in line.split(|letter: char| !letter.is_alphanumeric() && letter != '_') {
            cases.count(word == "case", word == "esac");
        }
    }
    let (mut brackets, mut braces) = (Depth::default(), Depth::default());
    for letter in text.chars() {
        brackets.count(letter == '(', letter == ')');
        braces.count(matches!(letter, '{' | '['), matches!(letter, '}' | ']'));
    }
    let blocks = [blocks, negations, braces];
    blocks.iter().any(|depth| depth.most > DEEPEST_BLOCKS)
        || brackets.most > DEEPEST_BRACKETS
        || cases.most > DEEPEST_CASES
}

/// How many are open.
#[derive(Default)]
struct Depth {
    now: usize,
    most: usize,
}

impl Depth {
    fn count(&mut self, opens: bool, closes: bool) {
        if opens {
            self.now += 1;
            self.most = self.most.max(self.now);
        } else if closes {
            self.now = self.now.saturating_sub(1);
        }
    }
}

/// Goes through what was parsed.
#[derive(Default)]
struct Walk {
    seen: Vec<Seen>,
    around: String,
    function: Option<String>,
}

impl Walk {
    fn list(&mut self, list: &CompoundList) {
        for item in &list.0 {
            self.and_or(&item.0);
        }
    }

    fn and_or(&mut self, list: &AndOrList) {
        for (at, (_, pipeline)) in list.iter().enumerate() {
            let before = self.around.len();
            if at > 0 {
                self.around.push('&');
            }
            self.pipeline(pipeline);
            self.around.truncate(before);
        }
    }

    fn pipeline(&mut self, pipeline: &Pipeline) {
        for (at, command) in pipeline.seq.iter().enumerate() {
            let is_piped = at + 1 < pipeline.seq.len();
            let is_timed = at == 0 && pipeline.timed.is_some();
            match command {
                Command::Simple(simple) => self.simple(simple, is_timed, is_piped),
                Command::ExtendedTest(_) => self.see(vec!["[[".to_owned()], true, is_piped),
                Command::Function(function) => self.function(function),
                // What is timed as a whole is read as something else.
                Command::Compound(..) if is_timed => self.see(Vec::new(), false, is_piped),
                Command::Compound(compound, _) => self.compound(compound, is_piped),
            }
        }
    }

    fn see(&mut self, words: Vec<String>, is_test: bool, is_piped: bool) {
        self.seen.push(Seen {
            words,
            is_test,
            around: self.around.clone(),
            function: self.function.clone(),
            is_piped,
        });
    }

    fn simple(&mut self, simple: &SimpleCommand, is_timed: bool, is_piped: bool) {
        let word = |item: &CommandPrefixOrSuffixItem| match item {
            CommandPrefixOrSuffixItem::IoRedirect(_) => None,
            CommandPrefixOrSuffixItem::Word(word) | CommandPrefixOrSuffixItem::AssignmentWord(_, word) => {
                Some(word.value.clone())
            }
            CommandPrefixOrSuffixItem::ProcessSubstitution(..) => Some("<(x)".to_owned()),
        };
        let time = is_timed.then(|| "time".to_owned());
        let before = simple.prefix.iter().flat_map(|prefix| &prefix.0).filter_map(word);
        let name = simple.word_or_name.iter().map(|name| name.value.clone());
        let after = simple.suffix.iter().flat_map(|suffix| &suffix.0).filter_map(word);
        let words: Vec<String> = time.into_iter().chain(before).chain(name).chain(after).collect();
        // Redirections alone are no command.
        if !words.is_empty() {
            self.see(words, false, is_piped);
        }
    }

    fn function(&mut self, function: &FunctionDefinition) {
        let name = plain_text(&function.fname.value);
        let outer = std::mem::replace(&mut self.function, name);
        self.compound(&function.body.0, false);
        self.function = outer;
    }

    fn compound(&mut self, compound: &CompoundCommand, is_piped: bool) {
        match compound {
            CompoundCommand::Arithmetic(_) => self.see(vec!["let".to_owned()], true, is_piped),
            CompoundCommand::BraceGroup(group) => self.within('g', &group.list),
            CompoundCommand::Subshell(group) => self.within('s', &group.list),
            CompoundCommand::ForClause(each) => {
                let mut words = vec!["for".to_owned(), each.variable_name.clone()];
                if let Some(values) = &each.values {
                    words.push("in".to_owned());
                    words.extend(values.iter().map(|word| word.value.clone()));
                }
                self.see(words, false, false);
                self.within('d', &each.body.list);
            }
            CompoundCommand::CaseClause(case) => {
                let arms = case.cases.iter().filter_map(|arm| arm.cmd.as_ref());
                arms.for_each(|arm| self.within('c', arm));
            }
            CompoundCommand::IfClause(clause) => {
                self.within('i', &clause.condition);
                self.within('t', &clause.then);
                for other in clause.elses.iter().flatten() {
                    if let Some(condition) = &other.condition {
                        self.within('i', condition);
                    }
                    self.within('t', &other.body);
                }
            }
            CompoundCommand::WhileClause(clause) | CompoundCommand::UntilClause(clause) => {
                self.within('w', &clause.0);
                self.within('d', &clause.1.list);
            }
            // Is read as something else.
            CompoundCommand::ArithmeticForClause(_) => self.see(Vec::new(), false, is_piped),
        }
    }

    fn within(&mut self, block: char, list: &CompoundList) {
        self.around.push(block);
        self.list(list);
        self.around.pop();
    }
}

impl Seen {
    fn is_like(&self, command: &RawCommand) -> bool {
        let of_test = if self.is_test { 1 } else { command.words.len() };
        let words = &command.words[..of_test.min(command.words.len())];
        self.around == command.around
            && self.function == command.function
            && self.is_piped == command.is_piped
            && self.words.len() == words.len()
            && !words.is_empty()
            && self
                .words
                .iter()
                .zip(words)
                .all(|(seen, word)| reread(seen).is_some_and(|seen| signature(&seen) == signature(word)))
    }
}

/// A word of the text, alone.
fn reread(text: &str) -> Option<RawWord> {
    let (commands, _) = Reader::read_text(&format!("x {text}"), 1);
    match commands.as_slice() {
        [command] => match command.words.as_slice() {
            [_, word] => Some(word.clone()),
            _ => None,
        },
        _ => None,
    }
}

fn plain_text(text: &str) -> Option<String> {
    reread(text).as_ref().and_then(plain)
}

/// What of a word has to be the same: of what stands in brackets the parser keeps no blanks and no remarks.
fn signature(word: &RawWord) -> String {
    let part = |part: &Part| match part {
        Part::Text(text) => text.clone(),
        Part::Variable { name, .. } => {
            let is_of_name = |letter: &char| *letter == '_' || letter.is_ascii_alphanumeric();
            format!("\0${}", name.chars().take_while(is_of_name).collect::<String>())
        }
        Part::Output { .. } => "\0(".to_owned(),
    };
    word.iter().map(part).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn difference(text: &str) -> Option<usize> {
        let (commands, _) = Reader::read_text(text, 1);
        first_difference(text, 1, &commands)
    }

    #[test]
    fn what_both_readers_see_is_agreed_upon() {
        for text in [
            "",
            "#!/bin/bash\n\n# it's\na b; c && d || e | f\n",
            "A=1 B=$(x \"y z\") a \"$B\" ${C:-d} >> /x 2>&1 < /y &",
            "if a; then b; elif c; then d; else e; fi",
            "if [ \"$x\" -gt 0 ]\nthen\n a && b\nfi || c",
            "while read f; do a \"$f\"; done < /list\nuntil b; do c; done",
            "for i in 1 2 `x`; do a $i; done && b\nfor j; do c; done\nfor k do d; done",
            "a <<EOF > ${x}/y 2>> \"${z}\" | b -\nc ${x\nEOF\nd",
            "case $1 in\n a|b) c;;\n (d) e; f ;;\n *) ;;\nesac\ng",
            "case $1 in a) b;; esac; c",
            "f() { a; b || exit 1; }\nf x",
            "function f {\n a\n}\nfunction g() { b; }\nfunction h () ( c )\nf() if a; then b; fi",
            "(a; b) | { c; d; } && e",
            "! a && ! { b; }",
            "cat <<EOF > /x\nit's $(not \"read\nEOF\na <<-'E' b\n\tE\nc",
            "[[ -f /x && ! -d /y || $z =~ ^a(b|c) ]] && a",
            "(( a = 1 << 3 )) && b",
            "D=(a b\n c) ; D+=(d)\na",
            "x=\"${1//\\\"/}\" ; [ -f /etc/master ] || exit 0 ; y=\"${2//\\\"/}\"",
            "x=$(hostname | sed s/\\'//g) ; a ; y=$(hostname | sed s/\\'//g)",
            "x=\"$(a \"b c\" $(d 'e)'))\"; f",
            "a \\\n  b \\\n && c",
            "a 2>/dev/null |& b &> /y",
            "time a b",
            "{ a; } > /x 2>&1",
            "a < <(b | c)\nd",
            "echo \"a\\\"b\" 'c d' e\\ f $'g' $(( 1 + 2 )) $# ${#x}",
            "find /b -name '*.gz' ! -name \"*-01\" -exec rm -r {} \\;",
            "ps -ef | grep -v grep | wc -l\nexec 9>/x\nflock -n 9 || exit",
            "a;\n\n\nb # c ' d\nc#d",
            "trap 'a; b' EXIT INT\nset -euo pipefail",
        ] {
            assert_eq!(difference(text), None, "{text}");
        }
    }

    #[test]
    fn what_one_of_them_reads_otherwise_is_named_with_its_line() {
        for (text, line) in [
            ("a\nb \"open", 2),
            ("a\n\n$(open", 3),
            ("a\nfi", 2),
            ("a\nif b; then\nc", 3),
            ("a\nselect x in y; do b; done", 2),
            ("a\ntime { b; }", 2),
            ("a\nfor ((i=0; i<3; i++)); do b; done", 2),
            ("a\nb\r\n\r\nc", 4),
            ("a\n\"if\" b", 2),
            ("a\ncase x in @(y|z)) b;; esac", 2),
            ("a\nb )", 2),
            ("x\n((((((((((((((((((((((((((((((((((((((((\n", 1),
        ] {
            let found = difference(text);
            assert!(found.is_some(), "{text}");
            assert_eq!(found, Some(line), "{text}");
        }
        assert!(difference(&"$(".repeat(5_000)).is_some());
        assert!(difference(&"if ".repeat(5_000)).is_some());
        assert!(difference(&"f() {\n".repeat(5_000)).is_some());
        assert!(difference(&"${".repeat(5_000)).is_some());
        assert!(difference(&format!("x=\"\n#{}", "${".repeat(5_000))).is_some());
        assert!(difference(&"$[".repeat(5_000)).is_some());
        assert!(difference(&format!("[[ {}x ]]", "! \\\n".repeat(5_000))).is_some());
        let blocks = |count| format!("{}b{}", "if a; then\n".repeat(count), "\nfi".repeat(count));
        assert_eq!(difference(&blocks(40)), None);
        assert!(difference(&blocks(41)).is_some());
        assert!(difference(&"a\n".repeat(200_000)).is_some());
        // What the parser may read more than once is bounded.
        let nested = |count| format!("{}b{}", "case x in a) ".repeat(count), "\nesac".repeat(count));
        assert_eq!(difference(&nested(10)), None);
        assert!(difference(&nested(40)).is_some());
        assert!(difference(&nested(10).replacen("esac", "", 1)).is_some());
        assert!(difference(&format!("{}{}", "(".repeat(12), "a b c\n".repeat(50))).is_some());
    }

    proptest::proptest! {
        #[test]
        fn whatever_is_put_together_of_usual_parts_is_agreed_upon(
            parts in proptest::collection::vec(
                "(a b|c=\"\\$d e\"|\\[ -f /x \\] && f|g \\|\\| exit 1|if h; then i; fi|for j in k l; do m \\$j; done|n\\(\\) \\{ o; \\}|function p\\(\\) \\{ q; \\}|\\(r; s\\)|t \\| u|v > /w 2>&1|# it's|x=\\$\\(y \"z\"\\)|case \\$1 in \\(a\\) b;; c\\) d;; esac|while e; do f; done|\\[\\[ \\$g == h && i ]]|x=\"\\$\\{1//\\\\\"/\\}\")",
                0..12,
            )
        ) {
            let text = parts.join("\n");
            proptest::prop_assert_eq!(difference(&text), None, "{}", text);
        }
    }
}
