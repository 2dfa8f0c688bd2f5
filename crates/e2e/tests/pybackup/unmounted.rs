//! A folder of sets whose disk is not there.

use crate::Host;

const HOME: &str = "/data4/recover/pybackup";

#[test]
fn a_folder_without_the_sets_that_were_made_there_is_marked_and_nothing_is_said_of_it() {
    let Some(host) = Host::or_skip() else { return };
    let root = host.at("data1/root");
    let is_marked = || {
        let entries = std::fs::read_dir(&root).unwrap();
        let mut names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.any(|name| name.starts_with(".mykeeper-unmounted."))
    };
    let dump = |day: &str| {
        let folder = format!("/data1/root/{day}");
        let line = format!(
            "mkdir -p {folder} && ./pybackup.py mydumper database=fandb outputdir={folder} --no-rsync"
        );
        host.run(HOME, &line)
    };
    for day in ["2026-01-07", "2026-01-08"] {
        dump(day).assert_code(0);
        assert!(!is_marked());
    }
    std::fs::rename(&root, host.at("data1/mounted")).unwrap();
    std::fs::create_dir(&root).unwrap();
    std::fs::write(root.join("pybackup.log"), "").unwrap();
    let ended = dump("2026-01-09");
    ended.assert_code(0);
    assert!(is_marked(), "{}", ended.said);
    assert!(!ended.said.contains("is its disk mounted?"), "{}", ended.said);
}
