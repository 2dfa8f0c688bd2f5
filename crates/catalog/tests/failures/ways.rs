//! A catalog whose URL names a host and, for where that leads nowhere, a socket.

use super::throwaway::{Server, poll};
use super::{refusal, settings, write};
use mykeeper_catalog::{OpenCatalog, open, open_journaled, open_known};
use mykeeper_domain::SystemClock;
use secrecy::SecretString;
use std::sync::Arc;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

/// Greets everybody as a server does that does not let them in.
async fn refusing(number: u16) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (mut connection, _) = listener.accept().await.unwrap();
            let words = b"#28000no way in here";
            let mut packet = vec![u8::try_from(words.len() + 3).unwrap(), 0, 0, 0, 0xff];
            packet.extend(number.to_le_bytes());
            packet.extend(words);
            drop(connection.write_all(&packet).await);
        }
    });
    port
}

/// A port at which nobody listens.
async fn closed() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    listener.local_addr().unwrap().port()
}

/// The server again, at a port of 127.0.0.1, or at none.
async fn again(server: &mut Server, port: Option<u16>) {
    server.kill();
    server.port = port;
    server.run().await;
}

#[tokio::test]
async fn the_socket_is_taken_where_nobody_listens_or_lets_the_account_in() {
    let mut server = Server::mariadb().await;
    server
        .sql(
            "mysql",
            "CREATE DATABASE catalog; CREATE USER keeper@localhost IDENTIFIED BY 's3cret'; \
             GRANT ALL ON catalog.* TO keeper@localhost",
        )
        .await;
    let socket = server.socket().display().to_string();
    let at = |port: u16, socket: &str| OpenCatalog {
        password: Some(SecretString::from("s3cret")),
        ..settings(format!(
            "mysql://keeper@127.0.0.1:{port}/catalog?or-socket={socket}"
        ))
    };
    let (nobody, refused, other) = (closed().await, closed().await, refusing(1040).await);
    for port in [nobody, refused] {
        // By the port the account is another one, which nobody has made.
        again(&mut server, (port == refused).then_some(port)).await;
        let catalog = open(&at(port, &socket)).await.unwrap();
        catalog.migrate().await.unwrap();
        write(catalog.as_ref()).await.unwrap();
        let url = catalog.status().await.unwrap().url;
        assert!(url.ends_with(&format!("/catalog?socket={socket}")), "{url}");
        catalog.close().await;
    }
    // Too many connections are no reason to go another way.
    let error = refusal(&at(other, &socket)).await;
    assert!(
        error.contains("no way in here") && !error.contains("; and as"),
        "{error}"
    );
    // What neither lets in is told of both.
    let error = refusal(&at(nobody, "/nowhere/s")).await;
    assert!(
        error.contains("refused") && error.contains("?socket=/nowhere/s: No such file"),
        "{error}"
    );
    // A daemon that began before the server finds it.
    server.kill();
    let folder = tempfile::tempdir().unwrap();
    let catalog = open_journaled(&at(refused, &socket), folder.path(), Arc::new(SystemClock))
        .await
        .unwrap();
    assert!(catalog.backlog().await.unwrap().away.is_some());
    server.run().await;
    poll(async || match catalog.status().await {
        Ok(status) if status.url.ends_with(&socket) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    catalog.close().await;
}

#[tokio::test]
async fn a_socket_of_another_server_is_not_taken() {
    let setup = "CREATE DATABASE catalog; CREATE USER keeper@localhost IDENTIFIED BY 's3cret'; \
                 GRANT ALL ON catalog.* TO keeper@localhost; CREATE USER keeper@127.0.0.1 IDENTIFIED BY 's3cret'; \
                 GRANT ALL ON catalog.* TO keeper@127.0.0.1";
    let (mut right, mut wrong) = (Server::mariadb().await, Server::mariadb().await);
    right.sql("mysql", setup).await;
    wrong.sql("mysql", setup).await;
    let socket = wrong.socket().display().to_string();
    let at = |port: u16| OpenCatalog {
        password: Some(SecretString::from("s3cret")),
        ..settings(format!(
            "mysql://keeper@127.0.0.1:{port}/catalog?or-socket={socket}"
        ))
    };
    // One that listens at no port, where somebody answers at the port that is named.
    let error = refusal(&at(refusing(1045).await)).await;
    assert!(
        error.contains("no way in here")
            && error.contains("another server")
            && error.contains("listens at no port"),
        "{error}"
    );
    // One that listens at another.
    again(&mut wrong, Some(closed().await)).await;
    let error = refusal(&at(closed().await)).await;
    assert!(error.contains("and not to that of port"), "{error}");
    // One that listens at none, where nobody answers for the moment: another was seen there before.
    again(&mut wrong, None).await;
    let port = closed().await;
    again(&mut right, Some(port)).await;
    let folder = tempfile::tempdir().unwrap();
    let catalog = open_journaled(&at(port), folder.path(), Arc::new(SystemClock))
        .await
        .unwrap();
    catalog.migrate().await.unwrap();
    catalog.close().await;
    right.kill();
    let catalog = open_journaled(&at(port), folder.path(), Arc::new(SystemClock))
        .await
        .unwrap();
    let away = catalog.backlog().await.unwrap().away.unwrap();
    assert!(
        away.contains("another server") && away.contains("catalog-server"),
        "{away}"
    );
    // Nor by a command on this machine that keeps no journal.
    let error = open_known(&at(port), folder.path()).await.map(drop).unwrap_err();
    let error = error.to_string();
    assert!(
        error.contains("another server") && error.contains("catalog-server"),
        "{error}"
    );
    // Whoever knows nothing of that takes it, and tells of it.
    let unknowing = open(&at(port)).await.unwrap();
    let told = unknowing.other_way().unwrap();
    assert!(
        told.contains(&format!(
            "?socket={socket}, not as mysql://keeper@127.0.0.1:{port}/"
        )),
        "{told}"
    );
    unknowing.close().await;
    // A person says that it is the right one, while the daemon lives.
    std::fs::remove_file(folder.path().join("catalog-server")).unwrap();
    poll(async || match catalog.status().await {
        Ok(status) if status.url.ends_with(&socket) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    catalog.close().await;
}

#[tokio::test]
async fn a_server_that_stops_to_listen_is_the_same_server() {
    let mut server = Server::mariadb().await;
    server
        .sql(
            "mysql",
            "CREATE DATABASE catalog; CREATE USER keeper@localhost IDENTIFIED BY 's3cret'; \
             GRANT ALL ON catalog.* TO keeper@localhost; CREATE USER keeper@127.0.0.1 IDENTIFIED BY 's3cret'; \
             GRANT ALL ON catalog.* TO keeper@127.0.0.1",
        )
        .await;
    let (socket, port) = (server.socket().display().to_string(), closed().await);
    let settings = OpenCatalog {
        password: Some(SecretString::from("s3cret")),
        ..settings(format!(
            "mysql://keeper@127.0.0.1:{port}/catalog?or-socket={socket}"
        ))
    };
    again(&mut server, Some(port)).await;
    let folder = tempfile::tempdir().unwrap();
    let catalog = open_journaled(&settings, folder.path(), Arc::new(SystemClock))
        .await
        .unwrap();
    catalog.migrate().await.unwrap();
    assert_eq!(catalog.other_way(), None);
    assert!(folder.path().join("catalog-server").exists());

    again(&mut server, None).await;
    poll(async || match catalog.status().await {
        Ok(status) if status.url.ends_with(&socket) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    catalog.close().await;
    let known = open_known(&settings, folder.path()).await.unwrap();
    assert!(known.other_way().is_some());
    known.close().await;
}
