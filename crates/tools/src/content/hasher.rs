//! Rows, value by value, and the sum of their digests.

use std::fmt;

/// A value longer than this is digested as it comes rather than gathered first.
pub(super) const GATHERED_BYTES: usize = 256 * 1024;

/// The sum of the digests of rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Content {
    /// How many rows.
    pub rows: u64,
    sum: u128,
}

impl Content {
    /// That of both.
    pub fn and(self, other: Self) -> Self {
        Self {
            rows: self.rows.wrapping_add(other.rows),
            sum: self.sum.wrapping_add(other.sum),
        }
    }
}

impl fmt::Display for Content {
    /// 32 hexadecimal digits; without the number of rows.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.sum)
    }
}

/// One row after the other, value by value.
#[derive(Debug, Default)]
pub(crate) struct RowHasher {
    content: Content,
    /// The row so far, as far as it is not in `long`.
    gathered: Vec<u8>,
    /// What was there of a row too long to gather.
    long: Option<Box<blake3::Hasher>>,
    /// Bytes of the value at hand.
    value_bytes: u64,
}

impl RowHasher {
    /// More bytes of the value at hand.
    #[inline]
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.value_bytes += bytes.len() as u64;
        if self.gathered.len() + bytes.len() > GATHERED_BYTES {
            let hasher = self.long.get_or_insert_with(Box::default);
            hasher.update(&self.gathered);
            hasher.update(bytes);
            self.gathered.clear();
        } else {
            self.gathered.extend_from_slice(bytes);
        }
    }

    /// The value at hand ends.
    #[inline]
    pub(crate) fn end_value(&mut self) {
        self.gathered.extend_from_slice(&self.value_bytes.to_le_bytes());
        self.value_bytes = 0;
    }

    /// A value that is none.
    #[inline]
    pub(crate) fn null(&mut self) {
        self.gathered.extend_from_slice(&u64::MAX.to_le_bytes());
        self.value_bytes = 0;
    }

    /// The row ends.
    #[inline]
    pub(crate) fn end_row(&mut self) {
        let digest = match self.long.take() {
            None => blake3::hash(&self.gathered),
            Some(mut hasher) => hasher.update(&self.gathered).finalize(),
        };
        self.gathered.clear();
        let (first, _) = digest.as_bytes().as_chunks::<16>();
        self.content.sum = self
            .content
            .sum
            .wrapping_add(first.first().map_or(0, |bytes| u128::from_le_bytes(*bytes)));
        self.content.rows += 1;
    }

    /// Of all rows so far.
    pub(crate) fn content(&self) -> Content {
        self.content
    }
}

/// A number as it is, but -0 as 0.
#[inline]
pub(crate) fn unsigned_zero(number: &[u8]) -> &[u8] {
    match number.split_first() {
        Some((b'-', zero)) if is_zero(zero) => zero,
        _ => number,
    }
}

fn is_zero(digits: &[u8]) -> bool {
    digits.first() == Some(&b'0')
        && digits.iter().all(|byte| matches!(byte, b'0' | b'.'))
        && digits.iter().filter(|byte| **byte == b'.').count() <= 1
}
