//! Tests only: the built binary against real servers. This library is the stage they play on.
//!
//! Everything here listens on loopback or a socket, lies in a temporary folder, and ends by process id when it
//! is dropped. A stage that cannot be set up fails its test on the spot, with the logs in the message.
#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a stage that cannot be set up fails its test on the spot"
)]

mod audit;
mod binary;
mod catalog_view;
mod daemon;
pub mod damage;
mod fake_clock;
pub mod faults;
pub mod grafana;
mod http_sink;
mod mariadb;
mod mysql;
mod netns;
mod processes;
mod proxy;
mod restored;
mod rsync_daemon;
mod sample;
mod scratch;
mod smtp_sink;
mod sshd;
mod wait;
mod workspace;

pub use audit::{Audited, Findings, Watched, audit, audit_sets, processes_of};
pub use binary::{Binary, Finished, Started, Surroundings};
pub use catalog_view::CatalogView;
pub use daemon::Daemon;
pub use fake_clock::FakeClock;
pub use http_sink::{HttpSink, Manner, Posted};
pub use mariadb::{MariaDb, MariaDbOptions};
pub use mysql::MySql;
pub use netns::NetworkNamespace;
pub use processes::{ProcessId, SecretWatch, children_of, descendants_of};
pub use proxy::{TcpProxy, free_port};
pub use restored::{find_set, fingerprint, load_set};
pub use rsync_daemon::RsyncDaemon;
pub use sample::{ORDERS, SAMPLE_DATABASES, sample_sql};
pub use scratch::{Scratch, Tmpfs, is_root};
pub use smtp_sink::{Mailed, SinkTls, SmtpManner, SmtpSink};
pub use sshd::Sshd;
pub use wait::{LIMIT, wait_until};
pub use workspace::{Workspace, secret_text};
