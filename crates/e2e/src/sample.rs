//! The sample data, shared with `deploy/quickstart.sh`.

/// Rows of `shop.orders` in the tests.
pub const ORDERS: u64 = 20_000;

/// Every database of the sample, in the server's order.
pub const SAMPLE_DATABASES: [&str; 9] = [
    "empty_one",
    "my-schema",
    "pay$roll",
    "shop",
    "shop.eu",
    "shop_old",
    "union_log_ad_201711_db",
    "union_log_ad_201712_db",
    "日志 库-1",
];

/// The statements that make it.
pub fn sample_sql() -> String {
    format!(
        "SET @mykeeper_orders = {ORDERS};\n{}",
        include_str!("../../../deploy/sample.sql")
    )
}
