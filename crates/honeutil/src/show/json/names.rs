//! The fields for names. Those of DNS, TLS and HTTP are of the packet that completes a message; the name of a connection is
//! of each of its packets.

use std::net::IpAddr;

use hone_names::{
    ClientHello, Data, DnsMessage, End, Found, HttpRequest, Noted, response_code_name, version_name,
};
use serde::Serialize;

use super::Document;
use crate::show::names::kind;

/// The fields `dns.*`.
#[derive(Debug, Serialize)]
pub(super) struct Dns<'a> {
    #[serde(rename = "type")]
    message: &'static str,
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    question: Option<Question<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    answers: Vec<Answer<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    resolved_ip: Vec<IpAddr>,
}

#[derive(Debug, Serialize)]
struct Question<'a> {
    name: &'a str,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Debug, Serialize)]
struct Answer<'a> {
    name: &'a str,
    #[serde(rename = "type")]
    kind: String,
    ttl: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<String>,
}

impl<'a> Dns<'a> {
    fn of(message: &'a DnsMessage) -> Self {
        let answers = message.answers.iter();
        Self {
            message: if message.is_response { "answer" } else { "query" },
            id: message.id.to_string(),
            response_code: message
                .response_code
                .map(|code| response_code_name(code).map_or_else(|| code.to_string(), str::to_owned)),
            question: message
                .questions
                .first()
                .map(|question| Question { name: &question.name, kind: kind(question.kind) }),
            answers: answers
                .clone()
                .map(|answer| Answer {
                    name: &answer.name,
                    kind: kind(answer.kind),
                    ttl: answer.ttl,
                    data: match &answer.data {
                        Data::Address(address) => Some(address.to_string()),
                        Data::Name(name) => Some(name.clone()),
                        Data::Other => None,
                    },
                })
                .collect(),
            resolved_ip: answers
                .filter_map(
                    |answer| if let Data::Address(address) = answer.data { Some(address) } else { None },
                )
                .collect(),
        }
    }
}

/// The fields `tls.*`.
#[derive(Debug, Serialize)]
pub(super) struct Tls<'a> {
    client: TlsClient<'a>,
}

#[derive(Debug, Serialize)]
struct TlsClient<'a> {
    server_name: &'a str,
}

/// The fields `hone.tls.*`.
#[derive(Debug, Serialize)]
pub(super) struct TlsOffer<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    ja4: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    alpn: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'static str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    encrypted_hello: bool,
}

/// The fields `http.*`.
#[derive(Debug, Serialize)]
pub(super) struct Http {
    request: Request,
}

#[derive(Debug, Serialize)]
struct Request {
    method: &'static str,
}

/// The fields `url.*`.
#[derive(Debug, Serialize)]
pub(super) struct Url<'a> {
    domain: &'a str,
}

/// The fields `hone.name.*`.
#[derive(Debug, Serialize)]
pub(super) struct NameFields {
    source: &'static str,
}

impl<'a> Document<'a> {
    /// What a packet says, and the name of its connection.
    pub(super) fn names(&mut self, noted: &'a Noted<'_>) {
        for found in noted.found {
            self.hone.name_cut_off |= found.is_cut();
            let protocol = match found {
                Found::Dns(message) => {
                    match self.dns {
                        None => self.dns = Some(Dns::of(message)),
                        Some(_) => self.hone.more_dns.push(Dns::of(message)),
                    }
                    "dns"
                }
                Found::Hello(hello) => self.hello(hello),
                Found::Http(HttpRequest { method, host, .. }) => {
                    self.http = (!method.is_empty()).then_some(Http { request: Request { method } });
                    self.url = host.as_deref().map(|domain| Url { domain });
                    "http"
                }
            };
            if let Some(network) = &mut self.network {
                network.protocol = Some(protocol);
            }
        }
        let Some((named, end)) = noted.name else { return };
        let end = match end {
            End::Source => &mut self.source,
            End::Destination => &mut self.destination,
        };
        if let Some(end) = end {
            end.domain = Some(&named.name);
        }
        self.hone.name = Some(NameFields { source: named.source.word() });
    }

    fn hello(&mut self, hello: &'a ClientHello) -> &'static str {
        let name = hello.server_name.as_deref();
        self.tls = name.map(|server_name| Tls { client: TlsClient { server_name } });
        self.hone.tls = Some(TlsOffer {
            ja4: hello.ja4.as_deref(),
            alpn: &hello.alpn,
            version: version_name(hello.version),
            encrypted_hello: hello.is_encrypted,
        });
        if hello.is_quic { "quic" } else { "tls" }
    }
}
