use super::*;

/// `line: word|word`, with `$x` for variables and `(x)` for outputs.
fn shown(text: &str) -> Vec<String> {
    let part = |part: &Part| match part {
        Part::Text(text) => text.clone(),
        Part::Variable { name, .. } => format!("${name}"),
        Part::Output { text, .. } => format!("({text})"),
    };
    let word = |word: &RawWord| word.iter().map(part).collect::<String>();
    read_shell(text, 1)
        .iter()
        .map(|command| {
            let words: Vec<String> = command.words.iter().map(word).collect();
            let pipe = if command.is_piped { " |" } else { "" };
            format!("{}: {}{pipe}", command.line, words.join("|"))
        })
        .collect()
}

#[test]
fn commands_are_told_apart_and_redirections_left_out() {
    for (text, expected) in [
        ("/x/y.sh>> /x/y.log 2>&1 ", vec!["1: /x/y.sh"]),
        ("a b&&c||d;e &", vec!["1: a|b", "1: c", "1: d", "1: e"]),
        (
            "ps -ef | grep x|wc -l",
            vec!["1: ps|-ef |", "1: grep|x |", "1: wc|-l"],
        ),
        ("# remark\n\na # b\nc#d", vec!["3: a", "4: c#d"]),
        ("a \\\n  b\nc", vec!["1: a|b", "3: c"]),
        ("a &>x b >x 2>>y <z c", vec!["1: a|b|c"]),
        ("cat <<EOF >x\nrm -rf /\nEOF\nb", vec!["1: cat", "4: b"]),
        ("f() {\n  a\n}\nf x\ng ( b )", vec!["2: a", "5: g", "5: b"]),
        ("cat <<-'E'\nrm\n\tE\nb <<< c", vec!["1: cat", "4: b"]),
        ("cat <<E\n E\n\tE\nE \nE\nb", vec!["1: cat", "6: b"]),
        ("cat <<\"$E\"\n\nx\n$E\nb", vec!["1: cat", "5: b"]),
        ("D=(a b) c\nd", vec!["1: D=$(a b)|c", "2: d"]),
        (
            "if [ \"$n\" == 0 ];then\n  a\nelse b; fi\nfor i in 1 2; do c $i; done",
            vec!["1: [|$n|==|0|]", "2: a", "3: b", "4: for|i|in|1|2", "4: c|$i"],
        ),
    ] {
        assert_eq!(shown(text), expected, "{text}");
    }
}

#[test]
fn what_runs_in_a_shell_of_its_own_is_told() {
    let within = |text: &str| -> Vec<String> {
        let commands = read_shell(text, 1);
        let shown = |command: &RawCommand| {
            let program = command.words.first().and_then(plain).unwrap_or_default();
            format!("{program}{}", command.within.len())
        };
        commands.iter().map(shown).collect()
    };
    for (text, expected) in [
        ("a; (b; c); d", vec!["a0", "b1", "c1", "d0"]),
        ("a | b; c", vec!["a1", "b1", "c0"]),
        ("a | while b; do c; done; d", vec!["a1", "b1", "c1", "d0"]),
        ("{ a; (b); } | c; d", vec!["a1", "b2", "c1", "d0"]),
        ("if a; then b; fi | c\nd", vec!["a1", "b1", "c1", "d0"]),
        ("a & b", vec!["a1", "b0"]),
        ("a && b & c", vec!["a1", "b1", "c0"]),
        ("{ a; b; } & c", vec!["a1", "b1", "c0"]),
        ("{ a; b; }; c", vec!["a0", "b0", "c0"]),
        ("(a | b) ; c", vec!["a2", "b2", "c0"]),
        ("(( a = 1 << 3 ))\nb", vec!["let0", "b0"]),
        ("((a); b); c", vec!["a2", "b1", "c0"]),
    ] {
        assert_eq!(within(text), expected, "{text}");
    }
}

/// `command`, and after a slash each condition: its line, whether it has to fail, its test.
fn conditions(text: &str) -> Vec<String> {
    let one = |condition: &Rc<Condition>| {
        let test: Vec<String> = condition.test.iter().filter_map(plain).collect();
        let sign = if condition.holds { "" } else { "!" };
        format!("/{}{sign}{}", condition.line, test.join(" "))
    };
    read_shell(text, 1)
        .iter()
        .map(|command| {
            let program = command.words.first().and_then(plain).unwrap_or_default();
            let under: String = command.under.iter().map(one).collect();
            format!("{program}{under}")
        })
        .collect()
}

#[test]
fn each_command_knows_its_conditions() {
    for (text, expected) in [
        ("a && b || c; d", vec!["a", "b/1a", "c/1!", "d"]),
        ("a ||\n b\nc & d", vec!["a", "b/1!a", "c", "d"]),
        ("a | b && c", vec!["a", "b", "c/1b"]),
        (
            "if a; then\n b\nelif c; then\n d\nelse\n e\nfi\nf",
            vec!["a", "b/1a", "c", "d/3", "e/5", "f"],
        ),
        ("if ! a; then b; else c; fi", vec!["a", "b/1!a", "c/1a"]),
        ("if a; b; then c; fi", vec!["a", "b", "c/1"]),
        ("while a; do b; done; c", vec!["a", "b/1", "c"]),
        ("for i in x y; do b; done && c", vec!["for", "b", "c/1"]),
        ("a && { b; c; }; d", vec!["a", "b/1a", "c/1a", "d"]),
        ("a || (b; c) || d\ne", vec!["a", "b/1!a", "c/1!a", "d/1!", "e"]),
        ("a && for i in x; do b; done; c", vec!["a", "for/1a", "b/1a", "c"]),
        (
            "case $1 in\n x) a;;\n y|z)\n b\n ;;\nesac\nc",
            vec!["case", "a/1", "b/1", "c"],
        ),
        ("case $1 in x) a;; esac; b", vec!["a/1", "b"]),
        ("f() { a; }\nf\nb", vec!["a", "b"]),
        ("f() { a; }\nb && f", vec!["b", "a/2b"]),
        ("function f {\n a\n}\ng() { f; }\nb || g", vec!["b", "a/5!b"]),
        ("f() { a; }\nb", vec!["a/1", "b"]),
        (
            "f() { a; f; }\nb || f",
            vec!["b", "a/2!b"]
                .into_iter()
                .chain(["a/2!b"; 7])
                .chain(["f/2!b"])
                .collect(),
        ),
        ("fi; } done ) esac ;; a", vec!["a"]),
    ] {
        assert_eq!(conditions(text), expected, "{text}");
    }
}

#[test]
fn quotes_variables_and_outputs_are_parts_of_words() {
    for (text, expected) in [
        (
            "password=\"pa'pa $x\"y 'a $b `c`'",
            vec!["1: password=pa'pa $xy|a $b `c`"],
        ),
        (
            "D=`date +%F --date='2 day ago'`",
            vec!["1: D=(date +%F --date='2 day ago')"],
        ),
        (
            "D=$(date -d \"$(f ')')\" +%F) \"\"",
            vec!["1: D=(date -d \"$(f ')')\" +%F)|"],
        ),
        ("${a}b $a_b$1 $(b)", vec!["1: $ab|$a_b$1|(b)"]),
        ("rm {} \\; \"\\$a\\n\"", vec!["1: rm|{}|;|$a\\n"]),
        ("\"open", vec!["1: open"]),
        ("$(open", vec!["1: (open)"]),
        ("`a \\`b\\``", vec!["1: (a `b`)"]),
        ("a$", vec!["1: a$"]),
    ] {
        assert_eq!(shown(text), expected, "{text}");
    }
}
