//! `[sandbox]`

use crate::document::complaint;
use crate::keeper::top_key_hint;
use crate::section::Section;
use mykeeper_domain::sandbox::Sandbox;

/// The server does not start with much less.
const LEAST_MEMORY: u64 = 16 << 20;

/// Reads the section.
pub(crate) fn read(section: Option<Section<'_>>) -> Sandbox {
    let mut sandbox = Sandbox {
        server: "mariadbd".into(),
        directory: "/var/tmp".into(),
        memory_bytes: 1 << 30,
        threads: 4,
        nice: 10,
    };
    let Some(mut section) = section else {
        return sandbox;
    };
    if let Some(server) = section.take("server").and_then(|entry| entry.program()) {
        sandbox.server = server;
    }
    if let Some(directory) = section.take("directory").and_then(|entry| entry.absolute_path()) {
        sandbox.directory = directory;
    }
    if let Some(entry) = section.take("memory")
        && let Some(memory) = entry.size()
    {
        if memory < LEAST_MEMORY {
            entry.spot.mistake(
                complaint("a server does not start with so little memory").help("write at least \"16 MiB\""),
            );
        }
        sandbox.memory_bytes = memory;
    }
    let threads = section
        .take("threads")
        .and_then(|entry| entry.whole_number(1, 64));
    if let Some(threads) = threads.and_then(|threads| u32::try_from(threads).ok()) {
        sandbox.threads = threads;
    }
    let nice = section.take("nice").and_then(|entry| entry.whole_number(0, 19));
    if let Some(nice) = nice.and_then(|nice| u8::try_from(nice).ok()) {
        sandbox.nice = nice;
    }
    section.finish(top_key_hint);
    sandbox
}
