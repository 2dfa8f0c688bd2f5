//! Sending over ssh to a private sshd, and to a folder.

use crate::bench::Bench;
use crate::rsync_daemon::{Sender, Server, content, destination, free_port, make_set};
use mykeeper_domain::destination::SshOptions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

fn key(path: &Path) {
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-f"])
        .arg(path)
        .status()
        .unwrap();
    assert!(made.success());
}

/// An sshd of our own, and how to reach it. `None` where we may not run one.
fn start_sshd(bench: &Bench) -> Option<(Server, SshOptions)> {
    let sshd = Path::new("/usr/sbin/sshd");
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: only root can start an SSH server that logs others in");
        return None;
    }
    std::fs::create_dir_all("/run/sshd").unwrap();
    let folder = bench.sub("ssh keys");
    let (host, client): (PathBuf, PathBuf) = (folder.join("host"), folder.join("client key"));
    key(&host);
    key(&client);
    let authorized = folder.join("authorized_keys");
    std::fs::copy(client.with_extension("pub"), &authorized).unwrap();
    std::fs::set_permissions(&authorized, std::fs::Permissions::from_mode(0o600)).unwrap();
    let port = free_port();
    let public = std::fs::read_to_string(host.with_extension("pub")).unwrap();
    let known = folder.join("known hosts");
    std::fs::write(&known, format!("[127.0.0.1]:{port} {public}")).unwrap();
    let config = folder.join("sshd_config");
    let text = format!(
        "Port {port}\nListenAddress 127.0.0.1\nHostKey \"{}\"\nAuthorizedKeysFile \"{}\"\nStrictModes no\n\
         PasswordAuthentication no\nPermitRootLogin yes\nUsePAM no\nPidFile none\n",
        host.display(),
        authorized.display()
    );
    std::fs::write(&config, text).unwrap();
    let mut command = Command::new(sshd);
    command.arg("-D").arg("-f").arg(&config);
    let server = Server::start(command, port);
    let options = SshOptions {
        port: Some(port),
        identity_file: Some(client),
        known_hosts_file: Some(known),
    };
    Some((server, options))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_arrives_over_ssh_and_a_stranger_is_refused() {
    let bench = Bench::new();
    let Some((_sshd, options)) = start_sshd(&bench) else {
        return;
    };
    let set = make_set(&bench);
    let there = bench.sub("over there");
    let mut to = destination(&format!("root@127.0.0.1:{}", there.display()));
    to.ssh = options.clone();
    let sender = Sender::new(&bench).await;
    sender.check(&to).await.unwrap();
    assert_eq!(content(&there).len(), 0);
    sender.send(&to, &set).await.unwrap();
    assert_eq!(content(&there.join("2026-11-22/bk 1")), content(&set));
    std::fs::write(there.join("2026-11-22/bk 1/metadata"), "damaged\n").unwrap();
    assert_eq!(sender.verify(&to, &set).await.unwrap(), ["metadata"]);

    let stranger = bench.path().join("stranger");
    key(&stranger);
    to.ssh = SshOptions {
        identity_file: Some(stranger),
        ..options.clone()
    };
    let error = sender.send(&to, &set).await.unwrap_err();
    assert!(
        !error.is_passing() && error.to_string().contains("ssh was not let in"),
        "{error}"
    );

    let empty = bench.path().join("nobody known");
    std::fs::write(&empty, "").unwrap();
    to.ssh = SshOptions {
        known_hosts_file: Some(empty),
        ..options
    };
    let error = sender.check(&to).await.unwrap_err();
    assert!(
        !error.is_passing() && error.to_string().contains("host's key"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_arrives_in_a_folder_that_must_be_there() {
    let bench = Bench::new();
    let set = make_set(&bench);
    let sender = Sender::new(&bench).await;
    let mount = bench.path().join("mount");
    let to = destination(mount.to_str().unwrap());
    let error = sender.send(&to, &set).await.unwrap_err();
    assert!(
        !error.is_passing() && error.to_string().contains("is no folder"),
        "{error}"
    );
    assert!(sender.check(&to).await.is_err());
    assert!(!mount.exists());
    std::fs::create_dir(&mount).unwrap();
    sender.check(&to).await.unwrap();
    sender.send(&to, &set).await.unwrap();
    assert_eq!(content(&mount.join("2026-11-22/bk 1")), content(&set));
    std::fs::remove_file(mount.join("2026-11-22/bk 1/#1*[x]?.sql")).unwrap();
    assert_eq!(sender.verify(&to, &set).await.unwrap(), ["#1*[x]?.sql"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_is_not_sent_onto_itself_nor_out_of_its_folder() {
    let bench = Bench::new();
    let set = bench.sub("mount/2026-11-22/bk 1");
    std::fs::write(set.join("metadata"), "x").unwrap();
    let mut sender = Sender::new(&bench).await;
    let to = destination(bench.path().join("mount").to_str().unwrap());
    let error = sender.send(&to, &set).await.unwrap_err();
    assert!(error.to_string().contains("lies there already"), "{error}");
    sender.relative = "../elsewhere";
    assert!(sender.send(&to, &set).await.is_err());
}
