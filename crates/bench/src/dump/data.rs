//! The data that is dumped: made by the server itself, the same in every run.

use mykeeper_e2e::MariaDb;

/// How many there are, the first twelve times as large as the last.
pub(crate) const DATABASES: u32 = 12;
/// What a row takes in a dump, about.
const ORDER_BYTES: u32 = 230;
const EVENT_BYTES: u32 = 188;

/// Makes about so much, as SQL text.
pub(crate) fn make_data(server: &MariaDb, size_mb: u32) {
    let shares = DATABASES * (DATABASES + 1) / 2;
    for number in 0..DATABASES {
        let bytes = u64::from(size_mb) * 1_000_000 * u64::from(DATABASES - number) / u64::from(shares);
        let half = |row_bytes: u32| bytes / 2 / u64::from(row_bytes);
        server.sql(&database_sql(number, half(ORDER_BYTES), half(EVENT_BYTES)));
    }
}

fn database_sql(number: u32, orders: u64, events: u64) -> String {
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
          attributes JSON, token BINARY(16) NOT NULL, note TEXT NOT NULL);
        CREATE TABLE events (
          id BIGINT UNSIGNED NOT NULL PRIMARY KEY, at DATETIME NOT NULL, level TINYINT NOT NULL,
          host VARCHAR(40) NOT NULL, agent VARCHAR(80), message VARCHAR(300) NOT NULL, took DOUBLE NOT NULL);
        INSERT INTO orders SELECT seq, FLOOR(RAND() * 50000), RAND() * 10000, 1 + FLOOR(RAND() * 3),
          TIMESTAMPADD(MICROSECOND, seq * 7919000 + FLOOR(RAND() * 1e6), '2024-03-30 22:00:00'),
          IF(RAND() < 0.3, NULL, '2024-04-01' + INTERVAL FLOOR(RAND() * 300) DAY),
          IF(RAND() < 0.2, NULL, JSON_OBJECT('n', FLOOR(RAND() * 1e6), 'gift', RAND() < 0.5)),
          UNHEX(MD5(RAND())), CONCAT_WS(' ', {note})
          FROM seq_1_to_{orders};
        INSERT INTO events SELECT seq, '2024-01-01' + INTERVAL seq * 3 SECOND, FLOOR(RAND() * 7),
          CONCAT('app-', FLOOR(RAND() * 40), '.example.net'),
          ELT(1 + FLOOR(RAND() * 4), 'Mozilla/5.0 (X11; Linux x86_64; rv:128.0)', 'curl/8.5.0', 'okhttp/4.12 (jvm)', NULL),
          CONCAT('GET /shop/', FLOOR(RAND() * 1e5), '/items?page=', FLOOR(RAND() * 90), ' from 10.', FLOOR(RAND() * 255),
                 '.', FLOOR(RAND() * 255), '.7 session ', SHA1(RAND()), ' (ok); status=', 200 + FLOOR(RAND() * 4)),
          RAND()
          FROM seq_1_to_{events};",
        seed = 1_000 + number,
        orders = orders.max(1),
        events = events.max(1),
    )
}
