//! Object stores that ask for a client certificate: their client has no option for one, but it takes another HTTP client.

use std::time::Duration;

use object_store::client::{HttpClient, HttpConnector};
use object_store::{ClientConfigKey, ClientOptions, Error};
use reqwest::{Certificate, ClientBuilder, Identity, Proxy};

use crate::config::{ConfigError, Settings};

/// How long it may take to connect: as the client of object stores has it.
const CONNECT: Duration = Duration::from_secs(5);

/// Makes HTTP clients that show a certificate. Of the options of clients, they have those for timeouts, `http://` and a proxy.
#[derive(Debug)]
pub(super) struct Identified {
    identity: Identity,
    trusted: Vec<Certificate>,
    timeout: Duration,
}

impl Identified {
    /// With the certificate that the settings name, if they do.
    pub(super) fn of(settings: &Settings) -> Result<Option<Self>, ConfigError> {
        let Some((mut pem, key)) = settings.client_identity()? else { return Ok(None) };
        pem.push(b'\n');
        pem.extend(key.into_bytes());
        let wrong = |key: &str, error: &reqwest::Error| {
            settings.wrong(key, &settings.url, &format!("files of PEM: {}", super::request::chain(error)))
        };
        let identity =
            Identity::from_pem(&pem).map_err(|error| wrong("options.client_certificate", &error))?;
        let trusted = match settings.certificates()? {
            Some(pem) => {
                Certificate::from_pem_bundle(&pem).map_err(|error| wrong("ca_certificates", &error))?
            }
            None => Vec::new(),
        };
        Ok(Some(Self { identity, trusted, timeout: settings.timeout() }))
    }
}

impl HttpConnector for Identified {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let failed =
            |error: reqwest::Error| Error::Generic { store: "client certificate", source: Box::new(error) };
        let allows_http = options.get_config_value(&ClientConfigKey::AllowHttp).as_deref() == Some("true");
        let mut builder = ClientBuilder::new()
            .user_agent(super::store::AGENT)
            .identity(self.identity.clone())
            .tls_certs_merge(self.trusted.iter().cloned())
            .timeout(self.timeout)
            .connect_timeout(CONNECT)
            .http1_only()
            .https_only(!allows_http);
        if let Some(proxy) = options.get_config_value(&ClientConfigKey::ProxyUrl) {
            builder = builder.proxy(Proxy::all(proxy).map_err(failed)?);
        }
        Ok(HttpClient::new(builder.build().map_err(failed)?))
    }
}
