//! Servers whose own SQL modes change what values and definitions mean.

use super::*;

const MODES: &str = "SET GLOBAL sql_mode = 'NO_BACKSLASH_ESCAPES,ANSI_QUOTES,PAD_CHAR_TO_FULL_LENGTH'";
/// Written in the usual mode, and one routine in the server's own.
const BACKSLASHES: &str = r#"SET SESSION sql_mode = '';
    CREATE DATABASE modes; USE modes; CREATE TABLE modes.v (id INT PRIMARY KEY, t TEXT, c CHAR(10));
    INSERT INTO modes.v SELECT seq, CONCAT(IF(seq % 2, 'it''s ', 'a\\b'), seq, '\\'), 'two  ' FROM seq_1_to_200;
    CREATE TRIGGER modes.tr BEFORE INSERT ON modes.v FOR EACH ROW SET NEW.t = CONCAT(NEW.t, '\\');
    CREATE FUNCTION modes.f() RETURNS TEXT DETERMINISTIC RETURN "it's \\";
    SET SESSION sql_mode = 'NO_BACKSLASH_ESCAPES,ANSI_QUOTES';
    CREATE FUNCTION modes.g("x" TEXT) RETURNS TEXT DETERMINISTIC RETURN CONCAT("x", '\\');
    SET SESSION sql_mode = '';"#;
const ALL: [&str; 3] = [
    "SELECT id, HEX(t), HEX(RTRIM(c)) FROM modes.v ORDER BY id",
    "SELECT HEX(modes.f()), HEX(modes.g('y'))",
    "SELECT trigger_name, action_statement, sql_mode FROM information_schema.triggers WHERE trigger_schema = 'modes'",
];

#[test]
fn a_set_of_a_server_of_another_mode_is_proven_and_comes_back_to_such_a_server() {
    let mut stage = Stage::with(BACKSLASHES, "[\"modes\"]", "all");
    stage.source.sql(MODES);
    stage.target.sql(MODES);
    stage.workspace.mykeeper(&["check"]).assert_says(
        "note    server shop: its global sql_mode has ANSI_QUOTES, NO_BACKSLASH_ESCAPES, PAD_CHAR_TO_FULL_LENGTH, which changes",
    );
    let made = stage.workspace.mykeeper(&["run", "nightly", "--json"]);
    made.assert_code(0);
    made.json()["bk_id"]
        .as_str()
        .unwrap()
        .clone_into(&mut stage.bk_id);
    let validate = ["validate", "--bk-id", &stage.bk_id];
    stage.workspace.mykeeper(&validate).assert_code(0);
    stage.restore(&[]).assert_code(0);
    for query in ALL {
        assert_eq!(stage.target.query(query), stage.source.query(query), "{query}");
    }
    let first = "SELECT HEX(t) FROM modes.v WHERE id = 1";
    assert_eq!(stage.target.value(first), "6974277320315C");
}
