//! From the start of a dump to a set that is complete at its destination: mykeeper beside pybackup's way and beside one
//! snapshot that is then sent, over a link that is the bottleneck and over one that is not.

mod figures;
mod limits;
mod link;
mod print;
mod proof;
mod scene;
mod series;
mod ways;

use crate::data::Keys;
use crate::error::BenchError;
use crate::report::say;
use crate::tree::stop_in_order;
use limits::Limits;
use print::{print_limits, print_proofs, print_series};
use proof::Proofs;
use scene::{Scene, describe, remove};
use series::Series;
use ways::{Taken, Way};

/// mydumper's own default, and so mykeeper's.
const THREADS: usize = 4;
/// Where the tools are looked for: what a service has.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Prints medians and ratios; with `prove` also of proofs.
pub(crate) fn measure((size_mb, keys): (u32, Keys), rounds: u32, prove: bool) -> Result<(), BenchError> {
    stop_in_order()?;
    let scene = Scene::new(size_mb, keys)?;
    say(&format!("away: {}\n", describe(&scene, (size_mb, keys))))?;
    let mut all = Vec::new();
    if scene.link.is_some() {
        all.push(Series::new(Some(scene.fitting_rate()?)));
    }
    all.push(Series::new(None));
    let mut limits = Limits::default();
    let mut proofs = Proofs::default();
    for _ in 0..rounds {
        limits.measure(&scene)?;
        // Of the last series, which all have.
        let mut kept = Vec::new();
        for series in &mut all {
            let keep = prove && !series.is_limited();
            series.measure(&scene, |way, taken| {
                if keep && matches!(way, Way::Pybackup | Way::Gzip) {
                    return set_aside(&scene, taken).map(|taken| kept.push(taken));
                }
                remove(&taken.set)
            })?;
        }
        if let [by_pybackup, by_mykeeper] = kept.as_slice() {
            proofs.measure(&scene, &by_pybackup.set, by_mykeeper)?;
        }
        kept.iter().try_for_each(|taken| remove(&taken.set))?;
    }
    for series in &all {
        print_series(series, &limits)?;
    }
    print_limits(&limits, &all)?;
    if proofs.is_empty() {
        return Ok(());
    }
    print_proofs(&proofs)
}

/// Out of the way of the next script; mykeeper's stays where its catalog has it.
fn set_aside(scene: &Scene, taken: Taken) -> Result<Taken, BenchError> {
    if !taken.id.is_empty() {
        return Ok(taken);
    }
    let set = scene.workspace.at("kept");
    std::fs::rename(&taken.set, &set).map_err(BenchError::io("set a set aside"))?;
    Ok(Taken { set, ..taken })
}
