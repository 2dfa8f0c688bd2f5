//! A private ssh server, for destinations that are reached over ssh.

use crate::mariadb::program;
use crate::proxy::free_port;
use crate::scratch::{Scratch, is_root};
use crate::wait::wait_until;
use std::fs::File;
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Listens on a port of loopback and lets the tests' own account in by key.
#[derive(Debug)]
pub struct Sshd {
    scratch: Scratch,
    port: u16,
    child: Child,
}

impl Sshd {
    /// Ready when this returns.
    pub fn start() -> Self {
        let scratch = Scratch::new();
        let dir = scratch.path();
        for key in ["host_key", "user_key"] {
            let made = Command::new(program("ssh-keygen"))
                .args(["-q", "-t", "ed25519", "-N", "", "-f"])
                .arg(dir.join(key))
                .status();
            assert!(
                made.is_ok_and(|status| status.success()),
                "ssh-keygen made no {key}"
            );
        }
        std::fs::copy(dir.join("user_key.pub"), dir.join("authorized_keys"))
            .expect("a file within our own folder");
        if is_root() {
            // The privilege separation's folder is made by the service's start script, which did not run.
            let _ = std::fs::create_dir_all("/run/sshd");
        }
        let port = free_port();
        let config = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {0}/host_key\nPidFile {0}/sshd.pid\n\
             AuthorizedKeysFile {0}/authorized_keys\nStrictModes no\nUsePAM no\nPasswordAuthentication no\n\
             PermitRootLogin prohibit-password\n",
            dir.display()
        );
        std::fs::write(dir.join("sshd_config"), config).expect("a file within our own folder");
        let log = File::create(dir.join("sshd.log")).expect("a log file in our own folder");
        let child = Command::new(program("sshd"))
            .args(["-D", "-e", "-f"])
            .arg(dir.join("sshd_config"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("sshd can be started");
        let sshd = Self { scratch, port, child };
        wait_until(Duration::from_secs(20), "the private ssh server answers", || {
            TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()
        });
        sshd
    }

    /// A program to use in place of `ssh`: it knows port, key and host key, and takes the rest as it comes.
    pub fn client(&self) -> PathBuf {
        let path = self.dir().join("ssh");
        let script = format!(
            "#!/bin/sh\nexec ssh -p {} -i {}/user_key -o IdentitiesOnly=yes -o StrictHostKeyChecking=accept-new \
             -o UserKnownHostsFile={}/known_hosts -o LogLevel=ERROR \"$@\"\n",
            self.port,
            self.dir().display(),
            self.dir().display()
        );
        std::fs::write(&path, script).expect("a file within our own folder");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))
            .expect("chmod of our own file");
        path
    }

    fn dir(&self) -> &Path {
        self.scratch.path()
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
