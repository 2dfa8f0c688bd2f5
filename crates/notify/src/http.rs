//! One POST.

use crate::error::{DeliveryError, chain};
use crate::trust::client_config;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, USER_AGENT};
use hyper::{Request, Uri};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use secrecy::{ExposeSecret, SecretString};
use std::net::IpAddr;
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

type HttpClient = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// Connections that are kept for the next ping.
const IDLE_PER_HOST: usize = 4;
const IDLE_FOR: Duration = Duration::from_secs(30);

/// Posts, over connections that it keeps for a while.
#[derive(Default)]
pub(crate) struct Http {
    /// That of servers that this machine trusts already.
    client: OnceLock<HttpClient>,
}

/// What is posted.
pub(crate) struct Post<'a> {
    pub(crate) url: &'a str,
    pub(crate) token: Option<SecretString>,
    pub(crate) content_type: &'static str,
    pub(crate) body: Vec<u8>,
    pub(crate) ca: Option<&'a Path>,
}

/// A URL, and its host and port, which is all that is ever shown of it.
pub(crate) fn host_of(url: &str) -> Result<(Uri, String), DeliveryError> {
    let uri: Uri = url
        .parse()
        .map_err(|error: hyper::http::uri::InvalidUri| DeliveryError::Url(error.to_string()))?;
    match (uri.scheme_str(), uri.authority()) {
        (Some("http" | "https"), Some(authority)) if !authority.as_str().contains('@') => {
            let host = authority.to_string();
            Ok((uri, host))
        }
        _ => Err(DeliveryError::Url("it names no http server".to_owned())),
    }
}

/// Whether others than this machine could read what is sent.
fn is_in_the_clear(uri: Option<&Uri>) -> bool {
    let is_here = |uri: &Uri| {
        uri.host().is_some_and(|host| {
            let bare = host.trim_start_matches('[').trim_end_matches(']');
            bare == "localhost" || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
        })
    };
    uri.is_some_and(|uri| uri.scheme_str() == Some("http") && !is_here(uri))
}

impl Http {
    /// Done when the server answers with 2xx.
    pub(crate) async fn post(&self, post: Post<'_>) -> Result<(), DeliveryError> {
        let (uri, host) = host_of(post.url)?;
        let mut request = Request::post(uri)
            .header(USER_AGENT, concat!("mykeeper/", env!("CARGO_PKG_VERSION")))
            .header(CONTENT_TYPE, post.content_type);
        if let Some(token) = &post.token {
            if is_in_the_clear(request.uri_ref()) {
                return Err(DeliveryError::Secret(format!(
                    "the token would cross the network to {host} in the clear; write the URL with https://"
                )));
            }
            let mut value = HeaderValue::from_str(&format!("Bearer {}", token.expose_secret()))
                .map_err(|_| DeliveryError::Secret("the token is none that HTTP can carry".to_owned()))?;
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        let request = request
            .body(Full::new(Bytes::from(post.body)))
            .map_err(|error| DeliveryError::Url(error.to_string()))?;
        let response =
            self.client(post.ca)?
                .request(request)
                .await
                .map_err(|error| DeliveryError::Unreachable {
                    host: host.clone(),
                    cause: chain(&error),
                })?;
        let status = response.status();
        if status.is_success() {
            return Ok(());
        }
        let hint = match status.as_u16() {
            300..=399 => "; write the URL that it leads to",
            401 | 403 => "; look at the token",
            404 | 410 => "; look at the URL",
            413 => "; it takes no message of this length",
            _ => "",
        };
        // Too slow, too early, too many: a later try may be taken.
        let is_passing = matches!(status.as_u16(), 408 | 425 | 429);
        Err(DeliveryError::Refused {
            host,
            status: status.to_string(),
            hint,
            is_permanent: status.is_client_error() && !is_passing,
        })
    }

    fn client(&self, ca: Option<&Path>) -> Result<HttpClient, DeliveryError> {
        if ca.is_none()
            && let Some(client) = self.client.get()
        {
            return Ok(client.clone());
        }
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(CONNECT_WITHIN));
        let connector = hyper_rustls::HttpsConnectorBuilder::new()
            .with_tls_config(client_config(ca)?)
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let client = Client::builder(TokioExecutor::new())
            .pool_max_idle_per_host(IDLE_PER_HOST)
            .pool_idle_timeout(IDLE_FOR)
            .pool_timer(hyper_util::rt::TokioTimer::new())
            .build(connector);
        if ca.is_none() {
            return Ok(self.client.get_or_init(|| client).clone());
        }
        Ok(client)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_token_crosses_no_network_in_the_clear_and_a_urls_path_is_in_no_error() {
        let post = |url: &'static str| Post {
            url,
            token: Some(SecretString::from("hunter2")),
            content_type: "application/json",
            body: Vec::new(),
            ca: None,
        };
        for (url, expected) in [
            ("http://chat.example.org/s3cret", "in the clear"),
            ("http://[2001:db8::1]/s3cret", "in the clear"),
            ("http://127.0.0.1:1/s3cret", "127.0.0.1:1 cannot be reached"),
            (
                "https://user:hunter2@127.0.0.1:1/s3cret",
                "the URL cannot be called",
            ),
        ] {
            let error = Http::default().post(post(url)).await.unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
            assert!(!error.contains("s3cret") && !error.contains("hunter2"), "{error}");
        }
    }
}
