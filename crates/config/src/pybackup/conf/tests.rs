//! The documented file, and what people make of it.

use super::*;
use secrecy::ExposeSecret;

/// As documented, with the sections that later versions have.
const DOCUMENTED: &str = "[CATALOG]            --存储备份信息的数据库配置
db_host=localhost
db_port=3306
db_user=root
db_passwd=fanboshi
db_use=catalogdb

[TDB]              --需要备份的数据库配置
db_host=localhost
db_port=3307
db_user=root
db_passwd=fan boshi=#%'\"
db_use=information_schema
db_consistency=True  --0.7.0新增option,可以不写,不写则为False,后面会对这个option进行说明
db_list=test,fandb,union_log_ad_% --指定需要备份的数据库,可以使用mysql支持的通配符. 如果想要备份所有数据库则填写%

[rsync]
password_file=/data4/recover/pybackup/rsync.sec    --等同于--password-file
dest=platform@182.92.83.238/db_backup/106.3.130.84 --传输到哪个目录
address=                                           --使用的网卡.可以为空不指定

[pybackup]
tag=国内平台从1

[Validate]
bk_list=国内平台从1, 国内平台主2
";

fn parse(text: &str, needed: &[ConfPart]) -> Result<ReadConf, ConfigErrors> {
    parse_pybackup_conf(Path::new("/x/pybackup.conf"), text, needed)
}

const ALL: [ConfPart; 5] = [
    ConfPart::Catalog,
    ConfPart::Server,
    ConfPart::Databases,
    ConfPart::Rsync,
    ConfPart::Validate,
];

#[test]
fn the_documented_file_is_read_with_its_lines() {
    let read = parse(DOCUMENTED, &ALL).unwrap();
    assert_eq!(read.warnings, []);
    let conf = read.conf;
    let catalog = conf.catalog.unwrap();
    assert_eq!(
        (catalog.host.value.as_str(), catalog.port.value, catalog.line),
        ("localhost", 3306, 1)
    );
    assert_eq!(catalog.database.unwrap().value, "catalogdb");
    assert_eq!(catalog.password.unwrap().value.expose_secret(), "fanboshi");
    let server = conf.server.unwrap();
    assert_eq!((server.port.value, server.port.line), (3307, 10));
    assert_eq!(
        server.password.as_ref().unwrap().value.expose_secret(),
        "fan boshi=#%'\""
    );
    assert!(!format!("{server:?}").contains("boshi"));
    assert_eq!(
        conf.consistency,
        Some(Said {
            value: true,
            line: 14
        })
    );
    let databases = conf.databases.unwrap();
    let expected = ["test", "fandb", "union_log_ad_%"].map(str::to_owned).to_vec();
    assert_eq!(
        (databases.value, databases.line),
        (DatabaseSelection::Include(expected), 15)
    );
    let rsync = conf.rsync.unwrap();
    assert_eq!(rsync.dest.value, "platform@182.92.83.238/db_backup/106.3.130.84");
    assert_eq!(
        rsync.url.to_string(),
        "rsync://platform@182.92.83.238/db_backup/106.3.130.84"
    );
    assert_eq!(
        rsync.password_file.unwrap().value,
        Path::new("/data4/recover/pybackup/rsync.sec")
    );
    assert_eq!(rsync.address, None);
    assert_eq!(
        conf.tag,
        Some(Said {
            value: "国内平台从1".to_owned(),
            line: 23
        })
    );
    let tags: Vec<&str> = conf.validate.iter().map(|tag| tag.value.as_str()).collect();
    assert_eq!(tags, ["国内平台从1", "国内平台主2"]);
}

#[test]
fn a_percent_sign_is_one_whether_it_had_to_be_doubled_or_not() {
    let tdb = |passwd: &str, list: &str| {
        let text = format!("[TDB]\ndb_user=u\ndb_passwd={passwd}\ndb_list={list}\n");
        let read = parse(&text, &[ConfPart::Server]).unwrap();
        let password = read
            .conf
            .server
            .unwrap()
            .password
            .unwrap()
            .value
            .expose_secret()
            .to_owned();
        (password, read.conf.databases.unwrap().value, read.warnings.len())
    };
    let include = |pattern: &str| DatabaseSelection::Include(vec![pattern.to_owned()]);
    assert_eq!(tdb("a%b", "log_%"), ("a%b".to_owned(), include("log_%"), 0));
    assert_eq!(tdb("a%%b", "log_%"), ("a%%b".to_owned(), include("log_%"), 0));
    assert_eq!(tdb("a%%b", "log_%%"), ("a%b".to_owned(), include("log_%"), 1));
    assert_eq!(tdb("a%(b)s", "x"), ("a%(b)s".to_owned(), include("x"), 0));
}

#[test]
fn what_a_command_does_without_is_only_worth_a_look() {
    let text = "[CATALOG]\ndb_user=u\ndb_use=c\n[TDB]\ndb_port=x\ndb_list=!a,b\n[rsnyc]\ndset=x\n";
    let read = parse(text, &[ConfPart::Catalog]).unwrap();
    assert_eq!(read.warnings.len(), 3, "{:?}", read.warnings);
    let conf = read.conf;
    assert!(conf.server.is_none() && conf.databases.is_none() && conf.rsync.is_none() && conf.tag.is_none());
    let errors = parse(text, &ALL).unwrap_err();
    let told: Vec<_> = errors
        .mistakes
        .iter()
        .filter(|mistake| mistake.severity == Severity::Error)
        .map(|mistake| (mistake.line, mistake.message.as_str()))
        .collect();
    assert_eq!(
        told,
        [
            (0, "there is no [rsync] with a `dest`"),
            (0, "there is no section [Validate]"),
            (4, "[TDB] names no account"),
            (5, "this is no port"),
            (
                6,
                "`db_list` mixes databases that are backed up with databases that are not (\"!\")"
            ),
        ]
    );
}

#[test]
fn no_report_shows_a_password() {
    let text = "[TDB]\ndb_user=u\ndb_passwd=hunter2 --x\ndb_passwd=hunter2 ;y\ndb_passwrd=hunter2\nhunter2\n";
    let errors = parse(text, &ALL).unwrap_err();
    for shown in [errors.to_string(), errors.render(true), format!("{errors:?}")] {
        assert!(!shown.contains("hunter2"), "{shown}");
    }
    assert!(errors.to_string().contains("taken for a remark"), "{errors}");
}

#[test]
fn remarks_may_be_in_any_encoding_and_values_in_one() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pybackup.conf");
    let gbk = &b"\xb1\xb8\xb7\xdd"[..];
    let text = |tag: &[u8]| {
        [
            b"[CATALOG] --",
            gbk,
            b"\ndb_user=u\ndb_use=c\n[pybackup]\ntag=",
            tag,
            b"\n",
        ]
        .concat()
    };
    std::fs::write(&file, text(b"x")).unwrap();
    assert_eq!(
        read_pybackup_conf(&file, &[ConfPart::Catalog]).unwrap().warnings,
        []
    );
    std::fs::write(&file, text(gbk)).unwrap();
    let errors = read_pybackup_conf(&file, &[ConfPart::Catalog]).unwrap_err();
    assert!(errors.to_string().contains("is not UTF-8"), "{errors}");
}

#[test]
fn a_destination_is_read_as_pybackup_means_it() {
    for (dest, url) in [
        ("platform@h/db_backup/x", "rsync://platform@h/db_backup/x"),
        ("h/m", "rsync://h/m"),
        ("u@h:1873/m/", "rsync://u@h:1873/m"),
        ("u@h::m/x", "rsync://u@h/m/x"),
        ("rsync://u@h/m", "rsync://u@h/m"),
        ("u@h:/x", "u@h:/x"),
        ("/mnt/x", "/mnt/x"),
    ] {
        assert_eq!(destination_url(dest).unwrap().to_string(), url);
    }
    assert!(destination_url("nothing").is_err());
}
