//! A mistake in mykeeper's own files, beside which cron goes on to call pybackup's command line.

use crate::Host;
use crate::host::PASSWORD;

#[test]
fn with_a_typo_in_the_schedule_a_dump_goes_by_the_node_and_the_state_of_the_daemon() {
    let Some(host) = Host::or_skip() else { return };
    host.write_private("data1/catalog.password", &format!("{PASSWORD}\n"));
    let keeper = format!(
        "node = \"db1\"\nstate_dir = \"/data2/kept\"\nschedule = \"schedule.toml\"\n\n[catalog]\n\
         url = \"mysql://root@127.0.0.1:{}/catalogdb\"\npassword_file = \"/data1/catalog.password\"\n",
        host.server.port()
    );
    host.write_private("data1/mykeeper.toml", &keeper);
    host.write_private(
        "data1/schedule.toml",
        "[retention.prune]\ncorn = \"0 4 * * *\"\ndirectory = \"/data1\"\nkeep = { last = 1 }\naction = \"delete\"\n\
         require = \"complete\"\n",
    );
    let ended = host.run(
        "/data4/recover/pybackup",
        "mykeeper --config /data1/mykeeper.toml pybackup --conf ./pybackup.conf mydumper database=fandb \
         outputdir=/data1/2026-01-01 --no-rsync",
    );
    ended.assert_code(0);
    let warned = ended.said.matches("/data1/schedule.toml has mistakes").count();
    assert_eq!(warned, 1, "{}", ended.said);
    assert_eq!(host.catalog().column("SELECT DISTINCT node FROM mk_run"), ["db1"]);
    assert!(host.at("data2/kept/locks").is_dir());
    assert!(!host.at("state/pybackup").exists());
}
