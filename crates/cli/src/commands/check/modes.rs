//! What a server's own SQL modes mean for who dumps it by hand.

use super::{Findings, Grade};
use mykeeper_tools::ToolError;
use mykeeper_tools::probe::Probe;

/// Names the modes of every new session of the server that would change what a dump says: mykeeper's are without them.
pub(super) async fn look_at_modes(
    what: String,
    probe: &mut Probe,
    findings: &mut Findings,
) -> Result<(), ToolError> {
    let modes = probe.modes_that_change_dumps().await?;
    if !modes.is_empty() {
        let detail = format!(
            "its global sql_mode has {}, which changes what a dump says: mykeeper takes that out of the sessions of its own \
             dumps, and another tool's are to be read with care",
            modes.join(", ")
        );
        findings.add(what, Grade::Note, detail);
    }
    Ok(())
}
