//! The data that is backed up: made by the server itself, the same in every run.

use mykeeper_e2e::MariaDb;

/// What the tables have besides their rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keys {
    /// A primary key.
    Primary,
    /// As tables of shops have: two or three more each, one of them unique, in the order of no column.
    Several,
}

impl Keys {
    /// Further lines of the definitions of `orders` and `events`.
    fn lines(self) -> (&'static str, &'static str) {
        match self {
            Self::Primary => ("", ""),
            Self::Several => (
                ", KEY customer (customer_id, placed_at), KEY state (state, shipped_on), UNIQUE KEY token (token)",
                ", KEY at (at), KEY host (host, level)",
            ),
        }
    }
}

/// How many there are.
pub(crate) const DATABASES: u32 = 12;
/// What a row takes in a dump, about.
const ORDER_BYTES: u64 = 230;
const EVENT_BYTES: u64 = 188;

/// Percent of all that the largest table has.
const LARGEST_TABLE: u64 = 40;

/// Makes about so much, as SQL text: the first database twelve times as large as the last, each with two tables.
pub(crate) fn make_data(server: &MariaDb, size_mb: u32, keys: Keys) {
    for number in 0..DATABASES {
        let half = share(bytes(size_mb), number) / 2;
        server.sql(&database_sql(number, (half, half), keys));
    }
}

/// Makes about so much, as SQL text, of which one table has two fifths; the rest as in [`make_data`].
pub(crate) fn make_lopsided_data(server: &MariaDb, size_mb: u32, keys: Keys) {
    let largest = bytes(size_mb) * LARGEST_TABLE / 100;
    for number in 0..DATABASES {
        let rest = share(bytes(size_mb) - largest, number);
        let (orders, events) = if number == 0 {
            (largest, rest)
        } else {
            (rest / 2, rest / 2)
        };
        server.sql(&database_sql(number, (orders, events), keys));
    }
}

/// The databases' names.
pub(crate) fn database_names() -> Vec<String> {
    (0..DATABASES)
        .map(|number| format!("bench_{number:02}"))
        .collect()
}

fn bytes(size_mb: u32) -> u64 {
    u64::from(size_mb) * 1_000_000
}

fn share(bytes: u64, number: u32) -> u64 {
    let shares = DATABASES * (DATABASES + 1) / 2;
    bytes * u64::from(DATABASES - number) / u64::from(shares)
}

/// With so many bytes of each of the two tables.
fn database_sql(number: u32, (orders_bytes, events_bytes): (u64, u64), keys: Keys) -> String {
    let (orders_keys, events_keys) = keys.lines();
    let words = "'parcel','left','with','neighbour','it''s','\"fragile\"','call','before','noon','invoice','enclosed',\
                 'gift','wrapped','street','Köln','回执','returned','C:\\\\temp','line\\nbreak','paid','twice','sorry'";
    let word = format!("ELT(1 + FLOOR(RAND() * 22), {words})");
    let note = vec![word; 12].join(", ");
    format!(
        "SET NAMES utf8mb4; SET SESSION rand_seed1 = {seed}, rand_seed2 = 77;
        CREATE DATABASE bench_{number:02} CHARACTER SET utf8mb4; USE bench_{number:02};
        CREATE TABLE orders (
          id BIGINT UNSIGNED NOT NULL PRIMARY KEY, customer_id INT NOT NULL, amount DECIMAL(12,2) NOT NULL,
          state ENUM('new','paid','sent') NOT NULL, placed_at DATETIME(6) NOT NULL, shipped_on DATE,
          attributes JSON, token BINARY(16) NOT NULL, note TEXT NOT NULL{orders_keys});
        CREATE TABLE events (
          id BIGINT UNSIGNED NOT NULL PRIMARY KEY, at DATETIME NOT NULL, level TINYINT NOT NULL,
          host VARCHAR(40) NOT NULL, agent VARCHAR(80), message VARCHAR(300) NOT NULL, took DOUBLE NOT NULL{events_keys});
        INSERT INTO orders SELECT seq, FLOOR(RAND() * 50000), RAND() * 10000, 1 + FLOOR(RAND() * 3),
          TIMESTAMPADD(MICROSECOND, seq * 7919000 + FLOOR(RAND() * 1e6), '2024-03-30 22:00:00'),
          IF(RAND() < 0.3, NULL, '2024-04-01' + INTERVAL FLOOR(RAND() * 300) DAY),
          IF(RAND() < 0.2, NULL, JSON_OBJECT('n', FLOOR(RAND() * 1e6), 'gift', RAND() < 0.5)),
          UNHEX(MD5(CONCAT(seq, RAND()))), CONCAT_WS(' ', {note})
          FROM seq_1_to_{orders};
        INSERT INTO events SELECT seq, '2024-01-01' + INTERVAL seq * 3 SECOND, FLOOR(RAND() * 7),
          CONCAT('app-', FLOOR(RAND() * 40), '.example.net'),
          ELT(1 + FLOOR(RAND() * 4), 'Mozilla/5.0 (X11; Linux x86_64; rv:128.0)', 'curl/8.5.0', 'okhttp/4.12 (jvm)', NULL),
          CONCAT('GET /shop/', FLOOR(RAND() * 1e5), '/items?page=', FLOOR(RAND() * 90), ' from 10.', FLOOR(RAND() * 255),
                 '.', FLOOR(RAND() * 255), '.7 session ', SHA1(RAND()), ' (ok); status=', 200 + FLOOR(RAND() * 4)),
          RAND()
          FROM seq_1_to_{events};",
        seed = 1_000 + number,
        orders = (orders_bytes / ORDER_BYTES).max(1),
        events = (events_bytes / EVENT_BYTES).max(1),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shares_of_the_databases_are_all_there_is() {
        let all: u64 = (0..DATABASES).map(|number| share(78_000, number)).sum();
        assert_eq!(all, 78_000);
        assert_eq!(share(78_000, 0), 12 * share(78_000, DATABASES - 1));
    }
}
