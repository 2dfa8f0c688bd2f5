//! A real HTTP server of a test's own, which keeps what it is sent.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
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
    /// Reads it and never answers.
    Hangs,
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
}

impl HttpSink {
    /// Takes everything.
    pub fn start() -> Self {
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
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || serve(&stream, &shared));
            }
        });
        Self { state, port }
    }

    /// `http://127.0.0.1:PORT`
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
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

fn serve(stream: &TcpStream, state: &State) {
    drop(stream.set_read_timeout(Some(Duration::from_secs(100))));
    let mut reader = BufReader::new(stream);
    loop {
        if *lock(&state.manner) == Manner::IsDown {
            *lock(&state.tried) += 1;
            drop(stream.shutdown(Shutdown::Both));
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
        let mut stream = stream;
        if stream.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

fn read(reader: &mut BufReader<&TcpStream>) -> Option<Posted> {
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
