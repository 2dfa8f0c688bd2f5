//! The two streams of a child.

use std::future::pending;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{ChildStderr, ChildStdout};

use crate::lines::LineSplitter;
use crate::outcome::Stream;

/// A little less than a pipe holds, so that a flooding child finds room again after each read.
const CHUNK_BYTES: usize = 32 * 1024;

/// Takes lines, without terminators.
pub(crate) type OnLine<'a> = dyn FnMut(Stream, &[u8]) + Send + 'a;

pub(crate) struct Output {
    stdout: Half<ChildStdout>,
    stderr: Half<ChildStderr>,
    bytes: u64,
}

impl Output {
    pub(crate) fn new(stdout: Option<ChildStdout>, stderr: Option<ChildStderr>) -> Self {
        Self {
            stdout: Half::new(Stream::Stdout, stdout),
            stderr: Half::new(Stream::Stderr, stderr),
            bytes: 0,
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.stdout.reader.is_some() || self.stderr.reader.is_some()
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn lines_cut(&self) -> u64 {
        self.stdout.lines.cut() + self.stderr.lines.cut()
    }

    /// Waits for one piece of output and hands on the lines it ends. Returns how many bytes there were: 0 when a
    /// stream ended. Loses nothing when dropped while waiting.
    pub(crate) async fn pump(&mut self, on_line: &mut OnLine<'_>) -> usize {
        // The branches take turns at random: neither stream can starve the other.
        let bytes = tokio::select! {
            bytes = self.stdout.read() => { self.stdout.take(bytes, on_line); bytes }
            bytes = self.stderr.read() => { self.stderr.take(bytes, on_line); bytes }
        };
        self.bytes += bytes as u64;
        bytes
    }

    /// Gives up on whatever still holds the streams open.
    pub(crate) fn close(&mut self, on_line: &mut OnLine<'_>) {
        self.stdout.close(on_line);
        self.stderr.close(on_line);
    }
}

struct Half<R> {
    stream: Stream,
    reader: Option<R>,
    buffer: Box<[u8]>,
    lines: LineSplitter,
}

impl<R: AsyncRead + Unpin> Half<R> {
    fn new(stream: Stream, reader: Option<R>) -> Self {
        Self {
            stream,
            reader,
            buffer: vec![0; CHUNK_BYTES].into_boxed_slice(),
            lines: LineSplitter::default(),
        }
    }

    async fn read(&mut self) -> usize {
        match &mut self.reader {
            // A failed read of a pipe is its end: there is no more to learn from it.
            Some(reader) => reader.read(&mut self.buffer).await.unwrap_or(0),
            None => pending().await,
        }
    }

    fn take(&mut self, bytes: usize, on_line: &mut OnLine<'_>) {
        if bytes == 0 {
            self.close(on_line);
        } else {
            let stream = self.stream;
            self.lines
                .feed(&self.buffer[..bytes], &mut |line| on_line(stream, line));
        }
    }

    fn close(&mut self, on_line: &mut OnLine<'_>) {
        let stream = self.stream;
        self.reader = None;
        self.lines.finish(&mut |line| on_line(stream, line));
    }
}
