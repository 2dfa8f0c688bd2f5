//! Sixty-four bytes at a time: which of them are within strings, and what stands outside.
//!
//! A fast way through what nearly all of a dump consists of, the rows themselves. Whatever is not plainly that, it
//! leaves to the way byte by byte, untouched.

use wide::u8x16;

/// Bytes looked at together.
pub(super) const BLOCK_BYTES: usize = 64;

/// Where a block begins, or the one after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Within a string.
    pub(super) in_text: bool,
    /// Right after a backslash that has a meaning.
    pub(super) escaped: bool,
    /// Open parentheses.
    pub(super) depth: u32,
    /// Rows begun so far.
    pub(super) rows: u64,
}

/// Why a block is left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// Something that takes a closer look.
    Unclear,
    /// A string in the other kind of quotes.
    OtherQuote,
}

/// One bit for each byte of a block, the first byte's the lowest.
struct Block([u8x16; 4]);

impl Block {
    fn new(bytes: &[u8; BLOCK_BYTES]) -> Self {
        let (parts, _) = bytes.as_chunks::<16>();
        Self(std::array::from_fn(|part| u8x16::new(parts[part])))
    }

    /// Where any of `wanted` stands.
    #[inline(always)]
    fn any<const N: usize>(&self, wanted: [u8; N]) -> u64 {
        let mut bits = 0;
        for (part, bytes) in self.0.iter().enumerate() {
            let mut found = u8x16::splat(0);
            for byte in wanted {
                found |= bytes.simd_eq(u8x16::splat(byte));
            }
            bits |= u64::from(found.to_bitmask()) << (16 * part);
        }
        bits
    }
}

/// Takes a block that begins between the rows of an INSERT or within one, outside of comments and of names. `quote`
/// is the kind of quotes that its strings are expected in.
pub(super) fn take(bytes: &[u8; BLOCK_BYTES], quote: u8, from: Place) -> Result<Place, Refused> {
    let block = Block::new(bytes);
    let backslashes = block.any([b'\\']);
    let (escaped, ends_escaping) = escaped(backslashes, from.escaped);
    let quotes = block.any([quote]) & !escaped;
    // An opening quote counts as within, a closing one does not.
    let within = parity(quotes) ^ if from.in_text { u64::MAX } else { 0 };
    let code = !(within | quotes);
    let after = Place {
        in_text: within >> 63 == 1,
        escaped: ends_escaping,
        ..from
    };
    if code == 0 {
        return Ok(after);
    }
    // A backslash outside of strings has no meaning, and spoils what was made of those behind it.
    let minuses = block.any([b'-']) & code;
    let unclear = (block.any([b'`', b'#', b'/']) & code)
        | (backslashes & !within)
        // Two begin a comment, and one at the end may be the first of them.
        | (minuses & ((minuses << 1) | (1 << 63)));
    if unclear != 0 {
        return Err(Refused::Unclear);
    }
    let other = if quote == b'"' { b'\'' } else { b'"' };
    let (others, opening, closing) = (
        block.any([other]),
        block.any([b'(']) & code,
        block.any([b')']) & code,
    );
    if others & code != 0 {
        return Err(Refused::OtherQuote);
    }
    count(bytes, code, (opening, closing), after)
}

/// Which bytes have a backslash before them that is not itself behind such a one; and whether the first byte behind
/// the block has.
fn escaped(backslashes: u64, first: bool) -> (u64, bool) {
    const EVEN: u64 = 0x5555_5555_5555_5555;
    let first = u64::from(first);
    if backslashes == 0 {
        return (first, false);
    }
    // Each run of backslashes is escaped in turns; adding to its start carries to the byte behind its end, and
    // tells by the place whether that one is escaped.
    let active = backslashes & !first;
    let follows = (active << 1) | first;
    let odd_starts = active & !EVEN & !follows;
    let (sum, overflow) = odd_starts.overflowing_add(active);
    let escaped = (EVEN ^ (sum << 1)) & follows;
    (escaped, overflow)
}

/// For each bit, whether the number of set bits up to and with it is odd.
fn parity(mut bits: u64) -> u64 {
    for shift in [1, 2, 4, 8, 16, 32] {
        bits ^= bits << shift;
    }
    bits
}

/// Follows the parentheses. Between rows nothing may stand but commas and space; so the end of the statement is left
/// alone too.
fn count(
    bytes: &[u8; BLOCK_BYTES],
    code: u64,
    (opening, closing): (u64, u64),
    from: Place,
) -> Result<Place, Refused> {
    let (mut depth, mut rows) = (from.depth, from.rows);
    let mut parentheses = opening | closing;
    // Bytes that stand between rows, piece by piece.
    let mut between = 0_u64;
    let mut passed = 0_u64;
    while parentheses != 0 {
        let bit = parentheses & parentheses.wrapping_neg();
        if depth == 0 {
            between |= (bit - 1) & !passed;
        }
        passed = bit | (bit - 1);
        if opening & bit != 0 {
            rows += u64::from(depth == 0);
            depth += 1;
        } else {
            depth = depth.saturating_sub(1);
        }
        parentheses ^= bit;
    }
    if depth == 0 {
        between |= !passed;
    }
    let mut between = between & code;
    while between != 0 {
        let at = between.trailing_zeros() as usize;
        if !matches!(bytes[at], b',' | b'\n' | b' ' | b'\r') {
            return Err(Refused::Unclear);
        }
        between &= between - 1;
    }
    Ok(Place { depth, rows, ..from })
}
