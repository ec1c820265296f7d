//! Rows of the names in packets.

use std::borrow::Cow;

use hone_names::{
    Answer, ClientHello, Data, DnsMessage, Found, HttpRequest, response_code_name, version_name,
};
use hone_tables::{NameKind, NameRow, Rows};

use super::scope::Scope;
use crate::names::kind;

/// What the rows of a packet have in common.
#[derive(Debug)]
pub(super) struct Asked<'a> {
    pub(super) time: Option<u64>,
    pub(super) scope: &'a Scope,
    pub(super) pid: Option<u32>,
    pub(super) process_uid: Option<&'a str>,
    pub(super) connection_uid: Option<&'a str>,
}

impl<'a> Asked<'a> {
    fn row(&self, kind: NameKind, name: Option<&'a str>, is_cut: bool) -> NameRow<'a> {
        NameRow {
            time: self.time,
            host: &self.scope.host,
            boot: self.scope.boot.as_deref(),
            process_uid: self.process_uid,
            pid: self.pid,
            connection_uid: self.connection_uid,
            kind,
            name,
            question_type: None,
            response_code: None,
            answers: &[],
            ttl: None,
            alpn: None,
            version: None,
            ja4: None,
            is_encrypted: false,
            is_cut,
        }
    }
}

/// Makes the rows of what a packet completes.
pub(super) fn rows<R: Rows>(found: &[Found], asked: &Asked<'_>, rows: &mut R) -> Result<(), R::Error> {
    for found in found {
        match found {
            Found::Dns(message) => dns(message, asked, rows)?,
            Found::Hello(hello) => client_hello(hello, asked, rows)?,
            Found::Http(HttpRequest { host, is_cut, .. }) => {
                rows.name(&asked.row(NameKind::Http, host.as_deref(), *is_cut))?;
            }
        }
    }
    Ok(())
}

fn dns<R: Rows>(message: &DnsMessage, asked: &Asked<'_>, rows: &mut R) -> Result<(), R::Error> {
    let code = message.response_code.map(|code| match response_code_name(code) {
        Some(name) => Cow::Borrowed(name),
        None => Cow::Owned(code.to_string()),
    });
    let data = |answer: &Answer| match &answer.data {
        Data::Address(address) => Some(Cow::Owned(address.to_string())),
        Data::Name(name) => Some(Cow::Owned(name.clone())),
        Data::Other => None,
    };
    let answers: Vec<Cow<'_, str>> = message.answers.iter().filter_map(data).collect();
    let ttl = message.answers.iter().map(|answer| answer.ttl).min();
    let question = message.questions.first();
    // An answer of multicast DNS has no question.
    let name = question.map(|question| &question.name).or(message.answers.first().map(|answer| &answer.name));
    let question_type = question.map(|question| kind(question.kind));
    rows.name(&NameRow {
        question_type: question_type.as_deref(),
        response_code: code.as_deref(),
        answers: &answers,
        ttl,
        ..asked.row(NameKind::Dns, name.map(String::as_str), message.is_cut)
    })
}

fn client_hello<R: Rows>(hello: &ClientHello, asked: &Asked<'_>, rows: &mut R) -> Result<(), R::Error> {
    let kind = if hello.is_quic { NameKind::Quic } else { NameKind::Tls };
    rows.name(&NameRow {
        alpn: hello.alpn.first().map(String::as_str),
        version: version_name(hello.version),
        ja4: hello.ja4.as_deref(),
        is_encrypted: hello.is_encrypted,
        ..asked.row(kind, hello.server_name.as_deref(), hello.is_cut)
    })
}
