//! Sets that were made while their machine's clock was far behind.

use super::*;

#[test]
fn a_set_is_as_old_as_the_later_of_the_two_clocks_says() {
    let mut sets = nightly(3);
    // The newest of all, by the clock of the catalog.
    sets[2].started_at = at("2025-10-20T04:00:00Z");
    sets[2].begun_by_catalog_at = Some(at("2026-11-22T06:00:00Z"));
    // A clock that was ahead says what it ever did.
    sets[1].begun_by_catalog_at = Some(at("2025-01-01T00:00:00Z"));
    let within = KeepPolicy {
        within: Some(Duration::from_secs(40 * 3600)),
        ..KeepPolicy::default()
    };
    let context = context(Require::Complete);
    assert_eq!(kept(sets.clone(), &within, &context), ["10-20", "11-22", "11-21"]);
    let last = KeepPolicy {
        last: Some(KeepCount::Newest(1)),
        ..KeepPolicy::default()
    };
    assert_eq!(kept(sets, &last, &context), ["10-20"]);
}
