//! Durations as people read them.

use std::time::Duration;

/// Below this, hundredths of a second are told.
const FINE: Duration = Duration::from_secs(10);

/// `250 ms`, `1.2s`, `42s`, `1h 30m`, `2d 4h`.
pub fn humane(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if seconds == 0 {
        return format!("{} ms", duration.as_millis());
    }
    if duration < FINE {
        let text = format!("{seconds}.{:02}", duration.subsec_millis() / 10);
        return format!("{}s", text.trim_end_matches('0').trim_end_matches('.'));
    }
    let (days, hours, minutes, rest) = (
        seconds / 86_400,
        seconds % 86_400 / 3600,
        seconds % 3600 / 60,
        seconds % 60,
    );
    [(days, "d"), (hours, "h"), (minutes, "m"), (rest, "s")]
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, unit)| format!("{count}{unit}"))
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_ones_are_told_finely_and_long_ones_in_whole_seconds() {
        for (millis, text) in [
            (0, "0 ms"),
            (999, "999 ms"),
            (1000, "1s"),
            (1249, "1.24s"),
            (2500, "2.5s"),
            (9050, "9.05s"),
            (10_900, "10s"),
            (90_000, "1m 30s"),
            (5_400_000, "1h 30m"),
            (187_200_000, "2d 4h"),
        ] {
            assert_eq!(humane(Duration::from_millis(millis)), text);
        }
    }
}
