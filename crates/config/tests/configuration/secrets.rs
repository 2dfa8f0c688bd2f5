//! A password that stands where it must not is refused and never shown.

use crate::files::Files;

/// Neither the report, nor Debug, nor JSON shows the password; something is found.
fn is_hidden(keeper: &str, schedule: &str) -> String {
    let files = Files::new(keeper, schedule);
    let errors = files.load().expect_err(keeper);
    let json = serde_json::to_string(&errors.mistakes).unwrap();
    for shown in [
        errors.to_string(),
        errors.render(true),
        format!("{errors:?}"),
        json,
    ] {
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(!shown.contains("hun"), "{shown}");
    }
    errors.to_string()
}

#[test]
fn a_password_as_a_key_is_refused_anywhere() {
    for keeper in [
        "password = 'hunter2'",
        "[catalog]\nurl = 'sqlite:x.db'\npassword = 'hunter2'",
        "[servers.shop]\nsocket = '/x'\nuser = 'u'\npassword = \"hunter2\"",
        "[servers.shop]\nsocket = '/x'\nuser = 'u'\npasswd = \"hunter2\"",
        "servers.shop = { socket = '/x', user = 'u', password = 'hunter2', host = 'h' }",
        "[destinations.v]\nurl = '/x'\ndb_passwd = 'hunter2'",
        "[servers.shop]\nsocket = '/x'\nuser = 'u'\n\"pass word\" = '''\nhunter2'''",
        "[servers.shop]\nsocket = '/x'\nuser = 'u'\npasword = 'hunter2'",
        "[unknown]\npassword = 'hunter2'",
        "[servers]\npassword = 'hunter2'",
        "[servers.shop]\nsocket = '/x'\nuser = 'u'\npassword = ['hunter2']",
    ] {
        let report = is_hidden(keeper, "");
        assert!(
            report.contains("a password is never written into this file"),
            "{report}"
        );
        assert!(
            report.contains("password_file = \"/etc/mykeeper/NAME.password\""),
            "{report}"
        );
    }
}

#[test]
fn a_password_in_a_url_is_refused_and_the_rest_of_the_url_is_shown() {
    for keeper in [
        "[catalog]\nurl = 'mysql://mykeeper:hunter2@10.0.0.5/d'",
        "[destinations.v]\nurl = 'rsync://u:hunter2@h/m'",
        "[destinations.v]\nurl = 'rsync://u:hunter2@h'",
        "[destinations.v]\nurl = 'rsync://u:hun/ter2@h/m'",
        "[destinations.v]\nurl = 'u:hunter2@h:/m'",
        "[destinations.v]\nurl = 'u:hunter2@h'",
        "[catalog]\nurl = 'mysql://u@h/d?password=hunter2'",
        "[catalog]\nurl = \"mysql\\u003a//u:hunter2@h/d\"",
    ] {
        let report = is_hidden(keeper, "");
        assert!(report.contains("a password has no place in a URL"), "{report}");
        assert_eq!(report.matches("error:").count(), 1, "{report}");
    }
    let report = is_hidden("[catalog]\nurl = 'mysql://mykeeper:hunter2@10.0.0.5/d'", "");
    assert!(
        report.contains("url = 'mysql://mykeeper:***@10.0.0.5/d'"),
        "{report}"
    );
}

#[test]
fn a_line_that_does_not_even_parse_is_masked() {
    for keeper in [
        "password = \"hunter2",
        "password = hunter2",
        "password \"hunter2\"",
        "password: hunter2",
        "url = rsync://u:hunter2@h/m",
        "url = \"rsync://u:hunter2@h/m",
        "[catalog]\nurl = 'mysql://u:hunter2@h/d' 'x'",
        "password = '''\nhunter2",
        "password = 'a' 'hunter2'",
    ] {
        is_hidden(keeper, "");
    }
}

#[test]
fn another_mistake_on_the_same_line_does_not_show_it() {
    is_hidden(
        "servers.shop = { socket = 7, password = 'hunter2', usr = 'u' }",
        "",
    );
    is_hidden(
        "[servers.shop]\nsocket = '/x'\nuser = 7 # the password: hunter2\n",
        "",
    );
}

#[test]
fn a_password_among_the_options_of_mydumper_is_refused() {
    let keeper = "[servers.shop]\nsocket = '/x'\nuser = 'u'\n";
    for options in [
        "['password=hunter2']",
        "['--password=hunter2']",
        "['pasword=hunter2']",
    ] {
        let schedule = format!(
            "[backup.b]\ncron = '@daily'\nserver = 'shop'\ndatabases = ['%']\ndirectory = '/d'\nmydumper = {options}"
        );
        is_hidden(keeper, &schedule);
    }
}

#[test]
fn of_a_url_that_is_called_no_mistake_shows_more_than_the_host() {
    let webhook = "[notify.webhook.chat]\n";
    for line in [
        "url = 'htps://chat.example.org/T0/hunter2'",
        "url = 'https://user@chat.example.org/hunter2'",
        "url = \"https\\u003a//user@chat.example.org/hunter2\"",
        "url = 'chat.example.org/hunter2'",
        "url = https://chat.example.org/hunter2",
        "url = 'https://chat.example.org/hunter2",
        "ulr = 'https://chat.example.org/hunter2'",
        "url_file = 'https://chat.example.org/hunter2'",
        "url = ['https://chat.example.org/hunter2']",
        "url = 'https://chat.example.org/hunter2'\nurl = 'https://chat.example.org/hunter2'",
    ] {
        is_hidden(&format!("{webhook}{line}\n"), "");
    }
    for line in [
        "ping = 'hc.example.org/hunter2'",
        "pnig = 'https://hc.example.org/hunter2'",
        "ping_file = 'https://hc.example.org/hunter2'",
        "timezone = 'https://hc.example.org/hunter2'",
    ] {
        is_hidden("", &format!("[retention.prune]\n{line}\n"));
    }
}
