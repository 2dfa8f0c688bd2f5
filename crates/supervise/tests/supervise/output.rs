//! Lines: whole, cut, strange, too many.

use std::time::{Duration, Instant};

use mykeeper_supervise::{Activity, ChildSpec, Exit, Limits, MAX_LINE_BYTES, Stream};
use tokio_util::sync::CancellationToken;

use crate::support::{LONG, lines_of, peak_memory_kib, run, sh, stdout_of, supervisor};

#[tokio::test]
async fn each_stream_keeps_its_lines_in_order() {
    let lines = lines_of(sh(
        "for i in 1 2 3; do echo out $i; echo err $i >&2; done; printf tail",
    ))
    .await;
    let of = |wanted| -> Vec<&str> {
        lines
            .iter()
            .filter(|(stream, _)| *stream == wanted)
            .map(|(_, line)| line.as_str())
            .collect()
    };
    assert_eq!(of(Stream::Stdout), ["out 1", "out 2", "out 3", "tail"]);
    assert_eq!(of(Stream::Stderr), ["err 1", "err 2", "err 3"]);
}

#[tokio::test]
async fn progress_that_returns_the_carriage_is_lines() {
    assert_eq!(
        stdout_of(sh(r"printf ' 10%%\r 50%%\r100%%\r\ndone\n'")).await,
        [" 10%", " 50%", "100%", "done"]
    );
}

#[tokio::test]
async fn bytes_that_are_not_utf_8_pass() {
    let mut lines = Vec::new();
    let mut keep = |_, line: &[u8]| lines.push(line.to_vec());
    let spec = sh(r"printf 'caf\351 \000\377\n'");
    supervisor()
        .run(spec, CancellationToken::new(), Activity::new(), &mut keep)
        .await
        .unwrap();
    assert_eq!(lines, [b"caf\xe9 \0\xff".to_vec()]);
}

#[tokio::test]
async fn a_line_of_100_mb_arrives_cut_in_little_memory() {
    let before = peak_memory_kib();
    let mut lines = Vec::new();
    let mut keep = |_, line: &[u8]| lines.push(line.len());
    let spec = sh("head -c 100000000 /dev/zero; echo; echo next");
    let finished = supervisor()
        .run(spec, CancellationToken::new(), Activity::new(), &mut keep)
        .await
        .unwrap();
    assert_eq!(lines, [MAX_LINE_BYTES, 4]);
    assert_eq!((finished.lines_cut, finished.output_bytes), (1, 100_000_006));
    let grown = peak_memory_kib() - before;
    assert!(grown < 20_000, "{grown} KiB");
}

#[tokio::test]
async fn a_flood_waits_for_a_slow_reader() {
    let before = peak_memory_kib();
    let mut lines = 0_u64;
    let mut count = |_, _: &[u8]| {
        lines += 1;
        if lines.is_multiple_of(1000) {
            std::thread::sleep(Duration::from_millis(1));
        }
    };
    let limits = Limits {
        timeout: Some(Duration::from_secs(2)),
        ..Limits::default()
    };
    let spec = ChildSpec::new("yes").limits(limits);
    let finished = supervisor()
        .run(spec, CancellationToken::new(), Activity::new(), &mut count)
        .await
        .unwrap();
    assert!(matches!(finished.exit, Exit::TimedOut { .. }));
    assert_eq!(
        lines,
        finished.output_bytes / 2,
        "every line of two bytes is handed on"
    );
    let grown = peak_memory_kib() - before;
    assert!(grown < 20_000, "{grown} KiB");
}

#[tokio::test]
async fn a_flood_of_stderr_does_not_stop_stdout() {
    let script = "{ head -c 50000000 /dev/zero | tr '\\0' '\\n' >&2; } & for i in 1 2 3 4 5; do echo $i; sleep 0.1; done; wait";
    let mut stdout = Vec::new();
    let mut stderr = 0_u64;
    let mut keep = |stream, line: &[u8]| match stream {
        Stream::Stdout => stdout.push(line.to_vec()),
        Stream::Stderr => stderr += 1,
    };
    let finished = supervisor()
        .run(sh(script), CancellationToken::new(), Activity::new(), &mut keep)
        .await
        .unwrap();
    assert_eq!(finished.exit, Exit::Success);
    assert_eq!(stdout, [b"1", b"2", b"3", b"4", b"5"]);
    assert_eq!(stderr, 50_000_000);
}

#[tokio::test]
async fn the_last_words_of_a_child_are_heard() {
    for _ in 0..20 {
        assert_eq!(stdout_of(sh("seq 2000; printf end")).await.len(), 2001);
    }
}

#[tokio::test]
async fn a_child_that_closes_its_output_and_runs_on_is_waited_for() {
    let before = Instant::now();
    let finished = run(sh("exec >&- 2>&-; sleep 0.5; exit 4")).await.unwrap();
    assert_eq!(finished.exit, Exit::Failed { code: 4 });
    assert!(before.elapsed() >= Duration::from_millis(500));
}

#[tokio::test]
async fn a_grandchild_that_holds_the_output_open_does_not_hold_the_run() {
    let before = Instant::now();
    let finished = run(sh("sleep 1000 & setsid sleep 1000 & echo done"))
        .await
        .unwrap();
    assert_eq!((finished.exit, finished.leftovers), (Exit::Success, 2));
    assert!(before.elapsed() < LONG);
}
