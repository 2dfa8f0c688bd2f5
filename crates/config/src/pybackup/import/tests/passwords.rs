//! Passwords: the one that exists is taken, and none is told.

use super::*;

#[test]
fn no_password_is_told() {
    let imported = Host::of_script(
        "pybackup mydumper password=geheim1 outputdir=/geheim1 user=geheim1\nrm -rf /geheim1/$x geheim1\n\
         PW=geheim1\npybackup mydumper \"password=${PW}\" outputdir=/b/`date +%F`\ngeheim1 geheim1\n",
    );
    let said = format!("{:?}", remarks(&imported));
    assert!(!said.contains("geheim1"), "{said}");
    assert!(
        imported
            .passwords
            .iter()
            .any(|file| file.password.expose_secret() == "geheim1")
    );
}

#[test]
fn no_word_whose_name_is_like_that_of_a_password_is_told_whatever_takes_it() {
    for line in [
        "pybackup mark-del --backup-dir=$D password=Secret99",
        "pybackup mark-del --backup-dir=/b/$D rootpwd=Secret99 mypass=\"Secret99 x\"",
        "pybackup validate-backup password=Secret99",
        "pybackup validate-backup --log-file=/x password=Secret99",
        "pybackup password=Secret99 mydumper outputdir=/b",
        "pybackup only-rsync --backup-dir=/b passwd=Secret99",
        "pybackup mydumper outputdir=/b/`date +%F` compress=Secret99",
        "rm -rf /b/$x pwd=Secret99",
        "rm -rf 'password=Secret99 Secret99'",
        "rm -rf `find /b -name password=Secret99`",
        "find /b -mtime +3 -name 'password=Secret99' -exec rm -rf {} \\;",
        ". /env/password=Secret99",
        "run-parts /x/password=Secret99",
        "/opt/passwd=Secret99/x.py",
    ] {
        let imported = Host::of_script(&format!(
            "{line}\npybackup mydumper outputdir=/b/`date +%F`\n{line}\n"
        ));
        let lines: Vec<&str> = imported.lines.iter().map(|line| line.text.as_str()).collect();
        let told = format!(
            "{}{}{:?}{lines:?}{:?}",
            imported.keeper,
            imported.schedule,
            remarks(&imported),
            imported.moved
        );
        assert!(!told.contains("Secret99"), "{line}\n{told}");
    }
}

#[test]
fn a_word_of_a_call_that_may_be_a_password_is_not_told() {
    for words in [
        "password Secret99",
        "password= Secret99",
        "user:root/Secret99",
        "p@Secret99",
        "--Secret99",
        "-pSecret99",
        "'a Secret99'",
        "Secret99=x",
        "pw=Secret99",
    ] {
        let imported = Host::of_script(&format!("pybackup mydumper outputdir=/b/`date +%F` {words}\n"));
        let told = format!("{}{}{:?}", imported.keeper, imported.schedule, remarks(&imported));
        assert!(!told.contains("Secret99"), "{words}{told}");
        assert!(imported.remarks.iter().any(|remark| remark.is_gap), "{words}");
    }
    let imported = Host::of_script("pybackup mydumper outputdir=/b/`date +%F` password-q7z\n");
    assert!(!imported.schedule.contains("q7z"), "{}", imported.schedule);
    let imported = Host::of_script("pybackup mydumper outputdir=/b/`date +%F` thread=8\n");
    assert!(
        remarks(&imported).concat().contains("\"threads\""),
        "{:#?}",
        remarks(&imported)
    );
}

#[test]
fn of_several_calls_for_one_account_the_password_that_exists_is_taken() {
    let call = |more: &str| format!("pybackup mydumper host=h user=u outputdir=/b/`date +%F` {more}\n");
    for (calls, password, contradicts) in [
        (["", "password=geheim1", ""], Some("geheim1"), None),
        (
            ["password=geheim1", "", "password=geheim1"],
            Some("geheim1"),
            None,
        ),
        (
            ["password=geheim1", "password=geheim2", ""],
            Some("geheim1"),
            Some((2, "/x.sh:1")),
        ),
        (
            ["password=$PW", "password=geheim1", ""],
            Some("geheim1"),
            Some((1, "/x.sh:2")),
        ),
        (["", "", ""], None, None),
    ] {
        let script = calls.map(call).concat();
        let imported = Host::of_script(&script);
        let found: Vec<&str> = imported.passwords[1..]
            .iter()
            .map(|file| file.password.expose_secret())
            .collect();
        assert_eq!(found, Vec::from_iter(password), "{script}{}", imported.keeper);
        let gaps: Vec<&Remark> = imported.remarks.iter().filter(|remark| remark.is_gap).collect();
        match contradicts {
            Some((line, other)) => {
                let is_told = |gap: &&Remark| gap.place.line == line && gap.text.contains(other);
                assert!(
                    gaps.into_iter().any(|gap| is_told(&gap)),
                    "{script}{:#?}",
                    remarks(&imported)
                );
            }
            None => assert!(!gaps.iter().any(|gap| gap.text.contains("password")), "{gaps:#?}"),
        }
        assert!(
            !format!("{:#?}{}{}", imported.remarks, imported.schedule, imported.keeper).contains("geheim")
        );
    }
    // A call wins over the conf, whichever comes first.
    let conf = CONF
        .replace("db_user=root", "db_user=u")
        .replace("db_host=localhost", "db_host=h");
    let script = [call(""), call("password=geheim1")].concat();
    let imported = Host {
        conf: &conf,
        crontab: "0 4 * * * /x.sh\n",
        scripts: vec![("/x.sh", &script)],
    }
    .import();
    assert_eq!(
        imported
            .passwords
            .last()
            .map(|file| file.password.expose_secret()),
        Some("geheim1")
    );
    let is_told = |remark: &Remark| {
        remark.place.file == Path::new("/data/backup_db/pybackup.conf")
            && remark.is_gap
            && remark.text.contains("/x.sh:2")
    };
    assert!(imported.remarks.iter().any(is_told), "{:#?}", remarks(&imported));
}

#[test]
fn of_a_command_the_name_of_its_program_is_told_alone() {
    let imported = Host::of_script(
        "obsolete=$(mysql -uroot -pS3cret -e 'select S3cret')\npybackup mark-del --backup-dir=$obsolete\n\
         pybackup mydumper outputdir=/b/`date +%F` --password=S3cret$x -pS3cret$y threads=$(nproc --S3cret)\n\
         rm -rf /b/`MYSQL_PWD=S3cret /opt/bin/mysql -e x` /b/$(\"$x S3cret\" y) /b/${PW:-S3cret}\n\
         source $(cat S3cret | grep S3cret)\nrm -rf $(echo $(psql S3cret))/x\n\
         find /b -mtime +7 -exec mysql -pS3cret \\; -exec rm -rf {} \\;\n\
         find $(mysql -pS3cret) -mtime +7 -exec rm -rf {} \\;\n\
         M=\"mysql -uroot -pS3cret\"\n$M -e x\nnice \"$M\" x\nenv MYSQL_PWD=S3cret mysqladmin x\nPASS[0]=S3cret\n\
         PW+=S3cret\n",
    );
    let written = format!(
        "{:#?}\n{}{}",
        remarks(&imported),
        imported.schedule,
        imported.keeper
    );
    assert!(!written.contains("S3cret"), "{written}");
    let told = [
        "marks $(mysql ...)",
        "/b/$(mysql ...)",
        "/b/$(...)",
        "/b/$PW",
        "$(cat ...) is not read",
        "$(psql ...)/x",
        "-exec mysql ...",
        "find $(mysql ...)",
        "\"mysqladmin\"",
    ];
    for shown in told {
        assert!(
            imported.remarks.iter().any(|remark| remark.text.contains(shown)),
            "{shown}: {written}"
        );
    }
}

#[test]
fn of_several_calls_for_one_account_the_stronger_encryption_is_written_and_the_other_told_of() {
    let call = |more: &str| format!("pybackup mydumper host=h user=u outputdir=/b/`date +%F` {more}\n");
    for calls in [
        ["", "ssl-mode=VERIFY_IDENTITY ca=/x"],
        ["ca=/x ssl-mode=VERIFY_IDENTITY", ""],
    ] {
        let imported = Host::of_script(&calls.map(call).concat());
        assert!(
            imported
                .keeper
                .contains("tls = { mode = \"verify-identity\", ca = \"/x\" }"),
            "{}",
            imported.keeper
        );
        let told = |remark: &&Remark| remark.is_gap && remark.text.contains("with another `tls`");
        assert_eq!(imported.remarks.iter().filter(told).count(), 1, "{calls:?}");
    }
}
