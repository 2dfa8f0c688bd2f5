//! Damages of definitions, within files that stay whole.

use super::sets::Layout::{Packed, PackedEach, PlainEach};
use super::victim::Name;
use super::{Damage, Witness::*, damage};

const ORDERS_SCHEMA: Name = ("shop", "shop.orders-schema.sql");
const CUSTOMERS_SCHEMA: Name = ("shop", "shop.customers-schema.sql");
const TWINS_SCHEMA: Name = ("shop", "shop.twins-schema.sql");
const VISITS_SCHEMA: Name = ("shop", "shop.visits-schema.sql");
const COUNTERS_SCHEMA: Name = ("shop", "shop.counters-schema.sql");
const VOUCHERS_SCHEMA: Name = ("shop", "shop.vouchers-schema.sql");
const TICKETS: Name = ("shop", "shop.tickets.sql");
const ITEMS_SCHEMA: Name = ("shop", "shop.order_items-schema.sql");
const TEAMS_SCHEMA: Name = ("shop", "shop.teams-schema.sql");
const VIEW: Name = ("shop", "shop.paid_orders-schema-view.sql");
const APP_VIEW: Name = ("shop", "shop.app_orders-schema-view.sql");
const TRIGGER: Name = ("shop", "shop.orders-schema-triggers.sql");
const TWINS_TRIGGERS: Name = ("shop", "shop.twins-schema-triggers.sql");
const POST: Name = ("shop", "shop-schema-post.sql");
const CREATE: Name = ("shop", "shop-schema-create.sql");
const DEFINER: &str = "DEFINER=`root`@`localhost`";
const NOBODY: &str = "DEFINER=`mallory`@`%`";

pub(super) const DAMAGES: &[Damage] = &[
    damage(
        "database-collation",
        "a database's collation",
        Packed,
        Restore,
        |v| {
            v.put(CREATE, "COLLATE utf8mb4_unicode_ci", "COLLATE utf8mb4_bin");
        },
    ),
    damage(
        "database-charset",
        "a database's character set",
        PlainEach,
        Restore,
        |v| {
            v.put(
                CREATE,
                "utf8mb4 COLLATE utf8mb4_unicode_ci",
                "latin1 COLLATE latin1_swedish_ci",
            );
        },
    ),
    damage("table-collation", "a table's collation", Packed, Restore, |v| {
        v.put(
            VISITS_SCHEMA,
            "COLLATE=utf8mb4_unicode_ci",
            "COLLATE=utf8mb4_general_ci",
        );
    }),
    damage("column-collation", "a column's collation", Packed, Restore, |v| {
        v.put(CUSTOMERS_SCHEMA, "latin1_swedish_ci", "latin1_bin");
    }),
    damage("column-type", "a column's type", Packed, Restore, |v| {
        v.put(TWINS_SCHEMA, "`bought` int(11)", "`bought` bigint(20)");
    }),
    damage("column-length", "a column's length", PlainEach, Restore, |v| {
        v.put(CUSTOMERS_SCHEMA, "varchar(60) NOT", "varchar(61) NOT");
    }),
    damage("column-null", "a column's NOT NULL", Packed, Restore, |v| {
        v.put(TWINS_SCHEMA, "`sold` int(11) NOT NULL", "`sold` int(11)");
    }),
    damage("column-default", "a column's default", Packed, Restore, |v| {
        v.put(ORDERS_SCHEMA, "DEFAULT 'new'", "DEFAULT 'paid'");
    }),
    damage("column-enum", "an ENUM's list", Packed, Restore, |v| {
        v.put(
            ORDERS_SCHEMA,
            "enum('new','paid','sent')",
            "enum('new','paid','sent','lost')",
        );
    }),
    damage(
        "column-added",
        "a column that never was",
        PackedEach,
        Restore,
        |v| {
            v.put(
                ORDERS_SCHEMA,
                "  `note` text",
                "  `extra` int(11) DEFAULT NULL,\n  `note` text",
            );
        },
    ),
    damage(
        "column-order",
        "two columns in each other's place",
        Packed,
        Restore,
        |v| {
            v.put(
                TWINS_SCHEMA,
                "  `bought` int(11) NOT NULL,\n  `sold` int(11) NOT NULL,\n",
                "  `sold` int(11) NOT NULL,\n  `bought` int(11) NOT NULL,\n",
            );
        },
    ),
    damage(
        "column-generated",
        "a generated column's expression",
        Packed,
        Restore,
        |v| {
            v.put(ORDERS_SCHEMA, "'order '", "'Order '");
        },
    ),
    damage("column-check", "a column's CHECK", Packed, Restore, |v| {
        v.put(ORDERS_SCHEMA, " CHECK (json_valid(`attributes`))", "");
    }),
    damage("index-dropped", "an index", Packed, Restore, |v| {
        v.put(ORDERS_SCHEMA, "  KEY `by_customer` (`customer_id`),\n", "");
    }),
    damage(
        "index-not-unique",
        "an index no longer unique",
        Packed,
        Restore,
        |v| {
            v.put(CUSTOMERS_SCHEMA, "UNIQUE KEY `by_name`", "KEY `by_name`");
        },
    ),
    damage("foreign-key-dropped", "a foreign key", Packed, Restore, |v| {
        v.put(
            ORDERS_SCHEMA,
            ",\n  CONSTRAINT `orders_customer` FOREIGN KEY (`customer_id`) REFERENCES `customers` (`id`)",
            "",
        );
    }),
    damage(
        "foreign-key-cascade",
        "a foreign key's ON DELETE, in a cycle",
        PlainEach,
        Restore,
        |v| {
            v.put(
                TEAMS_SCHEMA,
                "REFERENCES `members` (`id`)",
                "REFERENCES `members` (`id`) ON DELETE CASCADE",
            );
        },
    ),
    damage("auto-increment", "AUTO_INCREMENT lowered", Packed, Restore, |v| {
        v.put(COUNTERS_SCHEMA, "AUTO_INCREMENT=5000", "AUTO_INCREMENT=7");
    }),
    damage(
        "auto-increment-gone",
        "AUTO_INCREMENT of a table without rows",
        PlainEach,
        Restore,
        |v| {
            v.put(VOUCHERS_SCHEMA, " AUTO_INCREMENT=5000", "");
        },
    ),
    damage("sequence-row", "a sequence's row", Packed, Restore, |v| {
        v.drop_between(TICKETS, "INSERT INTO", "(27,");
        v.drop_between(TICKETS, "(27,", ";");
    }),
    damage(
        "sequence-next",
        "a sequence's next value",
        PlainEach,
        Restore,
        |v| {
            v.put(TICKETS, "(27,", "(17,");
        },
    ),
    damage("sequence-cycle", "a sequence's end", Packed, Restore, |v| {
        v.put(TICKETS, ",7,2,10,0,", ",7,2,10,1,");
    }),
    damage("engine", "a table's engine", Packed, Restore, |v| {
        v.put(VISITS_SCHEMA, "ENGINE=MyISAM", "ENGINE=InnoDB");
    }),
    damage("partitions", "a partition", Packed, Restore, |v| {
        v.drop_between(ITEMS_SCHEMA, "PARTITION `p2022`", "PARTITION `p2023`");
    }),
    damage("table-comment", "a table's comment", Packed, Restore, |v| {
        v.put(CUSTOMERS_SCHEMA, "COMMENT='people", "COMMENT='peeple");
    }),
    damage("view-body", "a view's condition", Packed, Restore, |v| {
        v.put(VIEW, "'paid'", "'sent'");
    }),
    damage("view-definer", "a view's definer", Packed, Restore, |v| {
        v.put(VIEW, DEFINER, NOBODY);
    }),
    damage(
        "view-definer-known",
        "a view's definer, to another account that is there",
        PlainEach,
        Restore,
        |v| {
            v.put(APP_VIEW, "DEFINER=`app`@`%`", DEFINER);
        },
    ),
    damage("view-security", "a view's SQL SECURITY", Packed, Restore, |v| {
        v.put(VIEW, "SQL SECURITY DEFINER", "SQL SECURITY INVOKER");
    }),
    damage(
        "view-early",
        "a view before the table it needs",
        Packed,
        Restore,
        |v| {
            v.put(
                ("shop", "shop.audit-schema.sql"),
                "CREATE TABLE",
                "CREATE VIEW `early` AS SELECT `id` FROM `visits_of_tomorrow`;\nCREATE TABLE",
            );
        },
    ),
    damage(
        "view-on-nothing",
        "a view on a table that is not there",
        PackedEach,
        Restore,
        |v| {
            v.put(VIEW, "from `orders`", "from `ordres`");
        },
    ),
    damage(
        "view-as-table",
        "a table in a view's place",
        Packed,
        Restore,
        |v| {
            v.change(VIEW, |_| {
                b"CREATE TABLE IF NOT EXISTS `paid_orders` (`id` int);\n".to_vec()
            });
        },
    ),
    damage(
        "view-client-charset",
        "the character set that a view was written in",
        Packed,
        Restore,
        |v| {
            v.put(
                VIEW,
                "character_set_client = utf8mb4",
                "character_set_client = latin1",
            );
        },
    ),
    damage(
        "view-setting",
        "a setting before a view that no server knows",
        PlainEach,
        Restore,
        |v| {
            v.put(
                VIEW,
                "character_set_client = utf8mb4",
                "character_set_client = utf8mb5",
            );
        },
    ),
    damage(
        "trigger-collation",
        "the collation that a trigger compares in",
        Packed,
        Restore,
        |v| {
            v.put(
                TRIGGER,
                "collation_connection = utf8mb4_general_ci",
                "collation_connection = utf8mb4_bin",
            );
        },
    ),
    damage(
        "routine-client-charset",
        "the character set that a routine was written in",
        Packed,
        Restore,
        |v| {
            v.put(
                POST,
                "character_set_client = utf8mb4",
                "character_set_client = utf8mb3",
            );
        },
    ),
    damage("trigger-dropped", "a trigger of two", Packed, Restore, |v| {
        v.drop_between(
            TWINS_TRIGGERS,
            "CREATE DEFINER=`root`@`localhost` TRIGGER twins_second",
            "SET character_set_client = @PREV",
        );
    }),
    damage("trigger-body", "a trigger's body", Packed, Restore, |v| {
        v.put(TRIGGER, "' -> '", "' => '");
    }),
    damage("trigger-timing", "a trigger's timing", PlainEach, Restore, |v| {
        v.put(TRIGGER, "AFTER UPDATE", "BEFORE UPDATE");
    }),
    damage("trigger-definer", "a trigger's definer", Packed, Restore, |v| {
        v.put(TRIGGER, DEFINER, NOBODY);
    }),
    damage("routine-dropped", "a function", Packed, Restore, |v| {
        v.drop_between(
            POST,
            "CREATE DEFINER=`root`@`localhost` FUNCTION",
            "SET character_set_client = @PREV",
        );
    }),
    damage("routine-body", "a function's body", Packed, Restore, |v| {
        v.put(POST, "net * 1.19", "net * 1.16");
    }),
    damage(
        "routine-parameter",
        "a parameter's type",
        PackedEach,
        Restore,
        |v| v.put(POST, "IN which BIGINT", "IN which INT"),
    ),
    damage("routine-definer", "a procedure's definer", Packed, Restore, |v| {
        v.put(
            POST,
            "CREATE DEFINER=`root`@`localhost` PROCEDURE",
            "CREATE DEFINER=`mallory`@`%` PROCEDURE",
        );
    }),
    damage(
        "routine-access",
        "a procedure's data access",
        Packed,
        Restore,
        |v| v.put(POST, "MODIFIES SQL DATA", "READS SQL DATA"),
    ),
    damage("event-dropped", "an event", PlainEach, Restore, |v| {
        v.drop_between(
            POST,
            "CREATE DEFINER=`root`@`localhost` EVENT `sweep`",
            "SET character_set_client = @PREV",
        );
    }),
    damage("event-schedule", "an event's schedule", Packed, Restore, |v| {
        v.put(POST, "EVERY 1 DAY", "EVERY 1 WEEK");
    }),
    damage(
        "event-enabled",
        "an event that was disabled",
        Packed,
        Restore,
        |v| v.put(POST, "NOT PRESERVE DISABLE", "NOT PRESERVE ENABLE"),
    ),
    damage("event-definer", "an event's definer", Packed, Restore, |v| {
        v.put(
            POST,
            "CREATE DEFINER=`root`@`localhost` EVENT `sweep`",
            "CREATE DEFINER=`mallory`@`%` EVENT `sweep`",
        );
    }),
    damage(
        "trigger-added",
        "a trigger that never was",
        Packed,
        Restore,
        |v| {
            v.append(
                TRIGGER,
                "CREATE TRIGGER never BEFORE DELETE ON visits FOR EACH ROW SET @never = 1;\n",
            );
        },
    ),
];
