//! What is said, and how soon, when the catalog cannot be had.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends at what it did not expect"
)]

mod packets;
#[path = "../throwaway/mod.rs"]
mod throwaway;
mod ways;

use chrono_tz::Tz;
use mykeeper_catalog::{Catalog, CatalogError, LeaseClock, LeaseTerm, OpenCatalog, open};
use mykeeper_domain::job::JobKind;
use mykeeper_domain::{JobName, NodeName};
use secrecy::SecretString;
use sqlx::Executor;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use throwaway::{Server, poll};

fn settings(url: impl Into<String>) -> OpenCatalog {
    OpenCatalog {
        url: url.into(),
        password: None,
        timezone: Tz::UTC,
        create: true,
    }
}

/// The newest migration that the repository holds.
fn latest_migration() -> i64 {
    std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../../migrations/sqlite"))
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.get(..4)?.parse().ok())
        .max()
        .unwrap()
}

fn lite(path: &Path) -> OpenCatalog {
    settings(format!("sqlite:{}", path.display()))
}

async fn refusal(settings: &OpenCatalog) -> String {
    match open(settings).await {
        Ok(_) => panic!("{settings:?} was opened"),
        Err(error) => error.to_string(),
    }
}

async fn write(catalog: &dyn Catalog) -> Result<(), CatalogError> {
    let now = "2026-11-22T12:00:00Z".parse().unwrap();
    let (node, job) = (NodeName::new("n").unwrap(), JobName::new("j").unwrap());
    catalog
        .know_job(
            &node,
            &mykeeper_catalog::JobDefinition {
                job,
                kind: JobKind::Backup,
                schedule: "0 4 * * * UTC".into(),
                choice: None,
            },
            now,
        )
        .await
        .map(drop)
}

#[tokio::test]
async fn a_url_that_cannot_be_used_is_explained_without_its_password() {
    for (url, said) in [
        ("postgres://x/y", "it must begin with \"sqlite:\" or \"mysql://\""),
        ("sqlite:catalog.db", "the path must be absolute"),
        (
            "mysql://keeper:s3cret@db/catalog",
            "a password has no place in it",
        ),
        ("postgres://keeper:s3cret@db/catalog", "it must begin with"),
        (
            "mysql://keeper:#s3cret@db/catalog",
            "a password has no place in it",
        ),
        (
            "mysql://keeper:a?s3cret@db/catalog",
            "a password has no place in it",
        ),
        ("mysql://keeper@db", "it names no database"),
        ("mysql://keeper@db:port/x", "invalid port"),
    ] {
        let error = refusal(&settings(url)).await;
        assert!(error.contains(said), "{error}");
        assert!(!error.contains("s3cret"), "{error}");
    }
    let secret = OpenCatalog {
        password: Some(SecretString::from("s3cret")),
        ..settings("mysql://k@h/d")
    };
    assert!(!format!("{secret:?}").contains("s3cret"));
}

#[tokio::test]
async fn a_sqlite_file_that_cannot_be_had_is_explained() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("catalog.db");
    let error = refusal(&OpenCatalog {
        create: false,
        ..lite(&file)
    })
    .await;
    assert!(
        error.contains("there is no such file: run \"mykeeper catalog migrate\""),
        "{error}"
    );
    assert!(!file.exists());
    let error = refusal(&lite(&directory.path().join("missing/catalog.db"))).await;
    assert!(error.contains("missing does not exist"), "{error}");
    let error = refusal(&lite(directory.path())).await;
    assert!(error.contains("it is a directory"), "{error}");
    std::fs::write(
        &file,
        "this is no database, however long one looks at it".repeat(100),
    )
    .unwrap();
    let error = refusal(&lite(&file)).await;
    assert!(error.contains("file is not a database"), "{error}");
}

#[tokio::test]
async fn a_read_only_sqlite_file_is_read_and_says_so_when_written() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("catalog.db");
    let catalog = open(&lite(&file)).await.unwrap();
    catalog.migrate().await.unwrap();
    catalog.close().await;
    drop(catalog);
    // A file format that this SQLite may only read: permissions do not bind root, who may run this test.
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[18] = 3;
    std::fs::write(&file, bytes).unwrap();
    let catalog = open(&lite(&file)).await.unwrap();
    assert_eq!(catalog.status().await.unwrap().backups, Some(0));
    let error = write(catalog.as_ref()).await.unwrap_err().to_string();
    assert!(
        error.contains("cannot note a job in the catalog: attempt to write a readonly database"),
        "{error}"
    );
}

#[tokio::test]
async fn a_newer_sqlite_catalog_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let here = lite(&directory.path().join("catalog.db"));
    open(&here).await.unwrap().migrate().await.unwrap();
    let path = here.url.strip_prefix("sqlite:").unwrap();
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
    let pool = sqlx::SqlitePool::connect_with(options).await.unwrap();
    sqlx::query("INSERT INTO mk_migration VALUES (999, 'later', '2030-01-01', TRUE, x'00', 1)")
        .execute(&pool)
        .await
        .unwrap();
    pool.close().await;
    let error = refusal(&here).await;
    assert!(
        error.contains("was migrated by a newer mykeeper (its tables are at version 999"),
        "{error}"
    );
}

#[tokio::test]
async fn a_server_that_is_not_there_is_reported_soon() {
    let begun = Instant::now();
    let error = refusal(&settings("mysql://k@127.0.0.1:1/catalog")).await;
    assert!(
        error.contains("cannot reach the catalog at mysql://k@127.0.0.1:1/catalog: Connection refused"),
        "{error}"
    );
    let error = refusal(&settings("mysql://k@localhost/catalog?socket=/nonexistent/s")).await;
    assert!(error.contains("No such file or directory"), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_goes_away_is_reported_and_found_again() {
    goes_away_and_comes_back(Server::mariadb().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mysql_that_goes_away_is_reported_and_found_again() {
    if let Some(server) = Server::mysql().await {
        goes_away_and_comes_back(server).await;
    }
}

async fn goes_away_and_comes_back(mut server: Server) {
    server
        .sql(
            "mysql",
            "CREATE DATABASE catalog; CREATE USER keeper@localhost IDENTIFIED BY 's3cret'; \
             GRANT CREATE, ALTER, INDEX, SELECT, INSERT, UPDATE, DELETE ON catalog.* TO keeper@localhost",
        )
        .await;
    let keeper = OpenCatalog {
        password: Some(SecretString::from("s3cret")),
        ..settings(server.url("keeper", "catalog"))
    };
    refusals_hold_the_servers_words(&keeper, &server).await;

    let catalog = open(&keeper).await.unwrap();
    catalog.migrate().await.unwrap();
    write(catalog.as_ref()).await.unwrap();

    server.signal("STOP");
    let error = unreachable_within(&catalog, 12).await;
    assert!(error.contains("no answer within"), "{error}");
    server.signal("CONT");
    recovers(&catalog).await;

    server.kill();
    let error = unreachable_within(&catalog, 12).await;
    assert!(
        error.contains("Connection refused") || error.contains("No such file"),
        "{error}"
    );
    server.run().await;
    recovers(&catalog).await;

    server
        .sql(
            "catalog",
            "INSERT INTO mk_migration VALUES (999, 'later', NOW(), TRUE, '', 1)",
        )
        .await;
    let error = refusal(&keeper).await;
    assert!(
        error.contains("was migrated by a newer mykeeper (its tables are at version 999"),
        "{error}"
    );
    let error = catalog.migrate().await.unwrap_err().to_string();
    assert!(error.contains("newer mykeeper"), "{error}");
    server
        .sql(
            "catalog",
            "DELETE FROM mk_migration WHERE version > 5; DROP TABLE mk_lease",
        )
        .await;
    let error = catalog
        .leases("", (LeaseClock::Own, "2026-11-22T12:00:00Z".parse().unwrap()))
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("run \"mykeeper catalog migrate\""), "{error}");
    assert_eq!(catalog.migrate().await.unwrap().applied, latest_migration());

    server.sql("mysql", "SET GLOBAL read_only = 1").await;
    let error = write(catalog.as_ref()).await;
    assert!(error.is_ok(), "nothing to write");
    let now = "2026-11-22T12:00:00Z".parse().unwrap();
    let error = catalog
        .acquire_lease("x", "y", LeaseTerm::shared(now, Duration::ZERO))
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("--read-only"), "{error}");
}

/// Two processes of one node at once, and one that holds a lock for longer than the engine lets another wait.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_in_the_way_is_waited_for() {
    let server = Server::mariadb().await;
    server.sql("mysql", "CREATE DATABASE catalog").await;
    let here = settings(server.url("root", "catalog"));
    let catalog = open(&here).await.unwrap();
    catalog.migrate().await.unwrap();
    let other = open(&here).await.unwrap();
    let now = "2026-11-22T12:00:00Z".parse().unwrap();
    let node = NodeName::new("n").unwrap();
    for number in 0..100 {
        let definition = mykeeper_catalog::JobDefinition {
            job: JobName::new(format!("j{number}")).unwrap(),
            kind: JobKind::Backup,
            schedule: String::new(),
            choice: None,
        };
        let (one, two) = tokio::join!(
            catalog.know_job(&node, &definition, now),
            other.know_job(&node, &definition, now)
        );
        assert_eq!(one.unwrap(), two.unwrap());
    }

    let mut holder = server.session("catalog").await;
    holder
        .execute("START TRANSACTION; UPDATE mk_job SET forgotten_ms = NULL")
        .await
        .unwrap();
    let waiting = tokio::spawn({
        let catalog = Arc::clone(&catalog);
        async move { catalog.forget_job(&node, &JobName::new("j7").unwrap(), now).await }
    });
    let begun = Instant::now();
    // The engine lets no session of ours wait for longer than 10 s: only then is it seen that another try begins.
    while begun.elapsed() < Duration::from_millis(11_500) {
        assert!(!waiting.is_finished(), "{:?}", waiting.await);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    holder.execute("COMMIT").await.unwrap();
    waiting.await.unwrap().unwrap();
}

async fn refusals_hold_the_servers_words(keeper: &OpenCatalog, server: &Server) {
    let wrong = OpenCatalog {
        password: Some(SecretString::from("wr0ng")),
        ..keeper.clone()
    };
    let error = refusal(&wrong).await;
    assert!(
        error.contains("Access denied for user 'keeper'@'localhost' (using password: YES)"),
        "{error}"
    );
    assert!(!error.contains("wr0ng"), "{error}");
    let nowhere = OpenCatalog {
        url: server.url("keeper", "nowhere"),
        ..keeper.clone()
    };
    let error = refusal(&nowhere).await;
    assert!(
        error.contains("Access denied for user 'keeper'@'localhost' to database 'nowhere'"),
        "{error}"
    );
    let error = refusal(&settings(server.url("root", "nowhere"))).await;
    assert!(error.contains("Unknown database 'nowhere'"), "{error}");
}

async fn unreachable_within(catalog: &Arc<dyn Catalog>, seconds: u64) -> String {
    let begun = Instant::now();
    let error = write(catalog.as_ref()).await.unwrap_err();
    assert!(matches!(error, CatalogError::Unreachable { .. }), "{error}");
    assert!(
        begun.elapsed() < Duration::from_secs(seconds),
        "after {:?}: {error}",
        begun.elapsed()
    );
    error.to_string()
}

async fn recovers(catalog: &Arc<dyn Catalog>) {
    poll(async || write(catalog.as_ref()).await.map_err(|error| error.to_string())).await;
}
