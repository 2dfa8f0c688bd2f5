//! A real SMTP server of a test's own, with TLS and without, which keeps the mails that it takes.

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// One mail.
#[derive(Clone, Debug)]
pub struct Mailed {
    /// `MAIL FROM`
    pub from: String,
    /// `RCPT TO`
    pub to: Vec<String>,
    /// Head and body.
    pub data: String,
    /// Whether the connection was encrypted.
    pub is_encrypted: bool,
    /// What came with `AUTH PLAIN`, still in base64.
    pub login: Option<String>,
}

/// How it speaks TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SinkTls {
    /// Not at all.
    None,
    /// When asked to; it takes no mail before.
    Starttls,
    /// From the first byte.
    Implicit,
}

/// What it does with a mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SmtpManner {
    /// Takes it.
    Takes,
    /// Answers every mail so: `451 come back later`.
    Answers(&'static str),
    /// Answers so for one address, and takes the mail for the others.
    AnswersFor(&'static str, &'static str),
    /// Greets, and says nothing more.
    Hangs,
    /// Closes each connection at once.
    IsDown,
}

#[derive(Debug)]
struct State {
    tls: SinkTls,
    config: Option<Arc<ServerConfig>>,
    mails: Mutex<Vec<Mailed>>,
    manner: Mutex<SmtpManner>,
    tried: AtomicUsize,
    stopped: AtomicBool,
}

/// Listens on a free port of loopback, as `localhost`.
#[derive(Debug)]
pub struct SmtpSink {
    state: Arc<State>,
    port: u16,
    ca: PathBuf,
}

impl SmtpSink {
    /// Takes every mail. Its certificate, of its own making, is written to `folder`.
    pub fn start(folder: &Path, tls: SinkTls) -> Self {
        let ca = folder.join("smtp.pem");
        let config = (tls != SinkTls::None).then(|| server_config(folder, &ca));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port of loopback");
        let port = listener
            .local_addr()
            .expect("a bound listener has an address")
            .port();
        let state = Arc::new(State {
            tls,
            config,
            mails: Mutex::default(),
            manner: Mutex::new(SmtpManner::Takes),
            tried: AtomicUsize::new(0),
            stopped: AtomicBool::new(false),
        });
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if shared.stopped.load(Ordering::SeqCst) {
                    return;
                }
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || serve(stream, &shared));
            }
        });
        Self { state, port, ca }
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The certificate that vouches for it.
    pub fn ca(&self) -> &Path {
        &self.ca
    }

    /// From now on.
    pub fn set(&self, manner: SmtpManner) {
        *self.state.manner.lock().unwrap_or_else(PoisonError::into_inner) = manner;
    }

    /// How often anybody has come, whatever it did.
    pub fn tried(&self) -> usize {
        self.state.tried.load(Ordering::SeqCst)
    }

    /// What it has taken, in order.
    pub fn mails(&self) -> Vec<Mailed> {
        self.state
            .mails
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Drop for SmtpSink {
    fn drop(&mut self) {
        self.state.stopped.store(true, Ordering::SeqCst);
        drop(TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)));
    }
}

pub(crate) fn server_config(folder: &Path, certificate: &Path) -> Arc<ServerConfig> {
    let key = folder.join("smtp.key");
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
        ])
        .args([
            "-days",
            "2",
            "-subj",
            "/CN=localhost",
            "-addext",
            "subjectAltName=DNS:localhost",
        ])
        .args(["-addext", "basicConstraints=critical,CA:FALSE", "-keyout"])
        .arg(&key)
        .arg("-out")
        .arg(certificate)
        .output()
        .expect("openssl is installed");
    assert!(made.status.success(), "{made:?}");
    let chain = CertificateDer::pem_file_iter(certificate)
        .expect("a certificate that was just made")
        .collect::<Result<Vec<_>, _>>()
        .expect("a certificate that was just made");
    let key = PrivateKeyDer::from_pem_file(&key).expect("a key that was just made");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring speaks TLS")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("a certificate with its key");
    Arc::new(config)
}

pub(crate) trait Wire: Read + Write {}
impl<T: Read + Write> Wire for T {}

fn encrypted(state: &State, stream: TcpStream) -> Option<Box<dyn Wire>> {
    let connection = ServerConnection::new(Arc::clone(state.config.as_ref()?)).ok()?;
    Some(Box::new(StreamOwned::new(connection, stream)))
}

fn serve(stream: TcpStream, state: &State) {
    drop(stream.set_read_timeout(Some(Duration::from_secs(60))));
    let manner = || *state.manner.lock().unwrap_or_else(PoisonError::into_inner);
    state.tried.fetch_add(1, Ordering::SeqCst);
    if manner() == SmtpManner::IsDown {
        return;
    }
    let mut is_encrypted = state.tls == SinkTls::Implicit;
    let again = stream.try_clone().expect("a second handle");
    let mut wire: Box<dyn Wire> = match is_encrypted {
        true => match encrypted(state, stream) {
            Some(wire) => wire,
            None => return,
        },
        false => Box::new(stream),
    };
    let mut mail = Mailed {
        from: String::new(),
        to: Vec::new(),
        data: String::new(),
        is_encrypted,
        login: None,
    };
    let mut answer = "220 sink".to_owned();
    loop {
        if wire
            .write_all(format!("{answer}\r\n").as_bytes())
            .and_then(|()| wire.flush())
            .is_err()
        {
            return;
        }
        let Some(line) = line(&mut wire) else { return };
        let word = line.split([' ', ':']).next().unwrap_or_default().to_uppercase();
        let manner = manner();
        answer = match word.as_str() {
            _ if manner == SmtpManner::Hangs => {
                // Until whoever waits has gone.
                drop(self::line(&mut wire));
                return;
            }
            "EHLO" if state.tls == SinkTls::Starttls && !is_encrypted => {
                "250-sink\r\n250 STARTTLS".to_owned()
            }
            "EHLO" => "250-sink\r\n250 AUTH PLAIN".to_owned(),
            "STARTTLS" if !is_encrypted => {
                if wire.write_all(b"220 go on\r\n").is_err() {
                    return;
                }
                let Ok(stream) = again.try_clone() else { return };
                let Some(upgraded) = encrypted(state, stream) else {
                    return;
                };
                wire = upgraded;
                (is_encrypted, mail.is_encrypted) = (true, true);
                // After TLS the client speaks first.
                let Some(_) = self::line(&mut wire) else { return };
                "250-sink\r\n250 AUTH PLAIN".to_owned()
            }
            _ if state.tls == SinkTls::Starttls && !is_encrypted => "530 STARTTLS first".to_owned(),
            "AUTH" => {
                mail.login = line.split(' ').nth(2).map(str::to_owned);
                "235 welcome".to_owned()
            }
            "MAIL" if let SmtpManner::Answers(answer) = manner => answer.to_owned(),
            "RCPT"
                if let SmtpManner::AnswersFor(address, answer) = manner
                    && line.contains(address) =>
            {
                answer.to_owned()
            }
            "MAIL" => {
                mail.from = line;
                mail.to.clear();
                "250 yes".to_owned()
            }
            "RCPT" => {
                mail.to.push(line);
                "250 yes".to_owned()
            }
            "DATA" => {
                if wire
                    .write_all(b"354 tell\r\n")
                    .and_then(|()| wire.flush())
                    .is_err()
                {
                    return;
                }
                let Some(data) = data(&mut wire) else { return };
                mail.data = data;
                state
                    .mails
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(mail.clone());
                "250 taken".to_owned()
            }
            "QUIT" => {
                drop(wire.write_all(b"221 bye\r\n"));
                return;
            }
            _ => "250 well".to_owned(),
        };
    }
}

fn line(wire: &mut Box<dyn Wire>) -> Option<String> {
    let mut line = Vec::new();
    let mut byte = [0];
    while wire.read(&mut byte).ok().filter(|count| *count == 1).is_some() {
        if byte[0] == b'\n' {
            return Some(String::from_utf8_lossy(&line).trim_end().to_owned());
        }
        line.push(byte[0]);
    }
    None
}

fn data(wire: &mut Box<dyn Wire>) -> Option<String> {
    let mut data = String::new();
    loop {
        match line(wire)? {
            end if end == "." => return Some(data),
            line => {
                data.push_str(&line);
                data.push('\n');
            }
        }
    }
}
