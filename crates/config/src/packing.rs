//! `compression`, `level` and `chunk` of a backup job: who compresses the files of a set, and how tables are cut.

use crate::document::complaint;
use crate::section::{Entry, Section};
use mykeeper_domain::job::MydumperOption;
use mykeeper_domain::packing::{DEFAULT_CHUNK_BYTES, PackFormat, Packing};

/// mydumper's own option, and those by which it cuts tables itself.
const COMPRESS: &str = "compress";
const CUTS: [&str; 2] = ["chunk-filesize", "rows"];
const LEAST_CHUNK_BYTES: u64 = 1 << 20;

/// Who compresses.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Compression {
    /// mykeeper, as files finish.
    Own(PackFormat),
    /// Nobody.
    None,
    /// mydumper, as it writes.
    Mydumper,
}

const WORDS: [(&str, Compression); 4] = [
    ("gzip", Compression::Own(PackFormat::Gzip)),
    ("zstd", Compression::Own(PackFormat::Zstd)),
    ("none", Compression::None),
    ("mydumper", Compression::Mydumper),
];

/// How files are compressed, and about how many bytes of a table's rows go into one. `options` gets mydumper's own
/// where it is to compress. A mistake leaves the default.
pub(crate) fn read(
    section: &mut Section<'_>,
    options: &mut Vec<MydumperOption>,
) -> (Option<Packing>, Option<u64>) {
    let has = |options: &[MydumperOption], name: &str| options.iter().any(|option| option.name == name);
    let entry = section.take("compression");
    let chosen = entry.as_ref().and_then(|entry| entry.choice(&WORDS));
    let by_mydumper = has(options, COMPRESS);
    let compression = match chosen {
        None if by_mydumper => Compression::Mydumper,
        None => Compression::Own(PackFormat::default()),
        Some(chosen) => chosen,
    };
    match &entry {
        Some(entry) if by_mydumper && chosen.is_some() && compression != Compression::Mydumper => {
            entry.spot.mistake(
                complaint(
                    "mydumper's option \"compress\" and `compression` both say how files are compressed",
                )
                .help("take \"compress\" out of `mydumper`, or write compression = \"mydumper\""),
            );
        }
        _ if compression == Compression::Mydumper && !by_mydumper => options.push(MydumperOption {
            name: COMPRESS.to_owned(),
            value: None,
        }),
        _ => {}
    }
    let format = match compression {
        Compression::Own(format) => Some(format),
        Compression::None | Compression::Mydumper => None,
    };
    let level = section.take("level").and_then(|entry| read_level(&entry, format));
    let packing = format.map(|format| Packing {
        level: level.unwrap_or(format.default_level()),
        ..Packing::of(format)
    });
    let theirs = options.iter().find(|option| CUTS.contains(&option.name.as_str()));
    let chunk = match section.take("chunk") {
        Some(entry) => read_chunk(&entry, theirs),
        None => packing.map(|_| DEFAULT_CHUNK_BYTES).filter(|_| theirs.is_none()),
    };
    (packing, chunk)
}

fn read_level(entry: &Entry<'_>, format: Option<PackFormat>) -> Option<u8> {
    let Some(format) = format else {
        entry.spot.mistake(
            complaint("`level` is of compression = \"gzip\" or \"zstd\", and neither compresses here")
                .help("take it out"),
        );
        return None;
    };
    let levels = format.levels();
    let level = entry.whole_number(u64::from(*levels.start()), u64::from(*levels.end()))?;
    u8::try_from(level).ok()
}

fn read_chunk(entry: &Entry<'_>, theirs: Option<&MydumperOption>) -> Option<u64> {
    let chunk = entry.size_or_off()?;
    if let (Some(_), Some(theirs)) = (chunk, theirs) {
        entry.spot.mistake(
            complaint(format!(
                "mydumper's option {:?} and `chunk` both say how tables are cut",
                theirs.name
            ))
            .help("keep one of the two"),
        );
        return None;
    }
    if chunk.is_some_and(|bytes| bytes < LEAST_CHUNK_BYTES) {
        entry.spot.mistake(
            complaint("`chunk` is smaller than 1 MiB: mydumper cuts no finer")
                .help("write a size such as \"64 MiB\", or \"off\""),
        );
        return None;
    }
    chunk
}
