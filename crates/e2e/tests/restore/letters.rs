//! A server that takes small letters and capitals in names otherwise than the source of a set.

use crate::{Stage, unproven_alone};
use mykeeper_e2e::*;

const OBJECTS: &str = "CREATE DATABASE Shop; USE Shop;
CREATE TABLE People (id INT PRIMARY KEY, name TEXT); INSERT INTO People VALUES (1, 'a'), (2, 'b');
CREATE TABLE Orders (id INT AUTO_INCREMENT PRIMARY KEY, who INT, FOREIGN KEY (who) REFERENCES People (id));
INSERT INTO Orders (who) VALUES (1), (2), (2);
CREATE TABLE plain (id INT); INSERT INTO plain VALUES (7);
CREATE VIEW Open_Orders AS SELECT Orders.id, People.name FROM Orders JOIN People ON People.id = Orders.who;
CREATE TRIGGER on_order BEFORE INSERT ON Orders FOR EACH ROW SET NEW.who = (SELECT MAX(id) FROM People);
CREATE FUNCTION most() RETURNS INT READS SQL DATA RETURN (SELECT MAX(id) FROM Shop.Orders);
CREATE EVENT tidy ON SCHEDULE EVERY 1 YEAR STARTS '2037-01-01 00:00:00' DO DELETE FROM plain;
CREATE DATABASE twice; CREATE TABLE twice.notes (id INT); CREATE TABLE twice.Notes (id INT);";

#[test]
fn names_that_a_server_keeps_in_small_letters_are_told_and_those_that_would_be_one_are_refused() {
    let folding = MariaDb::start_with(MariaDbOptions {
        extra: vec!["--lower-case-table-names=1".to_owned()],
        ..Default::default()
    });
    let secret = secret_text("folding");
    folding.account("restorer", &secret, "ALL PRIVILEGES ON *.*");
    let databases = "[\"Shop\", \"shop\", \"twice\"]";
    let stage = Stage::made(OBJECTS, (databases, "all"), "", |workspace| {
        let file = workspace.password_file("folding", &secret);
        format!(
            "[servers.folding]\nhost = \"127.0.0.1\"\nport = {}\nuser = \"restorer\"\npassword_file = \"{}\"\n\n",
            folding.port(),
            file.display()
        )
    });
    let restore = |more: &[&str]| {
        let args = [&["restore", &stage.bk_id, "--into", "folding"], more].concat();
        stage.workspace.mykeeper(&args)
    };
    for more in [&[][..], &["--dry-run"]] {
        restore(more)
            .assert_code(2)
            .assert_says("Shop and shop would be one database there")
            .assert_says("twice.Notes and twice.notes would be one table there")
            .assert_says("nothing was written");
    }
    let told = "keeps names of databases and tables in small letters (lower_case_table_names = 1), and the source of the \
                set did not: Shop, Shop.Open_Orders, Shop.Orders, Shop.People, Shop.plain will be called so there";
    restore(&["--database", "Shop", "--dry-run"])
        .assert_code(4)
        .assert_says(told);
    let there = "SELECT COUNT(*) FROM information_schema.schemata WHERE schema_name = 'shop'";
    assert_eq!(folding.value(there), "0");
    restore(&["--database", "Shop"])
        .assert_code(4)
        .assert_says(told)
        .assert_says("7 objects and 6 rows as they were");
    assert_eq!(folding.value("SELECT COUNT(*) FROM shop.open_orders"), "3");
    assert_eq!(folding.value("SELECT shop.most()"), "3");

    restore(&["--database", "Shop", "--overwrite"])
        .assert_code(2)
        .assert_says("takes Shop for its database shop");

    // A server that takes names as the source does has nothing to tell.
    let same = stage.restore(&["--database", "Shop", "--database", "twice"]);
    unproven_alone(&same).assert_says("9 objects and 6 rows as they were");
    stage.assert_equal(&["twice"]);
}
