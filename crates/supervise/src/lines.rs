//! Bytes into lines, with bounded memory.

/// The longest line handed on; the rest of a longer one is dropped and counted.
pub const MAX_LINE_BYTES: usize = 64 * 1024;

/// Splits at `\n`, `\r` and `\r\n`. Holds at most one line's [`MAX_LINE_BYTES`].
#[derive(Debug, Default)]
pub(crate) struct LineSplitter {
    pending: Vec<u8>,
    cutting: bool,
    after_cr: bool,
    cut: u64,
}

impl LineSplitter {
    pub(crate) fn feed(&mut self, mut chunk: &[u8], emit: &mut dyn FnMut(&[u8])) {
        if self.after_cr && !chunk.is_empty() {
            self.after_cr = false;
            chunk = chunk.strip_prefix(b"\n").unwrap_or(chunk);
        }
        while let Some(end) = chunk.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
            let (line, rest) = chunk.split_at(end);
            if self.pending.is_empty() && !self.cutting && line.len() <= MAX_LINE_BYTES {
                emit(line);
            } else {
                self.hold(line);
                self.release(emit);
            }
            chunk = match rest {
                [b'\r', b'\n', rest @ ..] => rest,
                [b'\r'] => {
                    self.after_cr = true;
                    &[]
                }
                [_, rest @ ..] => rest,
                [] => &[],
            };
        }
        self.hold(chunk);
    }

    /// Hands on a last line that has no terminator.
    pub(crate) fn finish(&mut self, emit: &mut dyn FnMut(&[u8])) {
        if !self.pending.is_empty() {
            self.release(emit);
        }
    }

    pub(crate) fn cut(&self) -> u64 {
        self.cut
    }

    fn hold(&mut self, part: &[u8]) {
        let room = MAX_LINE_BYTES - self.pending.len();
        let kept = &part[..part.len().min(room)];
        self.pending.extend_from_slice(kept);
        if kept.len() < part.len() && !self.cutting {
            self.cutting = true;
            self.cut += 1;
        }
    }

    fn release(&mut self, emit: &mut dyn FnMut(&[u8])) {
        emit(&self.pending);
        self.pending.clear();
        self.cutting = false;
    }
}

#[cfg(test)]
mod tests {
    use super::{LineSplitter, MAX_LINE_BYTES};

    fn split(chunks: &[&[u8]]) -> (Vec<Vec<u8>>, u64) {
        let mut splitter = LineSplitter::default();
        let mut lines = Vec::new();
        for chunk in chunks {
            splitter.feed(chunk, &mut |line| lines.push(line.to_vec()));
        }
        splitter.finish(&mut |line| lines.push(line.to_vec()));
        (lines, splitter.cut())
    }

    #[test]
    fn every_terminator_ends_one_line() {
        let whole = b"a\nb\rc\r\nd\n\ne\r\rf";
        let expected: Vec<Vec<u8>> = ["a", "b", "c", "d", "", "e", "", "f"]
            .iter()
            .map(|line| line.as_bytes().to_vec())
            .collect();
        assert_eq!(split(&[whole]), (expected.clone(), 0));
        let single: Vec<&[u8]> = whole.chunks(1).collect();
        assert_eq!(split(&single), (expected.clone(), 0));
        for at in 0..whole.len() {
            assert_eq!(
                split(&[&whole[..at], &whole[at..]]),
                (expected.clone(), 0),
                "split at {at}"
            );
        }
    }

    #[test]
    fn an_over_long_line_keeps_its_head_and_is_counted_once() {
        let long = vec![b'x'; 3 * MAX_LINE_BYTES];
        let (lines, cut) = split(&[&long, &long, b"tail\nnext\n"]);
        assert_eq!(lines, vec![vec![b'x'; MAX_LINE_BYTES], b"next".to_vec()]);
        assert_eq!(cut, 1);
    }

    #[test]
    fn a_line_of_exactly_the_limit_is_whole() {
        let full = vec![b'x'; MAX_LINE_BYTES];
        let (lines, cut) = split(&[&full, b"\n"]);
        assert_eq!((lines, cut), (vec![full], 0));
    }

    #[test]
    fn nothing_gives_no_line() {
        assert_eq!(split(&[]), (Vec::new(), 0));
        assert_eq!(split(&[b"a\n"]), (vec![b"a".to_vec()], 0));
    }
}
