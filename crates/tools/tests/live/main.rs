//! Tests with the real tools: rsync daemons, sshd, database servers, dumps.

mod bench;
mod rsync_daemon;
mod rsync_sends_and_verifies;
mod rsync_ssh_and_local;
mod sandbox_lives_and_goes;
