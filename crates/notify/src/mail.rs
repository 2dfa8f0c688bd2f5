//! One mail over SMTP.

use crate::ATTEMPT_WITHIN;
use crate::error::{DeliveryError, chain};
use lettre::message::Mailbox;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport, Tokio1Executor};
use mykeeper_domain::notice::Message;
use mykeeper_domain::notify::{Mail, MailTls};
use secrecy::{ExposeSecret, SecretString};

/// Done when the server has taken it.
pub(crate) async fn send(
    mail: &Mail,
    password: Option<SecretString>,
    message: &Message,
) -> Result<(), DeliveryError> {
    let composed = compose(mail, message)?;
    let mut transport = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&mail.host)
        .port(mail.port)
        .timeout(Some(ATTEMPT_WITHIN))
        .tls(tls(mail)?);
    if let (Some(user), Some(password)) = (&mail.user, &password) {
        transport = transport.credentials(Credentials::new(
            user.clone(),
            password.expose_secret().to_owned(),
        ));
    }
    match transport.build().send(composed).await {
        Ok(_) => Ok(()),
        Err(error) => Err(DeliveryError::Smtp {
            host: format!("{}:{}", mail.host, mail.port),
            cause: chain(&error),
        }),
    }
}

/// Whether a mail could be made and TLS be spoken.
pub(crate) fn prepare(mail: &Mail) -> Result<(), DeliveryError> {
    for text in mail.to.iter().chain([&mail.from]) {
        text.parse::<Mailbox>()
            .map_err(|error| DeliveryError::Mail(chain(&error)))?;
    }
    tls(mail).map(drop)
}

fn compose(mail: &Mail, message: &Message) -> Result<lettre::Message, DeliveryError> {
    let failed = |error: &dyn std::error::Error| DeliveryError::Mail(chain(error));
    let mailbox = |text: &str| text.parse::<Mailbox>().map_err(|error| failed(&error));
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

fn tls(mail: &Mail) -> Result<Tls, DeliveryError> {
    if mail.tls == MailTls::None {
        return Ok(Tls::None);
    }
    let mut parameters = TlsParameters::builder(mail.host.clone());
    if let Some(path) = &mail.ca {
        let failed = |cause: String| DeliveryError::Certificates {
            path: path.clone(),
            cause,
        };
        let pem = std::fs::read(path).map_err(|error| failed(error.to_string()))?;
        let certificate = Certificate::from_pem(&pem).map_err(|error| failed(chain(&error)))?;
        parameters = parameters.add_root_certificate(certificate);
    }
    let parameters = parameters
        .build_rustls()
        .map_err(|error| DeliveryError::Tls(chain(&error)))?;
    Ok(match mail.tls {
        MailTls::Implicit => Tls::Wrapper(parameters),
        _ => Tls::Required(parameters),
    })
}
