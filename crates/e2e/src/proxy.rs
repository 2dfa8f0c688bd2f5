//! A link on loopback that can be slow, cut or refused.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

#[derive(Debug)]
struct Link {
    upstream: SocketAddr,
    /// Bytes per second in each direction; 0: as fast as it goes.
    rate: AtomicU64,
    /// Bytes that may still go towards the server before everything is cut; negative: no limit.
    allowance: AtomicI64,
    /// New connections are closed at once.
    refusing: AtomicBool,
    stopped: AtomicBool,
    carried: AtomicU64,
    /// Both ends of each connection, by its number.
    open: Mutex<Vec<(u64, TcpStream)>>,
    connections: AtomicU64,
}

/// Listens on a free port of loopback and passes everything on to a server there.
#[derive(Debug)]
pub struct TcpProxy {
    link: Arc<Link>,
    port: u16,
}

impl TcpProxy {
    /// In front of `127.0.0.1:port`.
    pub fn to(port: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port of loopback");
        let own_port = listener
            .local_addr()
            .expect("a bound listener has an address")
            .port();
        let link = Arc::new(Link {
            upstream: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            rate: AtomicU64::new(0),
            allowance: AtomicI64::new(-1),
            refusing: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
            carried: AtomicU64::new(0),
            open: Mutex::new(Vec::new()),
            connections: AtomicU64::new(0),
        });
        let shared = Arc::clone(&link);
        std::thread::spawn(move || accept(&listener, &shared));
        Self { link, port: own_port }
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// So many bytes a second in each direction of each connection; 0: as fast as it goes.
    pub fn set_rate(&self, bytes_per_second: u64) {
        self.link.rate.store(bytes_per_second, Ordering::Relaxed);
    }

    /// After so many more bytes towards the server every connection is cut and new ones are refused.
    pub fn cut_after(&self, bytes: i64) {
        self.link.allowance.store(bytes, Ordering::Relaxed);
    }

    /// Cuts every connection now, and refuses new ones.
    pub fn cut_now(&self) {
        self.link.cut();
    }

    /// Refuses new connections; those that are open stay.
    pub fn refuse(&self) {
        self.link.refusing.store(true, Ordering::Relaxed);
    }

    /// Whether the cut has come.
    pub fn is_cut(&self) -> bool {
        self.link.refusing.load(Ordering::Relaxed)
    }

    /// Bytes that went towards the server so far.
    pub fn carried(&self) -> u64 {
        self.link.carried.load(Ordering::Relaxed)
    }

    /// Lets connections through again.
    pub fn heal(&self) {
        self.link.allowance.store(-1, Ordering::Relaxed);
        self.link.refusing.store(false, Ordering::Relaxed);
    }
}

impl Drop for TcpProxy {
    fn drop(&mut self) {
        self.link.stopped.store(true, Ordering::Relaxed);
        self.link.cut();
        // Wakes the accepting thread, which then sees that it is over.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
    }
}

impl Link {
    fn cut(&self) {
        self.refusing.store(true, Ordering::Relaxed);
        for (_, stream) in self.open.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// One end is gone: the other must learn of it though it only writes.
    fn end(&self, connection: u64) {
        self.open
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|(number, stream)| {
                if *number == connection {
                    let _ = stream.shutdown(Shutdown::Both);
                }
                *number != connection
            });
    }
}

fn accept(listener: &TcpListener, link: &Arc<Link>) {
    for incoming in listener.incoming() {
        if link.stopped.load(Ordering::Relaxed) {
            return;
        }
        let Ok(client) = incoming else { continue };
        if link.refusing.load(Ordering::Relaxed) {
            continue;
        }
        let Ok(server) = TcpStream::connect(link.upstream) else {
            continue;
        };
        let _ = client.set_nodelay(true);
        let _ = server.set_nodelay(true);
        let copies = (
            client.try_clone(),
            server.try_clone(),
            client.try_clone(),
            server.try_clone(),
        );
        let (Ok(client_in), Ok(server_in), Ok(client_kept), Ok(server_kept)) = copies else {
            continue;
        };
        let number = link.connections.fetch_add(1, Ordering::Relaxed);
        link.open
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend([(number, client_kept), (number, server_kept)]);
        let (up, down) = (Arc::clone(link), Arc::clone(link));
        std::thread::spawn(move || pump((client_in, server), number, &up, true));
        std::thread::spawn(move || pump((server_in, client), number, &down, false));
    }
}

fn pump((mut from, mut to): (TcpStream, TcpStream), connection: u64, link: &Link, towards_server: bool) {
    let mut buffer = [0_u8; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        let mut passing = count;
        if towards_server {
            let size = i64::try_from(count).unwrap_or(i64::MAX);
            let left = link.allowance.load(Ordering::Relaxed);
            if left >= 0 {
                link.allowance.store((left - size).max(0), Ordering::Relaxed);
                passing = usize::try_from(left.min(size)).unwrap_or(0);
            }
            link.carried.fetch_add(passing as u64, Ordering::Relaxed);
        }
        if to.write_all(&buffer[..passing]).is_err() {
            link.end(connection);
            break;
        }
        if passing < count {
            link.cut();
            break;
        }
        let rate = link.rate.load(Ordering::Relaxed);
        if rate > 0 {
            std::thread::sleep(Duration::from_secs_f64(count as f64 / rate as f64));
        }
    }
    let _ = to.shutdown(Shutdown::Write);
    let _ = from.shutdown(Shutdown::Read);
}

/// A port of loopback that was free a moment ago.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port of loopback");
    listener
        .local_addr()
        .expect("a bound listener has an address")
        .port()
}
