//! A real HTTP server of a test's own, which keeps what it is sent.

use crate::smtp_sink::{Wire, server_config};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// One request.
#[derive(Clone, Debug)]
pub struct Posted {
    /// With its query.
    pub path: String,
    /// In lower case, `name: value`.
    pub headers: Vec<String>,
    /// As it came.
    pub body: String,
}

/// What it does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// Answers 200.
    Takes,
    /// Answers this status.
    Answers(u16),
    /// Answers this status where the body has this in it, and takes the rest.
    AnswersFor(&'static str, u16),
    /// Reads it and never answers.
    Hangs,
    /// Takes it after so long.
    TakesAfter(Duration),
    /// Closes each connection at once.
    IsDown,
}

#[derive(Debug)]
struct State {
    posted: Mutex<Vec<Posted>>,
    tried: Mutex<usize>,
    manner: Mutex<Manner>,
    stopped: AtomicBool,
}

/// Listens on a free port of loopback.
#[derive(Debug)]
pub struct HttpSink {
    state: Arc<State>,
    port: u16,
    ca: Option<PathBuf>,
}

impl HttpSink {
    /// Takes everything.
    pub fn start() -> Self {
        Self::listen(None, None)
    }

    /// The same over TLS, as `localhost`, with a certificate of its own making that is written to `folder`.
    pub fn start_tls(folder: &Path) -> Self {
        let ca = folder.join("http.pem");
        let config = server_config(folder, &ca);
        Self::listen(Some(config), Some(ca))
    }

    fn listen(tls: Option<Arc<ServerConfig>>, ca: Option<PathBuf>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port of loopback");
        let port = listener
            .local_addr()
            .expect("a bound listener has an address")
            .port();
        let state = Arc::new(State {
            posted: Mutex::default(),
            tried: Mutex::default(),
            manner: Mutex::new(Manner::Takes),
            stopped: AtomicBool::new(false),
        });
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if shared.stopped.load(Ordering::SeqCst) {
                    return;
                }
                let (shared, tls) = (Arc::clone(&shared), tls.clone());
                std::thread::spawn(move || serve(stream, tls, &shared));
            }
        });
        Self { state, port, ca }
    }

    /// `http://127.0.0.1:PORT`, or `https://localhost:PORT`
    pub fn url(&self) -> String {
        match self.ca {
            None => format!("http://127.0.0.1:{}", self.port),
            Some(_) => format!("https://localhost:{}", self.port),
        }
    }

    /// The certificate that vouches for it.
    pub fn ca(&self) -> &Path {
        self.ca.as_deref().expect("it speaks TLS")
    }

    /// From now on.
    pub fn set(&self, manner: Manner) {
        *lock(&self.state.manner) = manner;
    }

    /// What it has taken, in order.
    pub fn posted(&self) -> Vec<Posted> {
        lock(&self.state.posted).clone()
    }

    /// How often anything was tried, whatever it did.
    pub fn tried(&self) -> usize {
        *lock(&self.state.tried)
    }
}

impl Drop for HttpSink {
    fn drop(&mut self) {
        self.state.stopped.store(true, Ordering::SeqCst);
        drop(TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(stream: TcpStream, tls: Option<Arc<ServerConfig>>, state: &State) {
    drop(stream.set_read_timeout(Some(Duration::from_secs(100))));
    let wire: Box<dyn Wire> = match tls {
        None => Box::new(stream),
        Some(config) => match ServerConnection::new(config) {
            Ok(connection) => Box::new(StreamOwned::new(connection, stream)),
            Err(_) => return,
        },
    };
    let mut reader = BufReader::new(wire);
    loop {
        if *lock(&state.manner) == Manner::IsDown {
            *lock(&state.tried) += 1;
            return;
        }
        let Some(posted) = read(&mut reader) else {
            return;
        };
        *lock(&state.tried) += 1;
        let manner = *lock(&state.manner);
        let status = match manner {
            Manner::Takes => 200,
            Manner::Answers(status) => status,
            Manner::AnswersFor(words, status) if posted.body.contains(words) => status,
            Manner::AnswersFor(..) => 200,
            Manner::TakesAfter(pause) => {
                std::thread::sleep(pause);
                200
            }
            Manner::IsDown => return,
            Manner::Hangs => {
                // Until whoever waits has gone.
                drop(reader.read(&mut [0]));
                return;
            }
        };
        if status < 300 {
            lock(&state.posted).push(posted);
        }
        let answer = format!("HTTP/1.1 {status} So\r\nContent-Length: 0\r\n\r\n");
        let wire = reader.get_mut();
        if wire
            .write_all(answer.as_bytes())
            .and_then(|()| wire.flush())
            .is_err()
        {
            return;
        }
    }
}

fn read(reader: &mut BufReader<Box<dyn Wire>>) -> Option<Posted> {
    let mut first = String::new();
    reader.read_line(&mut first).ok().filter(|count| *count > 0)?;
    let path = first.split(' ').nth(1)?.to_owned();
    let (mut headers, mut length) = (Vec::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|count| *count > 0)?;
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':')?;
        let name = name.to_lowercase();
        if name == "content-length" {
            length = value.trim().parse().ok()?;
        }
        headers.push(format!("{name}: {}", value.trim()));
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Posted {
        path,
        headers,
        body: String::from_utf8(body).ok()?,
    })
}
