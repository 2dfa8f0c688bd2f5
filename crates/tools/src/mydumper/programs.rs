//! Files that hold routines, events and triggers: whether they are whole, and what they create. Pure.
//!
//! Bodies hold statements of their own, so neither a statement's end nor a word in them says anything. But each object
//! is followed by three `SET` that restore what three `SET` before it have kept (mydumper 0.10 and 1.0).

/// A kind of object, as it is named in CREATE.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Procedure,
    Function,
    Event,
    Trigger,
}

impl Kind {
    /// As the inventory calls it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Procedure => "procedure",
            Self::Function => "function",
            Self::Event => "event",
            Self::Trigger => "trigger",
        }
    }
}

const KINDS: [(&str, Kind); 4] = [
    ("PROCEDURE", Kind::Procedure),
    ("FUNCTION", Kind::Function),
    ("EVENT", Kind::Event),
    ("TRIGGER", Kind::Trigger),
];
const KEPT: &str = "@PREV_COLLATION_CONNECTION";
const RESTORED: &str = "SET collation_connection = @PREV_COLLATION_CONNECTION;\n";
/// Words before the kind: CREATE OR REPLACE DEFINER = `a` @ `b` SQL SECURITY INVOKER AGGREGATE.
const MAX_WORDS_BEFORE: usize = 16;

/// Whether the text ends where mydumper ends it.
pub(super) fn is_whole(text: &str) -> bool {
    text.ends_with(if text.contains(KEPT) { RESTORED } else { ";\n" })
}

/// What the statements create that begin a line.
pub(super) fn created(text: &str) -> Vec<(Kind, String)> {
    text.split_inclusive('\n')
        .scan(0, |at, line| {
            let begin = *at;
            *at += line.len();
            Some(begin)
        })
        .filter_map(|begin| created_at(&text[begin..]))
        .collect()
}

/// Whether one of the created is this. The server compares names of routines and events without regard to case.
pub(super) fn holds(created: &[(Kind, String)], kind: Kind, name: &str) -> bool {
    created
        .iter()
        .any(|(of, one)| *of == kind && (one == name || one.to_lowercase() == name.to_lowercase()))
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token<'a> {
    Word(&'a str),
    Quoted(String),
    Other(char),
}

impl Token<'_> {
    fn is(&self, keyword: &str) -> bool {
        matches!(self, Token::Word(word) if word.eq_ignore_ascii_case(keyword))
    }
}

fn created_at(text: &str) -> Option<(Kind, String)> {
    let mut rest = text;
    if !next(&mut rest)?.is("CREATE") {
        return None;
    }
    let kind = (0..MAX_WORDS_BEFORE)
        .map_while(|_| next(&mut rest))
        .find_map(|token| {
            KINDS
                .iter()
                .find(|(word, _)| token.is(word))
                .map(|(_, kind)| *kind)
        })?;
    let mut name = next(&mut rest)?;
    if name.is("IF") {
        let mut condition = rest;
        if next(&mut condition)?.is("NOT") && next(&mut condition)?.is("EXISTS") {
            rest = condition;
            name = next(&mut rest)?;
        }
    }
    let mut qualified = rest;
    if next(&mut qualified) == Some(Token::Other('.')) {
        name = next(&mut qualified)?;
    }
    match name {
        Token::Word(word) => Some((kind, word.to_owned())),
        Token::Quoted(name) => Some((kind, name)),
        Token::Other(_) => None,
    }
}

fn next<'a>(rest: &mut &'a str) -> Option<Token<'a>> {
    *rest = without_comments(rest);
    let first = rest.chars().next()?;
    let in_word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$') || !c.is_ascii();
    if matches!(first, '`' | '"') {
        let mut name = String::new();
        let mut chars = rest.char_indices().skip(1).peekable();
        while let Some((at, c)) = chars.next() {
            if c != first {
                name.push(c);
            } else if chars.peek().is_some_and(|(_, after)| *after == first) {
                name.push(c);
                chars.next();
            } else {
                *rest = &rest[at + 1..];
                return Some(Token::Quoted(name));
            }
        }
        return None;
    }
    let length = if in_word(first) {
        rest.find(|c| !in_word(c)).unwrap_or(rest.len())
    } else {
        first.len_utf8()
    };
    let (token, behind) = rest.split_at(length);
    *rest = behind;
    Some(if in_word(first) {
        Token::Word(token)
    } else {
        Token::Other(first)
    })
}

fn without_comments(mut text: &str) -> &str {
    loop {
        text = text.trim_start();
        let end = if text.starts_with("/*") {
            text.find("*/").map(|at| at + 2)
        } else if text.starts_with("-- ") || text.starts_with('#') {
            text.find('\n').map(|at| at + 1)
        } else {
            return text;
        };
        text = &text[end.unwrap_or(text.len())..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_counts_as_a_whole_and_in_a_create_alone() {
        let text = "DROP PROCEDURE IF EXISTS `p1`;\n\
            CREATE DEFINER=`ev ent`@`%` PROCEDURE `p10`()\nbegin call p1; end;\n\
            CREATE DEFINER=`r`@`l` AGGREGATE FUNCTION `a``g`(x int) RETURNS int(11)\nreturn 1;\n\
            CREATE DEFINER=`r`@`l` EVENT `e 1` ON SCHEDULE EVERY 1 DAY DO select 1;\n\
            CREATE DEFINER=`r`@`l` trigger shop_a.trg before insert on t for each row begin end;\n\
            CREATE DEFINER=`r`@`l` trigger  tr4 -- `x`\nafter update on t for each row set @a = 1;\n\
            CREATE DEFINER=`r`@`l` TRIGGER if not exists/* c */`db` . `触 1` after delete on t for each row set @a=1;\n\
            CREATE DEFINER=`r`@`l` trigger\n\"quoted\" after delete on t for each row set @a=1;\n\
            CREATE DEFINER=`r`@`l` trigger 触发 after delete on t for each row set @a=1;\n";
        let found = created(text);
        let expected = [
            (Kind::Procedure, "p10"),
            (Kind::Function, "a`g"),
            (Kind::Event, "e 1"),
            (Kind::Trigger, "trg"),
            (Kind::Trigger, "tr4"),
            (Kind::Trigger, "触 1"),
            (Kind::Trigger, "quoted"),
            (Kind::Trigger, "触发"),
        ];
        let names: Vec<(Kind, &str)> = found.iter().map(|(kind, name)| (*kind, name.as_str())).collect();
        assert_eq!(names, expected);
        assert!(holds(&found, Kind::Procedure, "P10"));
        assert!(!holds(&found, Kind::Procedure, "p1"));
        assert!(!holds(&found, Kind::Function, "p10"));
    }

    #[test]
    fn every_cut_of_a_file_is_seen() {
        let text = "SET @PREV_CHARACTER_SET_CLIENT=@@CHARACTER_SET_CLIENT;\n\
            SET @PREV_COLLATION_CONNECTION=@@COLLATION_CONNECTION;\n\
            CREATE DEFINER=`r`@`l` PROCEDURE `p`()\nbegin select 1;\nselect 2;\nend;\n\
            SET character_set_client = @PREV_CHARACTER_SET_CLIENT;\n\
            SET collation_connection = @PREV_COLLATION_CONNECTION;\n";
        assert!(is_whole(text));
        let body = text.find("CREATE").unwrap();
        for length in body..text.len() {
            assert!(!is_whole(&text[..length]), "cut to {length}");
        }
        assert!(is_whole(
            "CREATE TRIGGER t BEFORE INSERT ON a FOR EACH ROW SET @a = 1;\n"
        ));
        assert!(!is_whole(
            "CREATE TRIGGER t BEFORE INSERT ON a FOR EACH ROW SET @a"
        ));
        for text in [
            "",
            "CREATE",
            "CREATE PROCEDURE",
            "CREATE TRIGGER `a",
            "create trigger if",
            "CREATE EVENT /*",
        ] {
            assert!(created(text).len() <= 1, "{text}");
        }
    }
}
