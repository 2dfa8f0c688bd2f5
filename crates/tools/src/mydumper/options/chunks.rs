//! Into how many files a table goes, and how many threads write them.

use super::DumpOptions;
use crate::mydumper::detect::MydumperInfo;

/// The option that cuts tables by the size of their files, in MiB.
pub(in super::super) const CHUNK_OPTION: &str = "chunk-filesize";
/// Threads of a mydumper that is told of none, and its statements' size in bytes.
const DEFAULT_THREADS: usize = 4;
const DEFAULT_STATEMENT_BYTES: u64 = 1_000_000;

impl DumpOptions {
    /// Cuts tables into files of about `chunk_bytes`, where no option of the job says how they are cut.
    #[must_use]
    pub fn chunked(mut self, info: &MydumperInfo, chunk_bytes: Option<u64>) -> Self {
        const MIB: u64 = 1 << 20;
        let Some(bytes) = chunk_bytes else { return self };
        if self.has(CHUNK_OPTION) || self.has("rows") || !info.knows(CHUNK_OPTION) {
            return self;
        }
        let size = match info.is_classic() {
            // It takes each statement for as many MiB as it may have, rounded up.
            true => {
                let statement = self
                    .number("statement-size")
                    .unwrap_or(DEFAULT_STATEMENT_BYTES)
                    .max(1);
                (bytes / statement).saturating_mul(statement.div_ceil(MIB))
            }
            false => bytes / MIB,
        };
        let most = u64::from(u32::MAX / 2);
        self.passed
            .push(format!("--{CHUNK_OPTION}={}", size.clamp(1, most)));
        self.names.insert(CHUNK_OPTION.to_owned());
        self
    }

    /// Whether the files of a table that is cut are numbered from 1 on without a gap: 0.10 begins one when the one before
    /// is full, and takes back none but the last, where no row came for it. By `rows` each number stands for a range of
    /// keys, which may hold none.
    pub(crate) fn numbers_all_files(&self) -> bool {
        self.is_classic && self.has(CHUNK_OPTION) && !self.has("rows")
    }

    /// How many threads read the server.
    pub(crate) fn threads(&self) -> usize {
        self.number("threads")
            .and_then(|threads| usize::try_from(threads).ok())
            .unwrap_or(DEFAULT_THREADS)
    }

    /// The value of an option that is passed on.
    fn number(&self, name: &str) -> Option<u64> {
        let begin = format!("--{name}=");
        let given = self.passed.iter().rev().find_map(|arg| arg.strip_prefix(&begin));
        given?.trim().parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mykeeper_domain::job::MydumperOption;

    fn info(version: (u32, u32, u32)) -> MydumperInfo {
        MydumperInfo {
            program: "mydumper".into(),
            banner: String::new(),
            version,
            options: ["chunk-filesize", "rows", "statement-size", "threads"]
                .map(str::to_owned)
                .into(),
        }
    }

    fn cut(texts: &[&str], version: (u32, u32, u32)) -> (String, usize) {
        let options: Vec<MydumperOption> = texts
            .iter()
            .map(|text| {
                let (name, value) = text.split_once('=').unwrap();
                MydumperOption {
                    name: name.to_owned(),
                    value: Some(value.to_owned()),
                }
            })
            .collect();
        let info = info(version);
        let read = DumpOptions::read(&info, &options).unwrap();
        let read = read.chunked(&info, Some(64 << 20));
        (read.passed.last().cloned().unwrap_or_default(), read.threads())
    }

    #[test]
    fn tables_are_cut_where_the_job_does_not_say_how() {
        const CLASSIC: (u32, u32, u32) = (0, 10, 0);
        assert_eq!(cut(&[], CLASSIC), ("--chunk-filesize=67".to_owned(), 4));
        // As many statements as come to 64 MiB.
        let small = cut(&["threads=2", "statement-size=50000"], CLASSIC);
        assert_eq!(small, ("--chunk-filesize=1342".to_owned(), 2));
        let large = cut(&["statement-size=4194304"], CLASSIC).0;
        assert_eq!(large, "--chunk-filesize=64");
        for theirs in ["rows=1000", "chunk-filesize=10"] {
            assert_eq!(cut(&[theirs], CLASSIC).0, format!("--{theirs}"));
        }
        assert_eq!(cut(&["statement-size=50000"], (1, 0, 1)).0, "--chunk-filesize=64");
    }
}
