//! The tables.

use super::figures::{Figure, Figures, Target, get, slowest};
use super::limits::{Limits, Stage};
use super::proof::Proofs;
use super::series::Series;
use super::ways::Way;
use crate::error::BenchError;
use crate::report::{grid, say};
use mykeeper_domain::packing::PackFormat;
use std::collections::BTreeMap;

/// Of pybackup's end to end, on the link and without a limit.
const OF_PYBACKUP_LIMITED: f64 = 0.25;
const OF_PYBACKUP: f64 = 0.35;
/// Of the slowest stage alone.
const OF_SLOWEST: f64 = 1.15;
/// Of the time of `mydumper -c`.
const SNAPSHOT: f64 = 0.35;
/// Of the size of what `mydumper -c` makes.
const SIZE_GZIP: f64 = 1.05;
const SIZE_ZSTD: f64 = 0.90;
/// Of pybackup's validate-backup.
const PROOF: f64 = 0.5;
/// The daemon's own.
const MEMORY_MB: f64 = 150.0;
/// Of all CPU time.
const CPU_BEYOND: f64 = 0.05;

/// Medians of every way over one link, and the ratios of them.
pub(super) fn print_series(series: &Series, limits: &Limits) -> Result<(), BenchError> {
    say(&series.head())?;
    let medians = series.medians();
    let mut rows = vec![row("", Way::ALL.iter().map(|way| way.name().to_owned()))];
    for figure in Figure::ALL {
        let values = Way::ALL.iter().map(|way| {
            let value = medians.get(way).and_then(|figures| figures.get(&figure));
            value.map_or_else(String::new, |value| figure.show(*value))
        });
        rows.push(row(figure.name(), values));
    }
    grid(&rows)?;
    print_targets(&targets(series, &medians, limits))?;
    for way in [Way::Gzip, Way::Zstd] {
        if let Some(line) = holding(way, series, &medians, limits) {
            say(&line)?;
        }
    }
    say("")
}

/// What each stage takes alone.
pub(super) fn print_limits(limits: &Limits, series: &[Series]) -> Result<(), BenchError> {
    say("each stage alone")?;
    let head = ["s", "CPU, s", "MB"].map(str::to_owned);
    let mut rows = vec![row("", head)];
    for stage in Stage::ALL {
        let cpu = match stage {
            Stage::Disk => String::new(),
            _ => format!("{:.2}", limits.cpu(stage)),
        };
        let megabytes = format!("{:.1}", limits.bytes(stage) / 1e6);
        rows.push(row(
            stage.name(),
            [format!("{:.2}", limits.wall(stage)), cpu, megabytes],
        ));
    }
    for one in series {
        for way in [Way::Gzip, Way::Zstd] {
            let name = format!("link, {}, the set of {}", one.name(), way.name());
            let seconds = format!("{:.2}", one.link_alone(way));
            rows.push(row(&name, [seconds, String::new(), String::new()]));
        }
    }
    grid(&rows)
}

/// Medians of both, and their ratio.
pub(super) fn print_proofs(proofs: &Proofs) -> Result<(), BenchError> {
    let wall = proofs.medians(|took| took.wall);
    let cpu = proofs.medians(|took| took.cpu);
    say("from a set that is there, which is the dump's end, to its proof")?;
    let seconds = |wall: f64, cpu: f64| [format!("{wall:.2}"), format!("{cpu:.2}")];
    grid(&[
        row("", ["s".to_owned(), "CPU, s, with the server's".to_owned()]),
        row("pybackup's validate-backup: myloader", seconds(wall.0, cpu.0)),
        row("mykeeper validate", seconds(wall.1, cpu.1)),
        row(
            "mykeeper's of pybackup's",
            seconds(wall.1 / wall.0, cpu.1 / cpu.0),
        ),
    ])?;
    print_targets(&[Target::new("proof of pybackup's", wall.1 / wall.0, PROOF)])?;
    say("")
}

fn row(name: &str, values: impl IntoIterator<Item = String>) -> Vec<String> {
    std::iter::once(name.to_owned()).chain(values).collect()
}

fn print_targets(targets: &[Target]) -> Result<(), BenchError> {
    let widest = targets
        .iter()
        .map(|target| target.name.chars().count())
        .max()
        .unwrap_or(0);
    targets.iter().try_for_each(|target| say(&target.line(widest)))
}

fn targets(series: &Series, medians: &BTreeMap<Way, Figures>, limits: &Limits) -> Vec<Target> {
    let of = |way: Way, figure: Figure| medians.get(&way).map_or(f64::NAN, |all| get(all, figure));
    let end_to_end = if series.is_limited() {
        OF_PYBACKUP_LIMITED
    } else {
        OF_PYBACKUP
    };
    let mut targets = Vec::new();
    for (way, format) in [(Way::Gzip, PackFormat::Gzip), (Way::Zstd, PackFormat::Zstd)] {
        let name = |what: &str| format!("{}: {what}", way.name());
        let stage = slowest(&stages(way, series, limits)).map_or(f64::NAN, |(_, seconds)| seconds);
        let complete = of(way, Figure::Complete);
        let beyond = of(way, Figure::Cpu)
            - of(way, Figure::CpuOfMydumper)
            - of(way, Figure::CpuOfRsync)
            - limits.cpu(Stage::of(format));
        let size = match format {
            PackFormat::Gzip => SIZE_GZIP,
            PackFormat::Zstd => SIZE_ZSTD,
        };
        targets.extend([
            Target::new(
                name("end to end of pybackup's"),
                complete / of(Way::Pybackup, Figure::Complete),
                end_to_end,
            ),
            Target::new(
                name("end to end of the slowest stage alone"),
                complete / stage,
                OF_SLOWEST,
            ),
            Target::new(
                name("snapshot held of mydumper -c"),
                of(way, Figure::Held) / of(Way::Snapshot, Figure::Held),
                SNAPSHOT,
            ),
            Target::new(
                name("size of mydumper -c"),
                of(way, Figure::Size) / of(Way::Snapshot, Figure::Size),
                size,
            ),
            Target::new(name("own memory, MB"), of(way, Figure::Peak) / 1e6, MEMORY_MB),
            Target::new(
                name("CPU of mykeeper beyond the compressor alone, of the whole"),
                beyond / of(way, Figure::Cpu),
                CPU_BEYOND,
            ),
            Target::new(
                name("CPU of mykeeper beyond its compressing threads, of the whole"),
                of(way, Figure::CpuOfRest) / of(way, Figure::Cpu),
                CPU_BEYOND,
            ),
        ]);
    }
    targets
}

/// Those that nobody passes, one beside the other.
fn stages(way: Way, series: &Series, limits: &Limits) -> Vec<(&'static str, f64)> {
    let mut stages = vec![("raw dump", limits.wall(Stage::RawDump))];
    if let Some(format) = way.format() {
        stages.push(("compressor", limits.wall(Stage::of(format))));
        stages.push(("link", series.link_alone(way)));
    }
    stages
}

/// `mykeeper: held by the compressor, 4.10 s alone; end to end 5.00 s, 1.22 times that`
fn holding(way: Way, series: &Series, medians: &BTreeMap<Way, Figures>, limits: &Limits) -> Option<String> {
    let (stage, seconds) = slowest(&stages(way, series, limits))?;
    let complete = get(medians.get(&way)?, Figure::Complete);
    Some(format!(
        "{}: held by the {stage}, {seconds:.2} s alone; end to end {complete:.2} s, {:.2} times that",
        way.name(),
        complete / seconds
    ))
}
