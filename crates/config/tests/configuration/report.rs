//! What a person sees.

use crate::files::Files;

const KEEPER: &str = r#"nod = "db1"
state_dir = "var/lib/mykeeper"

[catalog]
url = "mysql://mykeeper@10.0.0.5:3306"
timezone = "Asia/Shanghia"

[servers.shop]
sockt = "/run/mysqld/mysqld.sock"
port = "3306"
user = "backup"
tag = "国内平台从1"
tls = { mode = "verify", ca = "ca.pem" }

[servers.blog]
socket = "/run/mysqld/blog.sock"
host = "10.0.0.8"
user = "backup"
tag = "国内平台从1"
password = "hunter2"

[destinations.vault]
url = "rsync://platform:hunter2@182.92.83.238/db_backup"
bandwidth_limit = "fast"

[sandbox]
memory = "1 GiX"
"#;

const SCHEDULE: &str = r#"timezone = "Shanghai"

[backup.shop-nightly]
cron = "0 4 * *"
server = "shpo"
databases = ["shop", "!mysql"]
directory = "backup_db"
transfer_to = "valt"
mydumper = ["compres", "threads=八", "password=hunter2", "outputdir=/x"]
timeout = "6 hours and a bit"
retry = { attempts = 0, dealy = "5m" }
missed = "run_once"

[validation.shop-nightly]
cron = "0 0 30 2 *"
tags = ["国内平台从1", 7]   # 标签
assert = [{ database = "商店", sql = "DROP TABLE orders" }]

[retention.prune]
cron = "30 7 * * *"
directory = "/data/backup_db"
keep = {}
action = "remove"
"#;

#[test]
fn every_mistake_of_both_files_is_reported_in_one_go() {
    let files = Files::new(KEEPER, SCHEDULE);
    assert!(files.found().len() >= 30);
    insta::assert_snapshot!(files.report());
}

#[test]
fn text_that_is_not_toml_is_reported_with_the_rest_of_what_can_be_read() {
    let files = Files::new(
        "node = \n[servers.shop]\nsocket = '/x\nuser = 'backup'\ntga = 'x'\n",
        "[backup.nightly\ncron = '0 4 * * *'\n[transfer.t]\ncron = '@daly'\ndestination = 'vault' 'x'\n",
    );
    insta::assert_snapshot!(files.report());
}

#[test]
fn colour_changes_nothing_but_colour() {
    let errors = Files::new(KEEPER, SCHEDULE).load().unwrap_err();
    let coloured = errors.render(true);
    assert!(coloured.contains("\u{1b}["));
    assert!(!errors.render(false).contains('\u{1b}'));
}

#[test]
fn columns_count_characters_and_not_bytes() {
    let files = Files::new(
        "[servers.\"国内平台\"]\nsocket = '/x' # 国内\nuser = 'u'\ntls = { ca = '国', mode = 'x' }\n",
        "",
    );
    let found = files.found();
    assert_eq!((found[0].line, found[0].column), (4, 26));
    assert_eq!(found[0].source_line, "tls = { ca = '国', mode = 'x' }");
}

#[test]
fn a_mistake_is_printed_as_json_with_its_place() {
    let files = Files::new("state_dir = 'x'\n", "");
    let json = serde_json::to_value(&files.found()[0]).unwrap();
    assert_eq!(
        json,
        serde_json::json!({
            "severity": "error",
            "file": files.keeper(),
            "line": 1,
            "column": 13,
            "source_line": "state_dir = 'x'",
            "message": "`state_dir` is a relative path",
            "help": "write the whole path, beginning with a slash",
        })
    );
}

#[test]
fn control_characters_of_a_file_do_not_reach_the_terminal() {
    let files = Files::new("\"a\\u001b[31m\" = 1\nnode = \"\u{9b}31m\"\n", "");
    let report = files.report();
    assert!(!report.chars().any(|c| c.is_control() && c != '\n'), "{report:?}");
}

#[test]
fn a_file_that_is_not_utf8_is_refused_with_the_place() {
    let files = Files::new("", "");
    std::fs::write(files.keeper(), b"node = 'x'\ntag = '\xb9\xfa'\n").unwrap();
    assert_eq!(
        files.lines(),
        ["mykeeper.toml:2:8: Error: what follows here is not UTF-8 (save the file in UTF-8)"]
    );
}
