//! The dashboard of `deploy/grafana`: every query of it, as Grafana sends it, on catalogs that pybackup has filled and
//! that mykeeper has taken over.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends at what it did not expect"
)]

mod listed;
mod stage;
#[path = "../../../catalog/tests/adoption/tables.rs"]
#[expect(
    dead_code,
    reason = "pybackup's first versions knew no tag, and so no dashboard"
)]
mod tables;

use mykeeper_e2e::MySql;
use mykeeper_e2e::grafana::{Dashboard, DataSource, Frame, PanelQuery, View};
use stage::{Stage, bk_id};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Hours that the clocks of Asia/Shanghai are ahead.
const AHEAD: i64 = 8;
/// A tag as the seed has it, and one with everything in it that quoting stumbles over.
const OLD: &str = "国内平台从1";
const ODD: &str = "it's \"主2\"";
/// The panel that needs more than pybackup's tables.
const OWN: &str = "Runs that did not succeed";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/grafana")
}

fn dashboard() -> Dashboard {
    Dashboard::read(&folder().join("dashboards/mykeeper-backups.json"))
}

fn shipped(name: &str) -> String {
    std::fs::read_to_string(folder().join(name)).unwrap()
}

#[test]
fn the_dashboard_imports_without_a_change() {
    let dashboard = dashboard();
    let json = dashboard.json();
    assert_eq!(json["uid"], "mykeeper-backups");
    assert!(json["id"].is_null(), "an identity belongs to one installation");
    // Of Grafana 9.0: later ones bring it up to their own, earlier ones are not asked to read it.
    assert_eq!(json["schemaVersion"], 36);
    assert!(
        json.get("__inputs").is_none(),
        "nothing is asked for at the import"
    );
    let (mut ids, mut taken) = (BTreeSet::new(), BTreeSet::new());
    for panel in dashboard.panels() {
        let title = panel["title"].as_str().unwrap();
        assert!(
            ids.insert(panel["id"].as_u64().unwrap()),
            "{title}: its id is another panel's"
        );
        let place = |key: &str| panel["gridPos"][key].as_u64().unwrap();
        assert!(place("x") + place("w") <= 24, "{title} is wider than the screen");
        for y in place("y")..place("y") + place("h") {
            for x in place("x")..place("x") + place("w") {
                assert!(taken.insert((x, y)), "{title} lies on another panel");
            }
        }
    }
    for (name, variable) in dashboard.variables() {
        assert!(
            ["datasource", "tag", "known_days"].contains(&name.as_str()),
            "{name}"
        );
        assert_eq!(variable["hide"], 0);
    }
    let variables = dashboard.variables();
    assert_eq!(variables["datasource"]["query"], "mysql");
    assert_eq!(variables["tag"]["multi"], true);
    assert_eq!(variables["tag"]["includeAll"], true);
    sources_of(json, &mut |source| {
        assert_eq!(
            source,
            &serde_json::json!({"type": "mysql", "uid": "${datasource}"})
        );
    });
}

/// Every data source that something in it names.
fn sources_of(value: &serde_json::Value, look: &mut impl FnMut(&serde_json::Value)) {
    match value {
        serde_json::Value::Object(object) => {
            if let Some(source) = object.get("datasource") {
                look(source);
            }
            object.values().for_each(|value| sources_of(value, look));
        }
        serde_json::Value::Array(list) => list.iter().for_each(|value| sources_of(value, look)),
        _ => {}
    }
}

#[test]
fn what_is_provisioned_holds_no_password() {
    let source = shipped("provisioning/datasources/mykeeper.yaml");
    let passwords: Vec<&str> = source
        .lines()
        .map(str::trim)
        .filter(|line| line.starts_with("password:"))
        .collect();
    assert_eq!(
        passwords,
        ["password: $__file{/etc/grafana/mykeeper-catalog.password}"]
    );
    assert!(source.contains("timezone: \"+08:00\"") && source.contains("type: mysql"));
    let readme = shipped("README.md");
    let provider = shipped("provisioning/dashboards/mykeeper.yaml");
    let place = provider
        .lines()
        .find_map(|line| line.trim().strip_prefix("path: "))
        .unwrap();
    assert!(
        readme.contains(&format!("{place}/mykeeper-backups.json")),
        "{place}"
    );
    for query in dashboard().queries() {
        assert!(
            readme.contains(&query.title),
            "the README does not tell of {:?}",
            query.title
        );
    }
}

#[test]
fn every_panel_shows_what_pybackup_and_mykeeper_wrote() {
    every_panel_shows_it(&Stage::new());
}

#[test]
fn every_panel_shows_the_same_on_mysql_itself() {
    if let Some(mysql) = MySql::start_if_named("--skip-log-bin") {
        every_panel_shows_it(&Stage::with_catalogs_in(Some(mysql)));
    }
}

fn every_panel_shows_it(stage: &Stage) {
    every_query_yields_the_columns_that_its_panel_names(stage);
    the_report_tells_who_is_not_done(stage);
    the_lines_are_those_of_both_writers(stage);
    the_tables_show_every_set_and_test(stage);
    tags_are_chosen_whatever_is_in_their_names(stage);
    an_empty_catalog_is_no_error(stage);
    the_clock_tells_a_wrong_zone(stage);
    listed::the_commands_show_old_and_new_rows_alike(stage);
}

fn every_query_yields_the_columns_that_its_panel_names(stage: &Stage) {
    let dashboard = dashboard();
    let view = stage.view(7);
    let strict = "ONLY_FULL_GROUP_BY,STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,ANSI_QUOTES";
    for (database, sql_mode) in [
        ("plain", ""),
        ("plain", strict),
        ("catalogdb", ""),
        ("catalogdb", strict),
    ] {
        let source = stage.source(database, sql_mode);
        for query in dashboard.queries() {
            let answer = source.answer(&dashboard.expand(&query.sql, &view));
            if query.title == OWN && database == "plain" {
                assert!(
                    answer.is_err(),
                    "the README says that it needs an adopted catalog"
                );
                continue;
            }
            let frame = answer.unwrap_or_else(|error| panic!("{database}: {}: {error}", query.title));
            assert!(!frame.rows.is_empty(), "{database}: {} is empty", query.title);
            the_panel_finds_what_it_names(&query, &frame);
        }
        let tags =
            source.answer(&dashboard.expand(dashboard.variables()["tag"]["query"].as_str().unwrap(), &view));
        let tags: BTreeSet<String> = tags
            .unwrap()
            .rows
            .into_iter()
            .filter_map(|row| row[0].clone())
            .collect();
        let all = [OLD, ODD, "once", "long ago", "never", "gone"].map(str::to_owned);
        assert_eq!(tags, BTreeSet::from(all));
    }
}

fn the_panel_finds_what_it_names(query: &PanelQuery, frame: &Frame) {
    let title = &query.title;
    if query.format == "time_series" {
        assert_eq!(query.panel["type"], "timeseries");
        assert!(!frame.series().is_empty(), "{title}");
        return;
    }
    assert_eq!(
        (query.format.as_str(), query.panel["type"].as_str()),
        ("table", Some("table")),
        "{title}"
    );
    let names: Vec<&str> = frame.columns.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names.iter().collect::<BTreeSet<_>>().len(),
        names.len(),
        "{title}: {names:?}"
    );
    for named in &query.named {
        assert!(
            names.contains(&named.as_str()),
            "{title} has no column {named:?}: {names:?}"
        );
    }
    // What has a unit is a number; what has the unit of a time is one of milliseconds.
    for one in query.panel["fieldConfig"]["overrides"].as_array().unwrap() {
        let column = one["matcher"]["options"].as_str().unwrap();
        let at = names.iter().position(|name| *name == column).unwrap();
        for property in one["properties"].as_array().unwrap() {
            if property["id"] == "unit" {
                assert!(
                    frame.is_number(at),
                    "{title}: {column} is {}",
                    frame.columns[at].1
                );
            }
        }
    }
}

fn answer(stage: &Stage, database: &str, title: &str, view: &View) -> Frame {
    let dashboard = dashboard();
    let query = dashboard
        .queries()
        .into_iter()
        .find(|query| query.title == title)
        .unwrap();
    stage
        .source(database, "")
        .answer(&dashboard.expand(&query.sql, view))
        .unwrap()
}

fn the_report_tells_who_is_not_done(stage: &Stage) {
    let view = stage.view(3);
    let today = |database: &str| -> BTreeMap<String, [String; 3]> {
        let frame = answer(stage, database, "Completion today", &view);
        let row = |row: BTreeMap<&str, Option<&str>>| {
            let cell = |title: &str| row[title].unwrap_or("-").to_owned();
            (
                cell("Tag"),
                [cell("Completion"), cell("Sets"), cell("Complete sets")],
            )
        };
        frame.table().into_iter().map(row).collect()
    };
    let not_done = || ["not done", "0", "0"].map(str::to_owned);
    let mut expected: BTreeMap<String, [String; 3]> = [OLD, ODD, "once", "never", "gone"]
        .map(|tag| (tag.to_owned(), not_done()))
        .into();
    assert_eq!(today("plain"), expected);
    // mykeeper has made two sets, of which the later failed; a tag that is offline is nobody's concern.
    expected.insert(OLD.to_owned(), ["N", "2", "1"].map(str::to_owned));
    expected.remove("gone");
    assert_eq!(today("catalogdb"), expected);

    let frame = answer(stage, "catalogdb", "Completion per day", &view);
    let days: Vec<[String; 3]> = frame
        .table()
        .iter()
        .filter(|row| row["Tag"] == Some(OLD) || row["Tag"] == Some(ODD))
        .map(|row| ["Day", "Tag", "Completion"].map(|title| row[title].unwrap().to_owned()))
        .collect();
    // A tag is expected from its first set on; the newest set of a day is told, whichever day it is in UTC.
    let expected: Vec<[String; 3]> = [
        (0, ODD, "not done"),
        (0, OLD, "N"),
        (1, ODD, "Y"),
        (1, OLD, "Y,Y,Y"),
        (2, OLD, "Y,N,Y"),
        (3, OLD, "Y,Y,Y"),
    ]
    .map(|(before, tag, word)| [stage.day(before), tag.to_owned(), word.to_owned()])
    .into();
    assert_eq!(days, expected);
    let rows = frame.table();
    let once: Vec<&str> = rows
        .iter()
        .filter(|row| row["Tag"] == Some("once"))
        .filter_map(|row| row["Completion"])
        .collect();
    assert_eq!(once, ["not done"; 4]);
    assert!(
        rows.iter()
            .all(|row| row["Tag"] != Some("long ago") && row["Tag"] != Some("gone"))
    );
}

fn the_lines_are_those_of_both_writers(stage: &Stage) {
    let view = stage.view(3);
    let line = |database: &str, title: &str, tag: &str| -> Vec<(i64, f64)> {
        let mut series = answer(stage, database, title, &view).series();
        series.remove(tag).unwrap_or_default()
    };
    let at = |before: i64, time: &str| stage.instant(before, time);
    let [third, noon, second, first] = [
        at(3, "04:00:00"),
        at(3, "12:00:00"),
        at(2, "00:10:00"),
        at(1, "04:00:00"),
    ];
    assert_eq!(
        line("plain", "Success of backups", OLD),
        [(third, 1.0), (noon, 1.0), (second, 0.0), (first, 1.0)]
    );
    assert_eq!(
        line("plain", "Success of backups", ODD),
        [(at(1, "23:59:59"), 1.0)]
    );
    // What was never to be sent, or has not been tried, is no failure.
    assert_eq!(
        line("plain", "Success of transfers", OLD),
        [(third, 0.0), (second, 0.0), (first, 1.0)]
    );
    assert!(line("plain", "Success of transfers", ODD).is_empty());
    assert!(
        line("plain", "Duration of backups", OLD)
            .iter()
            .all(|(_, seconds)| *seconds == 47.0)
    );
    assert_eq!(
        line("plain", "Duration of transfers", OLD),
        [(third, 30.0), (first, 89.0)]
    );
    let gigabytes = 1.5 * f64::from(1 << 30);
    let sizes = vec![
        (third, gigabytes),
        (noon, gigabytes),
        (first, f64::from(480 << 20)),
    ];
    assert_eq!(line("plain", "Sizes", OLD), sizes);
    assert_eq!(line("plain", "Sizes", ODD), [(at(1, "23:59:59"), 0.0)]);

    // The same and mykeeper's two, where the times are exact to the second and the sizes to the byte.
    let made = stage.made.timestamp();
    let success = line("catalogdb", "Success of backups", OLD);
    assert_eq!((success.len(), success[4]), (6, (made, 1.0)));
    assert_eq!(success[5].1, 0.0);
    let sent = line("catalogdb", "Success of transfers", OLD);
    assert_eq!((sent.len(), sent[3], sent[4].1), (5, (made, 1.0), 0.0));
    let exact = stage.value("SELECT bk_bytes FROM catalogdb.user_backup WHERE validate_status = 'passed' AND node IS NOT NULL")
        .parse::<f64>()
        .unwrap();
    let both = line("catalogdb", "Sizes", OLD);
    assert_eq!(both[..3], sizes);
    assert_eq!(both[3], (made, exact));
}

fn the_tables_show_every_set_and_test(stage: &Stage) {
    let view = stage.view(3);
    let frame = answer(stage, "catalogdb", "Sets", &view);
    let rows = frame.table();
    assert_eq!(rows.len(), 7, "five of pybackup's, two of mykeeper's: {rows:#?}");
    let of = |id: u32| {
        let id = bk_id(id);
        rows.iter().find(|row| row["bk_id"] == Some(&id)).unwrap()
    };
    let old = of(1);
    let expected = [
        ("Started", format!("{}000", stage.instant(1, "04:00:00"))),
        ("Tag", OLD.to_owned()),
        ("Server", "106.3.130.84".to_owned()),
        ("Databases", "fandb,test,日志_库".to_owned()),
        ("Complete", "Y,Y,Y".to_owned()),
        ("Duration", "47".to_owned()),
        ("Size", (480 << 20).to_string()),
        ("Transfer", "N,N,Y".to_owned()),
        ("Transfer duration", "89".to_owned()),
        ("Destination", "platform@182.92.83.238/db_backup/".to_owned()),
        ("Restore test", "passed".to_owned()),
        ("Deleted", "N".to_owned()),
        ("Position", "mysql-bin.000036,61286,".to_owned()),
        ("Replica of", "Not a slave".to_owned()),
        ("Written by", "pybackup 0.10.13".to_owned()),
    ];
    for (title, value) in expected {
        assert_eq!(old[title], Some(value.as_str()), "{title}");
    }
    assert_eq!(
        (of(3)["Deleted"], of(2)["Size"], of(2)["Transfer duration"]),
        (Some("Y"), None, None)
    );
    let ours: Vec<_> = rows
        .iter()
        .filter(|row| row["Written by"].is_some_and(|by| by.contains("mykeeper")))
        .collect();
    let words: [Vec<&str>; 3] = ["Complete", "Transfer", "Restore test"]
        .map(|title| ours.iter().map(|row| row[title].unwrap()).collect());
    // Newest first.
    let expected: [Vec<&str>; 3] = [vec!["N", "Y"], vec!["Backup failed", "Y"], vec!["N/A", "passed"]];
    assert_eq!(words, expected);

    let frame = answer(stage, "catalogdb", "Restore tests", &view);
    let tests: BTreeSet<[Option<&str>; 4]> = frame
        .table()
        .iter()
        .map(|row| ["Tag", "Database", "Result", "Set"].map(|title| row[title]))
        .collect();
    let expected = [
        [Some(OLD), Some("fandb"), Some("sucess"), Some("passed")],
        [Some(OLD), Some("shop"), Some("sucess"), Some("passed")],
        // Of a set that nobody knows.
        [Some(ODD), Some("test"), Some("failed"), None],
    ];
    assert_eq!(tests, BTreeSet::from(expected));

    let frame = answer(stage, "catalogdb", OWN, &view);
    let rows = frame.table();
    assert_eq!(rows.len(), 1, "{rows:#?}");
    assert_eq!(
        (rows[0]["Job"], rows[0]["State"]),
        (Some("nightly"), Some("failed"))
    );
    let run = stage.workspace.runs_of("nightly").remove(0);
    assert_eq!(rows[0]["Reason"], run["reason"].as_str());
}

fn tags_are_chosen_whatever_is_in_their_names(stage: &Stage) {
    let dashboard = dashboard();
    let mut view = stage.view(7);
    for chosen in [vec![ODD], vec![OLD, "never"]] {
        let chosen: Vec<String> = chosen.into_iter().map(str::to_owned).collect();
        view.chosen.insert("tag".to_owned(), chosen.clone());
        for query in dashboard.queries() {
            let frame = stage
                .source("catalogdb", "")
                .answer(&dashboard.expand(&query.sql, &view))
                .unwrap();
            let tag = frame
                .columns
                .iter()
                .position(|(name, _)| name == "Tag" || name == "metric");
            let tags: BTreeSet<&String> = tag
                .into_iter()
                .flat_map(|at| frame.rows.iter().filter_map(move |row| row[at].as_ref()))
                .collect();
            assert!(
                tags.iter().all(|tag| chosen.contains(tag)),
                "{}: {tags:?}",
                query.title
            );
            let is_report = query.title.starts_with("Completion");
            assert!(
                !is_report || tags.len() == chosen.len(),
                "{}: {tags:?}",
                query.title
            );
        }
    }
    view.chosen = [("known_days".to_owned(), vec!["92".to_owned()])].into();
    let frame = answer(stage, "catalogdb", "Completion today", &view);
    assert!(frame.table().iter().any(|row| row["Tag"] == Some("long ago")));
}

fn an_empty_catalog_is_no_error(stage: &Stage) {
    let dashboard = dashboard();
    for query in dashboard.queries().into_iter().filter(|query| query.title != OWN) {
        let answer = stage
            .source("nothing", "")
            .answer(&dashboard.expand(&query.sql, &stage.view(7)));
        assert!(answer.is_ok(), "{}: {answer:?}", query.title);
    }
}

fn the_clock_tells_a_wrong_zone(stage: &Stage) {
    let dashboard = dashboard();
    let query = dashboard
        .queries()
        .into_iter()
        .find(|query| query.title == "Clock of the catalog")
        .unwrap();
    let sql = dashboard.expand(&query.sql, &stage.view(7));
    let age = |source: &DataSource| -> i64 {
        let frame = source.answer(&sql).unwrap();
        frame.table()[0]["Its age"].unwrap().parse().unwrap()
    };
    let mut source = stage.source("catalogdb", "");
    assert!(age(&source) >= 0);
    source.session[1] = "time_zone = '-04:00'".to_owned();
    let now = stage.made + chrono::Duration::minutes(1);
    source.session[2] = format!("timestamp = {}", now.timestamp());
    assert!(age(&source) < 0, "a set begins in the future there");
}
