#![expect(
    clippy::redundant_closure_for_method_calls,
    reason = "a method's path is not general enough over the entry's lifetime"
)]

use super::*;
use crate::document::Document;
use crate::section::Section;

fn read<T>(value: &str, reader: impl Fn(&Entry<'_>) -> Option<T>) -> Result<T, String> {
    let document = Document::new("x.toml".into(), format!("key = {value}\n"));
    let tree = document.parse();
    let result = reader(&Section::top(&document, &tree).take("key").unwrap());
    drop(tree);
    let found: Vec<_> = document
        .into_found()
        .into_iter()
        .map(|mistake| format!("{}: {}", mistake.message, mistake.help.unwrap_or_default()))
        .collect();
    result.ok_or_else(|| found.join("; "))
}

#[test]
fn durations_are_read_as_people_write_them() {
    for (written, seconds) in [
        ("6h", 21_600),
        ("90m", 5_400),
        ("31d", 2_678_400),
        ("1h 30m", 5_400),
        ("0s", 0),
    ] {
        assert_eq!(
            read(&format!("{written:?}"), |entry| entry.duration()),
            Ok(Duration::from_secs(seconds))
        );
    }
    for (written, message) in [
        ("\"6\"", "\"6\" has no unit"),
        ("6", "`key` is a number"),
        ("\"six hours\"", "\"six hours\" is no duration"),
        ("\"-6h\"", "\"-6h\" is no duration"),
        ("\"1000y\"", "`key` is longer than 100 years"),
        ("\"99999999999999999999999d\"", "is no duration"),
        ("\" \"", "`key` is empty"),
    ] {
        let error = read(written, |entry| entry.duration()).unwrap_err();
        assert!(error.contains(message), "{error}");
    }
    assert!(
        read("\"0s\"", |entry| entry.positive_duration("no set is so young"))
            .unwrap_err()
            .contains("cannot be zero: no set is so young")
    );
    assert_eq!(read("\"never\"", |entry| entry.duration_or("never")), Ok(None));
    for written in ["\"nevr\"", "7", "\"7\""] {
        let error = read(written, |entry| entry.duration_or("never")).unwrap_err();
        assert!(error.contains("or \"never\""), "{error}");
    }
}

#[test]
fn sizes_and_rates_are_bytes() {
    assert_eq!(read("\"1 GiB\"", |entry| entry.size()), Ok(1 << 30));
    assert_eq!(read("\"50 MiB/s\"", |entry| entry.rate()), Ok(50 << 20));
    assert_eq!(read("\"50 MiB\"", |entry| entry.rate()), Ok(50 << 20));
    assert!(
        read("\"50 Mbit/s\"", |entry| entry.rate())
            .unwrap_err()
            .contains("counts bits")
    );
    for written in ["\"64\"", "\"0\""] {
        let error = read(written, |entry| entry.size()).unwrap_err();
        assert!(
            error.contains("has no unit") && error.contains("\"1 GiB\""),
            "{error}"
        );
    }
    assert!(
        read("\"much\"", |entry| entry.size())
            .unwrap_err()
            .contains("is no size")
    );
    assert!(
        read("\"99999999 EiB\"", |entry| entry.size())
            .unwrap_err()
            .contains("is no size")
    );
    assert!(read("50", |entry| entry.rate()).unwrap_err().contains("50 MiB/s"));
}

#[test]
fn a_zone_is_found_by_a_slip_and_by_its_city() {
    assert_eq!(
        read("\"Asia/Shanghai\"", |entry| entry.zone()),
        Ok(Tz::Asia__Shanghai)
    );
    for written in ["\"Asia/Shanghia\"", "\"shanghai\"", "\"asia/shanghai\""] {
        let error = read(written, |entry| entry.zone()).unwrap_err();
        assert!(error.contains("did you mean \"Asia/Shanghai\"?"), "{error}");
    }
    assert!(
        read("\"+08:00\"", |entry| entry.zone())
            .unwrap_err()
            .contains("IANA")
    );
}

#[test]
fn numbers_out_of_range_are_refused_in_every_notation() {
    assert_eq!(read("0x0cea", |entry| entry.whole_number(1, 65_535)), Ok(3306));
    assert_eq!(read("3_306", |entry| entry.whole_number(1, 65_535)), Ok(3306));
    for written in [
        "0",
        "-1",
        "65536",
        "99999999999999999999999",
        "\"3306\"",
        "3306.0",
    ] {
        assert!(
            read(written, |entry| entry.whole_number(1, 65_535)).is_err(),
            "{written}"
        );
    }
}

#[test]
fn paths_are_taken_as_written_and_never_climb() {
    let base = Path::new("/etc/mykeeper");
    assert_eq!(
        read("\"/data/./backup//x/\"", |entry| entry.absolute_path()),
        Ok("/data/backup/x".into())
    );
    assert_eq!(
        read("\"a.password\"", |entry| entry.path_beside(base)),
        Ok("/etc/mykeeper/a.password".into())
    );
    assert!(
        read("\"data\"", |entry| entry.absolute_path())
            .unwrap_err()
            .contains("relative")
    );
    assert!(
        read("\"/data/../etc\"", |entry| entry.absolute_path())
            .unwrap_err()
            .contains("climbs")
    );
    assert!(
        read("\"~/x\"", |entry| entry.absolute_path())
            .unwrap_err()
            .contains("shell")
    );
    assert!(
        read("\"bin/mydumper\"", |entry| entry.program())
            .unwrap_err()
            .contains("relative")
    );
    assert_eq!(
        read("\"mydumper\"", |entry| entry.program()),
        Ok("mydumper".into())
    );
}
