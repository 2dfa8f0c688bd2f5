//! Who is told, and how.

use super::{BACKUP, KEEPER, is_sound, job, one};

const HOOK: &str = "
[notify.webhook.chat]
url = 'https://chat.example.org/hook'
";

const MAIL: &str = "
[notify.mail.ops]
host = 'smtp.example.org'
from = 'mykeeper <backup@example.org>'
to = ['ops@example.org']
";

fn with(text: &str, expected: &str) {
    one(&format!("{KEEPER}{text}"), BACKUP, expected);
}

#[test]
fn what_is_right_is_taken() {
    let command = "[notify.command.pager]\nprogram = '/bin/true'\nargs = ['{{subject}}', '{']\n";
    is_sound(
        &format!("{KEEPER}[notify]\nrepeat = '1h'\n{HOOK}{MAIL}{command}"),
        BACKUP,
    );
    is_sound(KEEPER, &format!("{BACKUP}ping = 'https://hc.example.org/x'\n"));
}

#[test]
fn a_template_that_cannot_be_expanded_is_refused() {
    for (body, expected) in [
        (
            r#"'{"text": "{{subjct}}"}'"#,
            "`body` cannot be expanded: {{subjct}} is no field of a message (did you mean {{subject}}?)",
        ),
        (r#"'{"text": "{{subject}"}'"#, "a \"{{\" has no \"}}\" after it"),
        (r#"'{"text": {{subject}}}'"#, "in JSON they stand within quotes"),
    ] {
        with(&format!("{HOOK}body = {body}\n"), expected);
    }
    with(
        &format!("{MAIL}subject = '{{{{nod}}}}'\n"),
        "did you mean {{node}}?",
    );
    let command = "[notify.command.pager]\nprogram = 'page'\nargs = ['{{what}}']\n";
    with(command, "{{what}} is no field");
}

#[test]
fn a_password_never_crosses_a_network_in_the_clear_and_needs_its_user() {
    let login = "tls = 'none'\nuser = 'u'\npassword_file = 'x'\n";
    with(&format!("{MAIL}{login}"), "would cross the network in the clear");
    let here = MAIL.replace("smtp.example.org", "localhost");
    is_sound(&format!("{KEEPER}{here}{login}"), BACKUP);
    with(
        &format!("{MAIL}password_file = 'x'\n"),
        "there is a password and no `user`",
    );
    with(
        &format!("{MAIL}user = 'u'\n"),
        "there is a `user` and no password",
    );
}

#[test]
fn who_is_told_must_be_somebody() {
    with("[notify.webhook.chat]\n", "it has no `url`");
    with(
        &HOOK.replace("https:", "ftp:"),
        "`url` is no URL that can be called",
    );
    with(
        &format!("{HOOK}url_file = 'x'\n"),
        "the URL is to come from two places",
    );
    with(&format!("{HOOK}on = ['failures']\n"), "did you mean \"failure\"?");
    with(
        &MAIL.replace("'ops@example.org'", "'ops'"),
        "\"ops\" is no mail address",
    );
    with(
        "[notify.hook.chat]\nurl = 'x'\n",
        "unknown key \"hook\" in [notify]",
    );
    job(
        "[transfer.more]\ncron = '@daily'\ndestination = 'vault'\nping = 'example.org'\n",
        "`ping` is no URL",
    );
}

#[test]
fn a_token_that_stands_in_the_file_is_not_shown() {
    let files = crate::files::Files::new(&format!("{KEEPER}{HOOK}token = 'hunter2'\n"), BACKUP);
    let lines = files.lines().join("\n");
    assert!(
        lines.contains("never written into this file") && !lines.contains("hunter2"),
        "{lines}"
    );
}
