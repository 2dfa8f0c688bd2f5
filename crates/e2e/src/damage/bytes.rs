//! Damages of whole files, whatever they hold: flipped, cut, missing, empty, swapped, of another set.

use super::sets::Layout::{Packed, PackedEach, Plain, PlainEach};
use super::victim::Name;
use super::{Damage, Witness::*, damage};
use mykeeper_domain::manifest::EVIDENCE_FILE;

const DATA: Name = ("shop", "shop.orders.sql");
const OTHER_DATA: Name = ("shop", "shop.customers.sql");
const SCHEMA: Name = ("shop", "shop.orders-schema.sql");
const OTHER_SCHEMA: Name = ("shop", "shop.audit-schema.sql");
const VIEW: Name = ("shop", "shop.paid_orders-schema-view.sql");
const OTHER_VIEW: Name = ("shop", "shop.best_customers-schema-view.sql");
const STAND_IN: Name = ("shop", "shop.paid_orders-schema.sql");
const TRIGGER: Name = ("shop", "shop.orders-schema-triggers.sql");
const POST: Name = ("shop", "shop-schema-post.sql");
const CREATE: Name = ("shop", "shop-schema-create.sql");
const METADATA: Name = ("shop", "metadata");
const CHINESE: Name = ("日志 库-1", "日志 库-1.价格$-a b.sql");
const DOTTED: Name = ("shop.eu", "shop.eu.order lines.2017.sql");

pub(super) const DAMAGES: &[Damage] = &[
    damage("flip-data", "one bit of a data file", Packed, Digest, |v| {
        v.flip(DATA);
    }),
    damage(
        "flip-schema",
        "one bit of a table's definition",
        Packed,
        Digest,
        |v| v.flip(SCHEMA),
    ),
    damage("flip-view", "one bit of a view", Packed, Digest, |v| v.flip(VIEW)),
    damage(
        "flip-stand-in",
        "one bit of what stands in for a view",
        Packed,
        Digest,
        |v| v.flip(STAND_IN),
    ),
    damage("flip-trigger", "one bit of triggers", Packed, Digest, |v| {
        v.flip(TRIGGER);
    }),
    damage(
        "flip-routine",
        "one bit of routines and events",
        Packed,
        Digest,
        |v| v.flip(POST),
    ),
    damage("flip-create", "one bit of CREATE DATABASE", Packed, Digest, |v| {
        v.flip(CREATE);
    }),
    damage("flip-metadata", "one bit of metadata", Packed, Digest, |v| {
        v.flip(METADATA);
    }),
    damage(
        "flip-evidence",
        "one bit of the evidence file",
        Packed,
        Digest,
        |v| {
            v.flip(("", EVIDENCE_FILE));
        },
    ),
    damage("flip-plain-data", "one bit of a data file", Plain, Digest, |v| {
        v.flip(DATA);
    }),
    damage(
        "flip-plain-schema",
        "one bit of a table's definition",
        Plain,
        Digest,
        |v| v.flip(SCHEMA),
    ),
    damage("flip-plain-view", "one bit of a view", PlainEach, Digest, |v| {
        v.flip(VIEW);
    }),
    damage("flip-plain-trigger", "one bit of triggers", Plain, Digest, |v| {
        v.flip(TRIGGER);
    }),
    damage(
        "flip-plain-routine",
        "one bit of routines and events",
        PlainEach,
        Digest,
        |v| v.flip(POST),
    ),
    damage(
        "cut-all-but-one",
        "all but a data file's first byte",
        Packed,
        Restore,
        |v| v.cut(DATA, |_| 1),
    ),
    damage(
        "cut-in-header",
        "a data file behind its gzip header",
        Packed,
        Restore,
        |v| v.cut(DATA, |_| 10),
    ),
    damage(
        "cut-quarter",
        "three quarters of a data file",
        PackedEach,
        Restore,
        |v| v.cut(DATA, |all| all / 4),
    ),
    damage("cut-half", "half of a data file", Packed, Restore, |v| {
        v.cut(DATA, |all| all / 2);
    }),
    damage(
        "cut-checksum",
        "a data file's last 8 bytes, gzip's checksum",
        Packed,
        Restore,
        |v| {
            v.cut(DATA, |all| all - 8);
        },
    ),
    damage("cut-last-byte", "a data file's last byte", Packed, Restore, |v| {
        v.cut(DATA, |all| all - 1);
    }),
    damage(
        "cut-member",
        "a data file at a gzip member's end, a statement's too",
        Packed,
        Restore,
        |v| {
            v.cut_at_member(DATA, "\");\n");
        },
    ),
    damage(
        "cut-member-row",
        "a data file at a gzip member's end, amid a statement",
        Packed,
        Restore,
        |v| {
            v.cut_at_member(DATA, "),\n");
        },
    ),
    damage(
        "cut-statement",
        "a data file at a statement's end",
        Plain,
        Restore,
        |v| v.cut_behind(DATA, "\");\n"),
    ),
    damage(
        "cut-statement-gz",
        "a data file at a statement's end, packed again",
        PackedEach,
        Restore,
        |v| {
            v.cut_behind(DATA, "\");\n");
        },
    ),
    damage("cut-row", "a data file at a row's end", Plain, Restore, |v| {
        v.cut_behind(DATA, "),\n");
    }),
    damage("cut-in-row", "a data file amid a row", Plain, Restore, |v| {
        v.cut(DATA, |all| all / 2 + 13);
    }),
    damage(
        "cut-prelude",
        "a data file behind its first lines",
        Plain,
        Restore,
        |v| {
            v.cut_behind(DATA, "TIME_ZONE='+00:00' */;\n");
        },
    ),
    damage("cut-newline", "a data file's last newline", Plain, Digest, |v| {
        v.cut(DATA, |all| all - 1);
    }),
    damage(
        "cut-schema",
        "half of a table's definition",
        Plain,
        Restore,
        |v| v.cut(SCHEMA, |all| all / 2),
    ),
    damage(
        "cut-schema-gz",
        "half of a packed table's definition",
        Packed,
        Restore,
        |v| v.cut(SCHEMA, |all| all / 2),
    ),
    damage("cut-view", "half of a view", Plain, Restore, |v| {
        v.cut(VIEW, |all| all / 2);
    }),
    damage(
        "cut-view-statement",
        "a view at a statement's end",
        Plain,
        Restore,
        |v| {
            v.cut_behind(VIEW, "DROP VIEW IF EXISTS `paid_orders`;\n");
        },
    ),
    damage("cut-trigger", "half of triggers", Plain, Restore, |v| {
        v.cut(TRIGGER, |all| all / 2);
    }),
    damage(
        "cut-routine",
        "routines and events amid a body",
        Plain,
        Restore,
        |v| {
            v.cut_behind(POST, "UPDATE orders SET");
        },
    ),
    damage(
        "cut-routine-statement",
        "routines and events at a statement's end",
        PlainEach,
        Restore,
        |v| {
            v.cut_behind(POST, "ROUND(net * 1.19, 2);\n");
        },
    ),
    damage("cut-create", "half of CREATE DATABASE", Plain, Restore, |v| {
        v.cut(CREATE, |all| all / 2);
    }),
    damage("cut-metadata", "the end of metadata", Plain, Evidence, |v| {
        v.cut_behind(METADATA, "GTID:");
    }),
    damage("no-data", "a data file missing", Packed, Restore, |v| {
        v.remove(DATA);
    }),
    damage(
        "no-data-chinese",
        "a data file with a Chinese name missing",
        PackedEach,
        Restore,
        |v| v.remove(CHINESE),
    ),
    damage(
        "no-data-dotted",
        "a data file with dots and spaces missing",
        Plain,
        Restore,
        |v| v.remove(DOTTED),
    ),
    damage(
        "no-schema",
        "a table's definition missing",
        Packed,
        Restore,
        |v| v.remove(SCHEMA),
    ),
    damage(
        "no-schema-empty",
        "an empty table's definition missing",
        PackedEach,
        Restore,
        |v| v.remove(OTHER_SCHEMA),
    ),
    damage("no-view", "a view missing", Packed, Restore, |v| v.remove(VIEW)),
    damage(
        "no-view-top",
        "a view on a view missing",
        PlainEach,
        Restore,
        |v| v.remove(OTHER_VIEW),
    ),
    damage(
        "no-stand-in",
        "what stands in for a view missing",
        Packed,
        Digest,
        |v| v.remove(STAND_IN),
    ),
    damage("no-trigger", "triggers missing", Packed, Restore, |v| {
        v.remove(TRIGGER);
    }),
    damage(
        "no-routine",
        "routines and events missing",
        Packed,
        Restore,
        |v| v.remove(POST),
    ),
    damage("no-create", "CREATE DATABASE missing", Packed, Restore, |v| {
        v.remove(CREATE);
    }),
    damage(
        "no-create-empty",
        "CREATE DATABASE of an empty database missing",
        Packed,
        Restore,
        |v| {
            v.remove(("empty_one", "empty_one-schema-create.sql"));
        },
    ),
    damage("no-metadata", "metadata missing", Packed, Evidence, |v| {
        v.remove(METADATA);
    }),
    damage(
        "no-metadata-each",
        "metadata of one database missing",
        PackedEach,
        Evidence,
        |v| v.remove(METADATA),
    ),
    damage("no-evidence", "the evidence file missing", Packed, Digest, |v| {
        v.remove(("", EVIDENCE_FILE));
    }),
    damage(
        "no-database",
        "a database's folder missing",
        PlainEach,
        Restore,
        |v| {
            let folder = v.set.dir.join("union_log_ad_201711_db");
            v.database.set("union_log_ad_201711_db");
            std::fs::remove_dir_all(folder).expect("a folder of the set");
        },
    ),
    damage("empty-data", "an empty data file", Packed, Restore, |v| {
        v.empty(DATA);
    }),
    damage("empty-plain-data", "an empty data file", Plain, Restore, |v| {
        v.empty(DATA);
    }),
    damage("empty-schema", "an empty definition", Plain, Restore, |v| {
        v.empty(SCHEMA);
    }),
    damage("empty-view", "an empty view", PlainEach, Restore, |v| {
        v.empty(VIEW);
    }),
    damage("empty-trigger", "empty triggers", Plain, Restore, |v| {
        v.empty(TRIGGER);
    }),
    damage(
        "empty-routine",
        "empty routines and events",
        PlainEach,
        Restore,
        |v| v.empty(POST),
    ),
    damage("empty-create", "an empty CREATE DATABASE", Plain, Restore, |v| {
        v.empty(CREATE);
    }),
    damage("empty-metadata", "an empty metadata", Packed, Evidence, |v| {
        v.empty(METADATA);
    }),
    damage(
        "swap-data",
        "two tables' data files swapped",
        Packed,
        Evidence,
        |v| v.swap(DATA, OTHER_DATA),
    ),
    damage(
        "swap-databases",
        "data files of two databases swapped",
        Packed,
        Restore,
        |v| {
            v.swap(
                ("union_log_ad_201711_db", "union_log_ad_201711_db.log.sql"),
                ("union_log_ad_201712_db", "union_log_ad_201712_db.log.sql"),
            );
        },
    ),
    damage(
        "swap-schemas",
        "definitions of one table in two databases swapped",
        PackedEach,
        Restore,
        |v| {
            v.swap(SCHEMA, ("shop_old", "shop_old.orders-schema.sql"));
        },
    ),
    damage(
        "swap-creates",
        "CREATE DATABASE of two databases swapped",
        Packed,
        Restore,
        |v| {
            v.swap(CREATE, ("shop_old", "shop_old-schema-create.sql"));
        },
    ),
    damage(
        "swap-kinds",
        "a table's definition and its rows swapped",
        PlainEach,
        Restore,
        |v| v.swap(DATA, SCHEMA),
    ),
    damage(
        "older-data",
        "a data file of an older set, a value otherwise",
        Packed,
        Restore,
        |v| v.take_older(DATA),
    ),
    damage(
        "older-data-rows",
        "a data file of an older set, a row less",
        PlainEach,
        Restore,
        |v| {
            v.take_older(("shop", "shop.visits.sql"));
        },
    ),
    damage(
        "older-schema",
        "a definition of an older set",
        Packed,
        Restore,
        |v| v.take_older(OTHER_SCHEMA),
    ),
    damage(
        "older-metadata",
        "metadata of an older set",
        Packed,
        Evidence,
        |v| v.take_older(METADATA),
    ),
    damage(
        "older-set",
        "every file of an older set that was another",
        Packed,
        Restore,
        |v| {
            for name in [
                "shop.orders.sql",
                "shop.visits.sql",
                "shop.audit-schema.sql",
                "metadata",
            ] {
                v.take_older(("shop", name));
            }
        },
    ),
    damage(
        "wrong-position",
        "another position in metadata",
        PackedEach,
        Evidence,
        |v| {
            v.put(METADATA, "Pos: ", "Pos: 1");
        },
    ),
    damage(
        "more-sql",
        "a file of rows that the set never had",
        Packed,
        Digest,
        |v| {
            v.append_file(
                ("shop", "shop.orders.00009.sql"),
                "INSERT INTO `orders` (`id`) VALUES (999999);\n",
            );
        },
    ),
    damage(
        "unlisted-data",
        "a data file's entry gone from the manifest",
        Packed,
        Digest,
        |v| {
            v.unlist(DATA);
        },
    ),
    damage(
        "unlisted-metadata",
        "metadata's entry gone from the manifest",
        Packed,
        Evidence,
        |v| {
            v.unlist(METADATA);
        },
    ),
    damage(
        "unlisted-view",
        "a view and its entry gone",
        Plain,
        Restore,
        |v| {
            v.unlist(VIEW);
            v.remove(VIEW);
        },
    ),
];
