//! Dumps over an encrypted connection.
#![expect(clippy::unwrap_used, reason = "a test ends where its stage does not stand")]

use crate::support::{Dump, Server, reasons, tempdir};
use mykeeper_domain::server::{Endpoint, Tls, TlsMode};
use mykeeper_tools::ServerConnection;
use std::path::Path;
use std::process::{Command, Stdio};

/// An authority, a certificate of it for 127.0.0.1, and an authority that has nothing to do with it.
fn certificates(dir: &Path) {
    let script = "set -e
        for ca in ca other; do
            openssl req -x509 -newkey rsa:2048 -nodes -days 30 -keyout $ca.key -out $ca.pem -subj /CN=$ca
        done
        openssl req -newkey rsa:2048 -nodes -keyout s.key -out s.csr -subj /CN=db
        printf 'subjectAltName=DNS:db,IP:127.0.0.1' > ext
        openssl x509 -req -in s.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out s.pem -days 30 -extfile ext";
    let made = Command::new("sh")
        .args(["-c", script])
        .current_dir(dir)
        .stderr(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(made.success(), "openssl");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_mode_of_encryption_reaches_the_server_or_says_why_not() {
    let dir = tempdir();
    certificates(dir.path());
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let at = |name: &str| dir.path().join(name);
    let server = Server::start_with(&[
        "--skip-networking=0",
        "--bind-address=127.0.0.1",
        &format!("--port={port}"),
        &format!("--ssl-ca={}", at("ca.pem").display()),
        &format!("--ssl-cert={}", at("s.pem").display()),
        &format!("--ssl-key={}", at("s.key").display()),
    ]);
    server.sql(
        "CREATE DATABASE shop; CREATE USER enc@'%' IDENTIFIED BY 'x' REQUIRE SSL; GRANT ALL ON *.* TO enc@'%'",
    );
    for (mode, ca, reached) in [
        (TlsMode::Disabled, None, false),
        (TlsMode::Preferred, None, true),
        (TlsMode::Required, None, true),
        (TlsMode::VerifyCa, Some("ca.pem"), true),
        (TlsMode::VerifyCa, Some("other.pem"), false),
        (TlsMode::VerifyIdentity, Some("ca.pem"), true),
        (TlsMode::VerifyIdentity, Some("other.pem"), false),
    ] {
        let connection = ServerConnection {
            endpoint: Endpoint::Tcp {
                host: "127.0.0.1".into(),
                port,
            },
            tls: Tls { mode, ca: ca.map(at) },
            ..server.connection("enc", "x")
        };
        match Dump::full(&["shop"]).run(&connection).await {
            Ok(result) => {
                assert!(reached, "{mode:?} {ca:?}");
                assert_eq!(reasons(&result), [""; 0], "{mode:?} {ca:?}");
            }
            Err(error) => {
                assert!(!reached, "{mode:?} {ca:?}: {error}");
                assert!(!error.is_passing(), "{mode:?} {ca:?}: {error}");
            }
        }
    }
}
