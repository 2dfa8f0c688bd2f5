//! How the promises of servers stand.

use super::{Findings, Grade};
use mykeeper_catalog::Catalog;
use mykeeper_config::Settings;
use mykeeper_daemon::promises::{describe, standings};
use mykeeper_domain::promise::PromiseState;
use mykeeper_domain::{Clock, SystemClock};

/// Where the catalog has no tables yet, or older ones, that is said elsewhere.
pub(super) async fn look_at_promises(settings: &Settings, catalog: &dyn Catalog, findings: &mut Findings) {
    match standings(catalog, settings, SystemClock.now()).await {
        Err(error) => findings.add(
            "promises",
            Grade::Warning,
            format!("how they stand cannot be told: {error}"),
        ),
        Ok(standings) => {
            for standing in standings {
                let grade = match standing.state {
                    PromiseState::Kept => Grade::Ok,
                    PromiseState::Broken => Grade::Warning,
                };
                findings.add(
                    format!("promise of server {}", standing.server),
                    grade,
                    describe(&standing),
                );
            }
        }
    }
}
