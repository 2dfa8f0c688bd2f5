//! Whether an assertion's SQL is one SELECT that changes nothing.

/// What a statement is made of, as far as it matters here.
enum Token {
    Word(String),
    End,
    Other,
}

/// Passes one SELECT, with or without a semicolon after it; says what else it is.
pub(crate) fn check_select(sql: &str) -> Result<(), String> {
    let mut first: Option<String> = None;
    let mut has_ended = false;
    let mut rest = sql;
    while let Some((token, length)) = next_token(rest)? {
        rest = &rest[length..];
        match token {
            Token::End => has_ended = true,
            _ if has_ended => return Err("something follows the semicolon".to_owned()),
            Token::Word(word) if first.is_none() => first = Some(word),
            Token::Word(word) if word == "INTO" => {
                return Err("INTO would write somewhere".to_owned());
            }
            Token::Word(_) | Token::Other => {}
        }
    }
    match first.as_deref() {
        Some("SELECT") => Ok(()),
        Some(other) => Err(format!("it begins with {other}")),
        None => Err("there is no statement in it".to_owned()),
    }
}

/// The next token and how long it and what stands before it are; `None` at the end.
fn next_token(sql: &str) -> Result<Option<(Token, usize)>, String> {
    let mut at = 0;
    loop {
        let rest = &sql[at..];
        let Some(c) = rest.chars().next() else {
            return Ok(None);
        };
        let is_dash_comment = rest.strip_prefix("--").is_some_and(|after| {
            after
                .chars()
                .next()
                .is_none_or(|c| c.is_whitespace() || c.is_control())
        });
        if c.is_whitespace() || c == '(' {
            at += c.len_utf8();
        } else if c == '#' || is_dash_comment {
            at += rest.find('\n').unwrap_or(rest.len());
        } else if rest.starts_with("/*!") || rest.starts_with("/*M!") {
            return Err("a comment in it would be executed".to_owned());
        } else if rest.starts_with("/*") {
            at += rest.find("*/").ok_or("a comment does not end")? + 2;
        } else if matches!(c, '\'' | '"' | '`') {
            return Ok(Some((Token::Other, at + quoted_length(rest, c)?)));
        } else if c == ';' {
            return Ok(Some((Token::End, at + 1)));
        } else if is_word(c) {
            let length = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
            return Ok(Some((Token::Word(rest[..length].to_uppercase()), at + length)));
        } else {
            return Ok(Some((Token::Other, at + c.len_utf8())));
        }
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '$' | '@' | '.')
}

/// The length of a quoted text, quotes included; a doubled quote within is found as two texts side by side.
fn quoted_length(text: &str, quote: char) -> Result<usize, String> {
    let mut is_escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        if is_escaped {
            is_escaped = false;
        } else if c == '\\' && quote != '`' {
            is_escaped = true;
        } else if c == quote {
            return Ok(at + 1);
        }
    }
    Err(format!("a text that begins with {quote} does not end"))
}

#[cfg(test)]
mod tests {
    use super::check_select;

    #[test]
    fn one_select_passes() {
        for sql in [
            "SELECT COUNT(*) > 0 FROM orders",
            "select 1;",
            " SELECT 1 ; -- done\n",
            "(SELECT 1)",
            "/* why */ SELECT ';' = \"INTO\" FROM `in;to` WHERE a = 'it''s \\' ;' # end",
            "SELECT 1--1",
            "SELECT into_date FROM t",
            "SELECT `into` FROM `表`",
        ] {
            assert_eq!(check_select(sql), Ok(()), "{sql}");
        }
    }

    #[test]
    fn anything_else_does_not() {
        for (sql, problem) in [
            ("", "no statement"),
            (" ; ", "no statement"),
            ("-- SELECT 1", "no statement"),
            ("DELETE FROM orders", "begins with DELETE"),
            ("SELECT 1; DROP TABLE orders", "follows the semicolon"),
            ("SELECT 1; SELECT 2", "follows the semicolon"),
            ("SELECT 1 INTO OUTFILE '/tmp/x'", "INTO"),
            ("SELECT 'x", "does not end"),
            ("SELECT 1 /* x", "does not end"),
            ("/*! DROP TABLE x */ SELECT 1", "would be executed"),
            ("WITH x AS (SELECT 1) DELETE FROM t", "begins with WITH"),
        ] {
            let error = check_select(sql).unwrap_err();
            assert!(error.contains(problem), "{sql}: {error}");
        }
    }
}
