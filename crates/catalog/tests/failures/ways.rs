//! A catalog whose URL names a host and, for where that leads nowhere, a socket.

use super::throwaway::{Server, poll};
use super::{refusal, settings, write};
use mykeeper_catalog::{OpenCatalog, open, open_journaled};
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
    let (nobody, refused, other) = (closed().await, refusing(1045).await, refusing(1040).await);
    for port in [nobody, refused] {
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
