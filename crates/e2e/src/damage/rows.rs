//! Damages of rows, within files that stay whole, and of the evidence of them.

use super::sets::Layout::{Packed, PackedEach, Plain, PlainEach};
use super::victim::{Name, Victim};
use super::{Damage, Witness::*, damage};
use mykeeper_domain::inventory::{DatabaseInventory, TableInventory};

const ORDERS: Name = ("shop", "shop.orders.sql");
const CUSTOMERS: Name = ("shop", "shop.customers.sql");
const LINES: Name = ("shop", "shop.log_lines.sql");
const VISITS: Name = ("shop", "shop.visits.sql");
const TWINS: Name = ("shop", "shop.twins.sql");
const COUNTERS_SCHEMA: Name = ("shop", "shop.counters-schema.sql");
const CHINESE: Name = ("日志 库-1", "日志 库-1.价格$-a b.sql");
const DOTTED: Name = ("shop.eu", "shop.eu.order lines.2017.sql");

pub(super) const DAMAGES: &[Damage] = &[
    damage("row-removed", "a row", Packed, Restore, |v| {
        v.line(ORDERS, "(77,", 0);
    }),
    damage(
        "row-removed-first",
        "the first row of a table",
        PackedEach,
        Restore,
        |v| v.line(CUSTOMERS, "(1,", 0),
    ),
    damage(
        "row-removed-dotted",
        "a row of a table with dots in its name",
        Plain,
        Restore,
        |v| {
            v.line(DOTTED, "(77,", 0);
        },
    ),
    damage(
        "row-removed-keyless",
        "a row of a table without a key",
        Packed,
        Restore,
        |v| {
            v.line(LINES, "(\"line 77\"", 0);
        },
    ),
    damage(
        "row-doubled",
        "a row of a table with a key, twice",
        Packed,
        Restore,
        |v| v.line(ORDERS, "(77,", 2),
    ),
    damage(
        "row-doubled-keyless",
        "a row of a table without a key, twice",
        Packed,
        Restore,
        |v| {
            v.line(LINES, "(\"line 77\"", 2);
        },
    ),
    damage(
        "row-doubled-myisam",
        "a row of a MyISAM table, twice",
        PackedEach,
        Restore,
        |v| {
            v.line(VISITS, "(\"2024-01-01 00:01:17\"", 2);
        },
    ),
    damage(
        "row-exchanged",
        "one row gone, another twice",
        Packed,
        Restore,
        |v| {
            v.line(LINES, "(\"line 77\"", 0);
            v.line(LINES, "(\"line 78\"", 2);
        },
    ),
    damage(
        "statement-removed",
        "a whole statement of rows",
        Packed,
        Restore,
        |v| {
            v.drop_between(ORDERS, "INSERT INTO `orders`", "\nINSERT INTO");
        },
    ),
    damage("rows-added", "a row that never was", PackedEach, Restore, |v| {
        v.append(LINES, "INSERT INTO `log_lines` VALUES\n(\"nobody's\",NULL);\n");
    }),
    damage("delete-added", "a DELETE behind the rows", Packed, Restore, |v| {
        v.append(LINES, "DELETE FROM `log_lines` WHERE `line` = 'line 5';\n");
    }),
    damage("value-digit", "one bit of one digit", Plain, Restore, |v| {
        v.put(ORDERS, "(78,79,106.86,", "(78,79,106.87,");
    }),
    damage(
        "value-digit-gz",
        "a number in a packed file",
        PackedEach,
        Restore,
        |v| {
            v.put(ORDERS, "(78,79,106.86,", "(78,79,107.86,");
        },
    ),
    damage("value-text", "a letter of a text", Packed, Restore, |v| {
        v.put(CUSTOMERS, "\"customer 77", "\"custemer 77");
    }),
    damage(
        "value-chinese",
        "Chinese text become question marks",
        Packed,
        Restore,
        |v| {
            v.put(CHINESE, "\"备份😀\"", "\"????\"");
        },
    ),
    damage("value-enum", "an ENUM's value", PlainEach, Restore, |v| {
        v.put(CHINESE, "(1,\"香蕉\"", "(1,\"苹果\"");
    }),
    damage("value-null", "an empty text become NULL", Packed, Restore, |v| {
        v.put(LINES, "(\"line 1\",\"\")", "(\"line 1\",NULL)");
    }),
    damage(
        "value-not-null",
        "a NULL become an empty text",
        Packed,
        Restore,
        |v| {
            v.put(LINES, "(\"line 10\",NULL)", "(\"line 10\",\"\")");
        },
    ),
    damage("value-space", "a space at a text's end", Packed, Restore, |v| {
        v.put(LINES, "(\"line 3\"", "(\"line 3 \"");
    }),
    damage(
        "value-zero-date",
        "a zero date become a date",
        Packed,
        Restore,
        |v| {
            v.put(TWINS, "\"0000-00-00\"", "\"0001-01-01\"");
        },
    ),
    damage("value-float", "a FLOAT", PackedEach, Restore, |v| {
        v.put(TWINS, "(1,3,5,0.125", "(1,3,5,0.1251");
    }),
    damage("value-json", "a value within JSON", Packed, Restore, |v| {
        v.put(ORDERS, "{\\\"n\\\": 2,", "{\\\"n\\\": 3,");
    }),
    damage("value-bit", "a BIT", Packed, Restore, |v| {
        v.put(ORDERS, "\"\\0\x02\"", "\"\\0\x03\"");
    }),
    damage("value-blob", "one byte of a BLOB", Packed, Restore, |v| {
        v.change(("shop", "shop.pictures.sql"), |mut plain| {
            let at = plain.len() / 2;
            let offset = plain[at..]
                .iter()
                .position(u8::is_ascii_lowercase)
                .expect("a letter in a BLOB");
            plain[at + offset] ^= 1 << 5;
            plain
        });
    }),
    damage("value-micros", "a microsecond", Packed, Restore, |v| {
        v.put(ORDERS, "22:00:07.919001", "22:00:07.919002");
    }),
    damage(
        "values-swapped",
        "two columns of two rows exchanged",
        Packed,
        Restore,
        |v| {
            v.put(TWINS, "(7,21,35,", "(7,24,35,");
            v.put(TWINS, "(8,24,40,", "(8,21,40,");
        },
    ),
    damage(
        "evidence-rows",
        "the evidence, to fewer rows",
        Packed,
        Evidence,
        |v| {
            orders(v).rows = Some(1_999);
            v.set.write_evidence();
        },
    ),
    damage(
        "evidence-definition",
        "the evidence, to a table without its index",
        Packed,
        Restore,
        |v| {
            let definition = shop(v).definitions.get_mut("table orders").expect("a definition");
            let before = definition.0.len();
            definition.0.retain(|fact, _| !fact.contains("by_customer"));
            assert!(
                definition.0.len() < before,
                "no fact names the index: {definition:?}"
            );
            v.set.write_evidence();
        },
    ),
    damage(
        "evidence-forged",
        "a row and the evidence of it",
        Packed,
        Digest,
        |v| {
            v.line(ORDERS, "(77,", 0);
            let facts = orders(v);
            facts.rows = Some(1_999);
            facts.content = None;
            v.set.write_evidence();
        },
    ),
];

/// What does no harm: sets changed so that they hold the same. They must pass.
pub(super) const HARMLESS: &[Damage] = &[
    damage("harmless-order", "rows in another order", Packed, Restore, |v| {
        v.put(
            TWINS,
            "(7,21,35,0.875,\"0000-00-00\"),\n(8,24,40,1,\"2024-02-29\")",
            "(8,24,40,1,\"2024-02-29\"),\n(7,21,35,0.875,\"0000-00-00\")",
        );
    }),
    damage(
        "harmless-members",
        "a data file in two gzip members",
        Packed,
        Restore,
        |v| v.in_two_members(ORDERS),
    ),
    damage(
        "harmless-counter",
        "AUTO_INCREMENT raised",
        PlainEach,
        Restore,
        |v| {
            v.put(COUNTERS_SCHEMA, "AUTO_INCREMENT=5000", "AUTO_INCREMENT=6000");
        },
    ),
];

fn shop<'v>(victim: &'v mut Victim<'_>) -> &'v mut DatabaseInventory {
    let databases = &mut victim.set.evidence.inventory.databases;
    databases.get_mut("shop").expect("the shop is in the set")
}

fn orders<'v>(victim: &'v mut Victim<'_>) -> &'v mut TableInventory {
    shop(victim)
        .tables
        .get_mut("orders")
        .expect("the shop has orders")
}
