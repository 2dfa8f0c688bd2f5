//! The zone of a host's clock on the wall.

use chrono_tz::{TZ_VARIANTS, Tz};
use std::path::{Path, PathBuf};

/// A compiled zone is a few kilobytes.
const MOST_BYTES: u64 = 1 << 20;

const WHAT_TO_DO: &str = "set TZ to its name, as in TZ=Asia/Shanghai, or make /etc/localtime a link into \
                          /usr/share/zoneinfo";

/// The zone that programs on this host show times in: `$TZ`, else what `/etc/localtime` below `root` is a link to, or
/// a copy of. Where it is a copy and nothing to compare it with is there, what `/etc/timezone` or
/// `/etc/sysconfig/clock` name. A host with none of these shows UTC.
///
/// # Errors
/// A sentence that says what to do: it is none that has a name.
pub(crate) fn zone_of_host(root: &Path, variable: Option<&str>) -> Result<Tz, String> {
    if let Some(named) = variable {
        // So does the C library.
        if named.is_empty() {
            return Ok(Tz::UTC);
        }
        let file = named.trim_start_matches(':');
        return match named_by_path(Path::new(file)).or_else(|| file.parse().ok()) {
            Some(zone) => Ok(zone),
            None if Path::new(file) == Path::new("/etc/localtime") => of_files(root),
            None => Err(format!(
                "TZ={named} is no time zone that has a name; {WHAT_TO_DO}"
            )),
        };
    }
    of_files(root)
}

/// The zone to write times in where one is needed whatever happens, and what is uncertain about it: the one that the
/// files of the host name, though its bytes are of another edition; else the fixed difference that the clock shows
/// now, `offset_seconds` east of UTC.
pub(crate) fn zone_or_nearest(
    root: &Path,
    variable: Option<&str>,
    offset_seconds: i32,
) -> (Tz, Option<String>) {
    let problem = match zone_of_host(root, variable) {
        Ok(zone) => return (zone, None),
        Err(problem) => problem,
    };
    let said = said_by_files(root).filter(|_| variable.is_none());
    let zone = said.unwrap_or_else(|| fixed(offset_seconds));
    let warning = format!("{problem}; until then times are written in the zone {zone}");
    (zone, Some(warning))
}

/// Zones without summer time whose difference is no whole hour, in minutes east of UTC.
const HALF_HOURS: [(i32, Tz); 8] = [
    (-570, Tz::Pacific__Marquesas),
    (210, Tz::Asia__Tehran),
    (270, Tz::Asia__Kabul),
    (330, Tz::Asia__Kolkata),
    (345, Tz::Asia__Kathmandu),
    (390, Tz::Asia__Yangon),
    (525, Tz::Australia__Eucla),
    (570, Tz::Australia__Darwin),
];

/// The zone without summer time that is nearest: of whole hours each has a name, and `Etc/GMT-8` is eight hours east.
fn fixed(offset_seconds: i32) -> Tz {
    let same = |(minutes, _): &&(i32, Tz)| minutes * 60 == offset_seconds;
    if let Some((_, zone)) = HALF_HOURS.iter().find(same) {
        return *zone;
    }
    let hours = (f64::from(offset_seconds) / 3600.0).round();
    let name = match hours {
        0.0 => return Tz::UTC,
        hours if hours > 0.0 => format!("Etc/GMT-{hours}"),
        hours => format!("Etc/GMT+{}", -hours),
    };
    name.parse().unwrap_or(Tz::UTC)
}

fn of_files(root: &Path) -> Result<Tz, String> {
    let localtime = root.join("etc/localtime");
    let target = std::fs::canonicalize(&localtime).or_else(|_| std::fs::read_link(&localtime));
    if let Some(zone) = target.ok().and_then(|target| named_by_path(&target)) {
        return Ok(zone);
    }
    let said = said_by_files(root);
    let Some(bytes) = bytes_of(&localtime) else {
        return match localtime.symlink_metadata() {
            Ok(_) => said.ok_or_else(|| format!("/etc/localtime cannot be read; {WHAT_TO_DO}")),
            // So does the C library.
            Err(_) => Ok(said.unwrap_or(Tz::UTC)),
        };
    };
    let is_it = |zone: &Tz| bytes_of(&zoneinfo(root).join(zone.name())).is_some_and(|other| other == bytes);
    if let Some(zone) = said.filter(|zone| is_it(zone) || !zoneinfo(root).is_dir()) {
        return Ok(zone);
    }
    TZ_VARIANTS.into_iter().find(is_it).ok_or_else(|| {
        format!("which zone /etc/localtime is of cannot be told: it is a copy of none below /usr/share/zoneinfo; {WHAT_TO_DO}")
    })
}

fn zoneinfo(root: &Path) -> PathBuf {
    root.join("usr/share/zoneinfo")
}

/// `/usr/share/zoneinfo/Asia/Shanghai`, also in its folder `posix`.
fn named_by_path(path: &Path) -> Option<Tz> {
    let (_, name) = path.to_str()?.split_once("/zoneinfo/")?;
    let name = name
        .strip_prefix("posix/")
        .or(name.strip_prefix("right/"))
        .unwrap_or(name);
    name.parse().ok()
}

/// Debian's `/etc/timezone`, Red Hat's `/etc/sysconfig/clock`.
fn said_by_files(root: &Path) -> Option<Tz> {
    let text = |name: &str| std::fs::read_to_string(root.join(name)).unwrap_or_default();
    let debian = text("etc/timezone").trim().parse().ok();
    let clock = text("etc/sysconfig/clock");
    let mut values = clock.lines().filter_map(|line| {
        line.trim()
            .strip_prefix("ZONE=")
            .or(line.trim().strip_prefix("TIMEZONE="))
    });
    debian.or_else(|| values.find_map(|value| value.trim_matches(['"', '\'']).parse().ok()))
}

fn bytes_of(file: &Path) -> Option<Vec<u8>> {
    let metadata = std::fs::metadata(file).ok()?;
    let is_zone = metadata.is_file() && metadata.len() <= MOST_BYTES;
    is_zone.then(|| std::fs::read(file).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::{Offset, TimeZone};

    struct Host(tempfile::TempDir);

    impl Host {
        fn new() -> Self {
            let host = Self(tempfile::tempdir().unwrap());
            for (zone, bytes) in [("Asia/Shanghai", "TZif east"), ("Europe/Berlin", "TZif west")] {
                host.write(&format!("usr/share/zoneinfo/{zone}"), bytes);
            }
            std::fs::create_dir_all(host.0.path().join("etc/sysconfig")).unwrap();
            host
        }

        fn write(&self, name: &str, text: &str) {
            let path = self.0.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }

        fn zone(&self, variable: Option<&str>) -> Result<Tz, String> {
            zone_of_host(self.0.path(), variable)
        }
    }

    #[test]
    fn a_link_a_copy_and_what_distributions_write_name_the_zone() {
        let host = Host::new();
        assert_eq!(
            host.zone(None),
            Ok(Tz::UTC),
            "with nothing the C library shows UTC"
        );
        host.write(
            "etc/sysconfig/clock",
            "# written by hand\nZONE=\"Europe/Berlin\"\nUTC=true\n",
        );
        assert_eq!(host.zone(None), Ok(Tz::Europe__Berlin));
        host.write("etc/timezone", "Asia/Shanghai\n");
        assert_eq!(host.zone(None), Ok(Tz::Asia__Shanghai));
        // A copy counts, whatever an old file says.
        host.write("etc/localtime", "TZif west");
        assert_eq!(host.zone(None), Ok(Tz::Europe__Berlin));
        std::fs::remove_dir_all(host.0.path().join("usr")).unwrap();
        assert_eq!(
            host.zone(None),
            Ok(Tz::Asia__Shanghai),
            "there is nothing to compare it with"
        );
        let localtime = host.0.path().join("etc/localtime");
        std::fs::remove_file(&localtime).unwrap();
        std::os::unix::fs::symlink("../usr/share/zoneinfo/posix/America/Lima", localtime).unwrap();
        assert_eq!(host.zone(None), Ok(Tz::America__Lima));
        assert_eq!(host.zone(Some(":Europe/Berlin")), Ok(Tz::Europe__Berlin));
        assert_eq!(
            host.zone(Some("/usr/share/zoneinfo/Europe/Berlin")),
            Ok(Tz::Europe__Berlin)
        );
        assert_eq!(host.zone(Some(":/etc/localtime")), Ok(Tz::America__Lima));
    }

    #[test]
    fn a_zone_without_a_name_is_none() {
        let host = Host::new();
        host.write("etc/localtime", "TZif of nobody");
        let error = host.zone(None).unwrap_err();
        assert!(error.contains("TZ=Asia/Shanghai"), "{error}");
        assert!(host.zone(Some("CST-8")).unwrap_err().contains("TZ=CST-8"));
    }

    #[test]
    fn where_the_zone_has_no_name_times_are_written_in_the_nearest_and_that_is_said() {
        let host = Host::new();
        assert_eq!(host.zone(Some("")), Ok(Tz::UTC), "as the C library takes it");
        let nearest = |variable, offset| zone_or_nearest(host.0.path(), variable, offset);
        let (zone, warning) = nearest(Some("CST-8"), 8 * 3600);
        assert_eq!(zone.name(), "Etc/GMT-8");
        assert!(warning.unwrap().contains("TZ=CST-8"));
        assert_eq!(nearest(Some("X"), -5 * 3600).0.name(), "Etc/GMT+5");
        assert_eq!(nearest(Some("X"), 0).0, Tz::UTC);
        assert_eq!(nearest(Some("IST-5:30"), 19_800).0, Tz::Asia__Kolkata);
        assert_eq!(
            nearest(Some("X"), -12_600).0.name(),
            "Etc/GMT+4",
            "no zone has that all year"
        );
        // They have that difference in summer and in winter.
        for (minutes, zone) in HALF_HOURS {
            for month in [1, 7] {
                let day = chrono::NaiveDate::from_ymd_opt(2026, month, 1).unwrap();
                let offset = zone.offset_from_utc_date(&day).fix().local_minus_utc();
                assert_eq!(offset, minutes * 60, "{zone}");
            }
        }
        host.write("etc/localtime", "TZif of an older edition");
        host.write("etc/timezone", "Asia/Shanghai\n");
        let (zone, warning) = nearest(None, 0);
        assert_eq!(zone, Tz::Asia__Shanghai);
        assert!(warning.unwrap().contains("Asia/Shanghai"));
        assert_eq!(nearest(Some("Europe/Berlin"), 0), (Tz::Europe__Berlin, None));
    }
}
