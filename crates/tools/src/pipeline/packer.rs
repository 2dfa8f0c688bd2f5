//! Compresses piece by piece. Each piece becomes a gzip member or a zstd frame of its own, with its checksum: one after
//! the other they are a file that every reader of the format takes, and no more than a piece need be in memory, whatever
//! the file's size.

use mykeeper_domain::packing::{PackFormat, Packing};
use std::io;

/// A member costs its header and a dictionary that begins anew: well below a hundredth of what it holds.
const GZIP_PIECE_BYTES: usize = 1 << 20;
/// zstd looks further back.
const ZSTD_PIECE_BYTES: usize = 4 << 20;

/// One compressor with its memory, for one file after another.
pub struct Packer {
    engine: Engine,
    packed: Vec<u8>,
}

enum Engine {
    Gzip(libdeflater::Compressor),
    Zstd(zstd::bulk::Compressor<'static>),
}

impl std::fmt::Debug for Packer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Packer").finish_non_exhaustive()
    }
}

impl Packer {
    /// # Errors
    /// The level is none of the format's.
    pub fn new(packing: Packing) -> io::Result<Self> {
        let level = i32::from(packing.level);
        let engine = match packing.format {
            PackFormat::Gzip => {
                let level = libdeflater::CompressionLvl::new(level)
                    .map_err(|_| io::Error::other(format!("gzip has no level {level}")))?;
                Engine::Gzip(libdeflater::Compressor::new(level))
            }
            PackFormat::Zstd => {
                let mut compressor = zstd::bulk::Compressor::new(level)?;
                compressor.include_checksum(true)?;
                Engine::Zstd(compressor)
            }
        };
        Ok(Self {
            engine,
            packed: Vec::new(),
        })
    }

    /// How much it takes at a time.
    pub fn piece_bytes(&self) -> usize {
        match self.engine {
            Engine::Gzip(_) => GZIP_PIECE_BYTES,
            Engine::Zstd(_) => ZSTD_PIECE_BYTES,
        }
    }

    /// The next piece of a file, compressed.
    ///
    /// # Errors
    /// The library fails, which it does only for want of memory.
    pub fn pack(&mut self, piece: &[u8]) -> io::Result<&[u8]> {
        let bound = match &mut self.engine {
            Engine::Gzip(compressor) => compressor.gzip_compress_bound(piece.len()),
            Engine::Zstd(_) => zstd::zstd_safe::compress_bound(piece.len()),
        };
        if self.packed.len() < bound {
            self.packed.resize(bound, 0);
        }
        let length = match &mut self.engine {
            Engine::Gzip(compressor) => compressor
                .gzip_compress(piece, &mut self.packed)
                .map_err(|error| io::Error::other(format!("cannot compress: {error}")))?,
            Engine::Zstd(compressor) => compressor.compress_to_buffer(piece, self.packed.as_mut_slice())?,
        };
        Ok(self.packed.get(..length).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::process::{Command, Stdio};

    /// Rows as mydumper writes them: much alike, and with numbers that are not.
    fn rows(bytes: usize) -> Vec<u8> {
        let mut text = b"INSERT INTO `orders` VALUES".to_vec();
        let mut number = 1_u64;
        while text.len() < bytes {
            number = number
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let row = format!(
                "\n({},\"customer {}\",{}.{:02},\"2026-11-{:02} 10:{:02}:00\",NULL,\"shipped\"),",
                text.len(),
                number >> 48,
                number >> 52,
                number >> 58,
                1 + (number >> 40) % 28,
                (number >> 30) % 60
            );
            text.extend_from_slice(row.as_bytes());
        }
        text
    }

    fn packed(packing: Packing, plain: &[u8]) -> Vec<u8> {
        let mut packer = Packer::new(packing).unwrap();
        let mut packed = Vec::new();
        for piece in plain.chunks(packer.piece_bytes()) {
            packed.extend_from_slice(packer.pack(piece).unwrap());
        }
        packed
    }

    fn through(program: &str, input: Vec<u8>) -> Vec<u8> {
        let mut words = program.split(' ');
        let mut child = Command::new(words.next().unwrap())
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let writing = std::thread::spawn(move || stdin.write_all(&input));
        let output = child.wait_with_output().unwrap();
        writing.join().unwrap().unwrap();
        assert!(output.status.success(), "{program}");
        output.stdout
    }

    #[test]
    fn what_is_packed_is_read_by_everybody() {
        for length in [1, 100, GZIP_PIECE_BYTES, 3 * GZIP_PIECE_BYTES + 7] {
            let plain = &rows(length)[..length];
            let gzip = packed(Packing::of(PackFormat::Gzip), plain);
            assert!(through("zcat", gzip.clone()) == plain, "zcat, {length}");
            let mut text = Vec::new();
            flate2::read::MultiGzDecoder::new(gzip.as_slice())
                .read_to_end(&mut text)
                .unwrap();
            assert!(text == plain, "MultiGzDecoder, {length}");
        }
        let plain = rows(ZSTD_PIECE_BYTES + 9);
        let zstd = packed(Packing::of(PackFormat::Zstd), &plain);
        assert!(zstd::decode_all(zstd.as_slice()).unwrap() == plain);
    }

    #[test]
    fn every_level_that_may_be_written_is_one() {
        for format in [PackFormat::Gzip, PackFormat::Zstd] {
            for level in format.levels() {
                assert!(
                    Packer::new(Packing { format, level }).is_ok(),
                    "{format:?} {level}"
                );
            }
        }
    }

    #[test]
    fn it_is_no_larger_than_what_gzip_makes_and_zstd_is_smaller() {
        let plain = rows(8 << 20);
        // As mydumper: zlib, at its own default.
        let by_gzip = through("gzip -6", plain.clone()).len();
        let size = |format| packed(Packing::of(format), &plain).len();
        let (gzip, zstd) = (size(PackFormat::Gzip), size(PackFormat::Zstd));
        assert!(gzip * 100 <= by_gzip * 105, "{gzip} of {by_gzip}");
        assert!(zstd < gzip, "{zstd} of {gzip}");
    }
}
