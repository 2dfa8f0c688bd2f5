//! Counts as people read them.

use std::fmt::Display;

/// `1 record waits`, `2 records wait`: a count and the words that go with it.
pub fn counted<N: Display + PartialEq + From<u8>>(count: N, one: &str, many: &str) -> String {
    let words = if count == N::from(1) { one } else { many };
    format!("{count} {words}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_not_many() {
        assert_eq!(counted(0_usize, "set", "sets"), "0 sets");
        assert_eq!(counted(1_u64, "record waits", "records wait"), "1 record waits");
        assert_eq!(counted(2_u32, "set", "sets"), "2 sets");
    }
}
