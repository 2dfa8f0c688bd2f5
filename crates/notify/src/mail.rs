//! One mail over SMTP.

use crate::ATTEMPT_WITHIN;
use crate::error::{DeliveryError, chain};
use crate::trust::certificates_of;
use lettre::Address;
use lettre::message::Mailbox;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{AsyncSmtpConnection, Certificate, TlsParameters};
use lettre::transport::smtp::extension::{ClientId, Extension, MailBodyParameter, MailParameter};
use lettre::transport::smtp::{Error, commands};
use mykeeper_domain::notice::Message;
use mykeeper_domain::notify::{Mail, MailTls};
use secrecy::{ExposeSecret, SecretString};
use std::time::Duration;

const GOODBYE_WITHIN: Duration = Duration::from_secs(1);

/// Done when the server has taken it for everybody who has not `reached` it yet. One address that is refused keeps it
/// from no other.
pub(crate) async fn send(
    mail: &Mail,
    password: Option<SecretString>,
    message: &Message,
    reached: &[String],
) -> Result<(), DeliveryError> {
    let composed = compose(mail, message)?;
    let mut wanted = Vec::new();
    for to in mail.to.iter().filter(|to| !reached.contains(to)) {
        wanted.push((to, mailbox(to)?.email));
    }
    if wanted.is_empty() {
        return Ok(());
    }
    let mut connection = connect(mail, password).await?;
    if is_foreign(&composed) && !connection.server_info().supports_feature(Extension::SmtpUtfEight) {
        return Err(DeliveryError::Mail(format!(
            "an address is not ASCII, and {} takes no such address",
            host_of(mail)
        )));
    }
    let sent = hand_in(&mut connection, &composed, &wanted).await;
    // It says goodbye, and nothing hangs on that.
    drop(tokio::time::timeout(GOODBYE_WITHIN, connection.abort()).await);
    let (reached, refused) = sent.map_err(|error| untaken(mail, &error))?;
    let Some(first) = refused.first() else {
        return Ok(());
    };
    Err(DeliveryError::Addresses {
        host: host_of(mail),
        refused: refused.len(),
        cause: chain(first),
        // Where others are reached, it is the address that cannot be, perhaps for days.
        is_permanent: !reached.is_empty() || refused.iter().all(Error::is_permanent),
        reached,
    })
}

/// Whether an address needs a server that takes more than ASCII.
fn is_foreign(composed: &lettre::Message) -> bool {
    let envelope = composed.envelope();
    let mut addresses = envelope.to().iter().chain(envelope.from());
    addresses.any(|address| !AsRef::<str>::as_ref(address).is_ascii())
}

fn untaken(mail: &Mail, error: &Error) -> DeliveryError {
    DeliveryError::Smtp {
        host: host_of(mail),
        cause: chain(error),
        is_permanent: error.is_permanent(),
    }
}

fn host_of(mail: &Mail) -> String {
    format!("{}:{}", mail.host, mail.port)
}

async fn connect(mail: &Mail, password: Option<SecretString>) -> Result<AsyncSmtpConnection, DeliveryError> {
    let name = ClientId::default();
    let (at_once, later) = match (mail.tls, parameters(mail)?) {
        (MailTls::Implicit, parameters) => (parameters, None),
        (_, parameters) => (None, parameters),
    };
    let server = (mail.host.as_str(), mail.port);
    let mut connection =
        AsyncSmtpConnection::connect_tokio1(server, Some(ATTEMPT_WITHIN), &name, at_once, None)
            .await
            .map_err(|error| untaken(mail, &error))?;
    if let Some(parameters) = later {
        connection
            .starttls(parameters, &name)
            .await
            .map_err(|error| untaken(mail, &error))?;
    }
    if let (Some(user), Some(password)) = (&mail.user, &password) {
        let login = Credentials::new(user.clone(), password.expose_secret().to_owned());
        connection
            .auth(DEFAULT_MECHANISMS, &login)
            .await
            .map_err(|error| untaken(mail, &error))?;
    }
    Ok(connection)
}

/// Whom the server took it for, and what it said of the others.
async fn hand_in(
    connection: &mut AsyncSmtpConnection,
    composed: &lettre::Message,
    wanted: &[(&String, Address)],
) -> Result<(Vec<String>, Vec<Error>), Error> {
    let from = composed.envelope().from().cloned();
    let text = composed.formatted();
    let mut options = Vec::new();
    if is_foreign(composed) {
        options.push(MailParameter::SmtpUtfEight);
    }
    if !text.is_ascii() && connection.server_info().supports_feature(Extension::EightBitMime) {
        options.push(MailParameter::Body(MailBodyParameter::EightBitMime));
    }
    connection.command(commands::Mail::new(from, options)).await?;
    let (mut taken, mut refused) = (Vec::new(), Vec::new());
    for (to, address) in wanted {
        match connection
            .command(commands::Rcpt::new(address.clone(), Vec::new()))
            .await
        {
            Ok(_) => taken.push((*to).clone()),
            Err(error) if error.is_permanent() || error.is_transient() => refused.push(error),
            Err(error) => return Err(error),
        }
    }
    if !taken.is_empty() {
        connection.command(commands::Data).await?;
        connection.message(&text).await?;
    }
    Ok((taken, refused))
}

/// Whether a mail could be made and TLS be spoken.
pub(crate) fn prepare(mail: &Mail) -> Result<(), DeliveryError> {
    for text in mail.to.iter().chain([&mail.from]) {
        mailbox(text)?;
    }
    parameters(mail).map(drop)
}

fn mailbox(text: &str) -> Result<Mailbox, DeliveryError> {
    text.parse().map_err(|error| DeliveryError::Mail(chain(&error)))
}

fn compose(mail: &Mail, message: &Message) -> Result<lettre::Message, DeliveryError> {
    let failed = |error: &dyn std::error::Error| DeliveryError::Mail(chain(error));
    let subject = mail.subject.expand(message);
    let mut builder = lettre::Message::builder()
        .from(mailbox(&mail.from)?)
        .subject(subject.split_whitespace().collect::<Vec<_>>().join(" "))
        .date(message.at.into())
        // The same at every attempt: whoever gets it twice can tell.
        .message_id(Some(format!("<{}@mykeeper>", message.id)))
        .header(ContentType::TEXT_PLAIN);
    for to in &mail.to {
        builder = builder.to(mailbox(to)?);
    }
    let mut composed = builder
        .body(format!("{}\n", message.text))
        .map_err(|error| failed(&error))?;
    // Nobody's absence is answered to a machine.
    let name = HeaderName::new_from_ascii_str("Auto-Submitted");
    composed
        .headers_mut()
        .insert_raw(HeaderValue::new(name, "auto-generated".to_owned()));
    Ok(composed)
}

/// `None`: nothing is encrypted.
fn parameters(mail: &Mail) -> Result<Option<TlsParameters>, DeliveryError> {
    if mail.tls == MailTls::None {
        return Ok(None);
    }
    let mut parameters = TlsParameters::builder(mail.host.clone());
    if let Some(path) = &mail.ca {
        for certificate in certificates_of(path)? {
            let certificate =
                Certificate::from_der(certificate.to_vec()).map_err(|error| DeliveryError::Certificates {
                    path: path.clone(),
                    cause: chain(&error),
                })?;
            parameters = parameters.add_root_certificate(certificate);
        }
    }
    parameters
        .build_rustls()
        .map(Some)
        .map_err(|error| DeliveryError::Tls(chain(&error)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use mykeeper_domain::server::PasswordSource;

    #[test]
    fn a_file_without_a_certificate_vouches_for_nobody_and_that_shows_before_a_mail_is_sent() {
        for path in ["/dev/null", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")] {
            let mail = Mail {
                host: "localhost".to_owned(),
                port: 25,
                tls: MailTls::Starttls,
                ca: Some(path.into()),
                user: None,
                password: PasswordSource::None,
                from: "mykeeper@example.org".to_owned(),
                to: vec!["you@example.org".to_owned()],
                subject: "{summary}".parse().unwrap(),
            };
            let said = prepare(&mail).unwrap_err().to_string();
            assert!(
                said.contains(path) && said.contains("there is no certificate in it"),
                "{said}"
            );
        }
    }
}
