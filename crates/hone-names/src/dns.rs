//! DNS messages (RFC 1035, section 4; RFC 3596), as far as they name things. Messages that were cut off are read as far
//! as they go, which is why this is no crate's parser: those refuse them.

use std::net::IpAddr;

use crate::bytes::Bytes;
use crate::text::{self, MAX_NAME};

/// Most questions and most answers that are read of a message. Resolvers ask one question.
const MAX_QUESTIONS: u16 = 4;
const MAX_ANSWERS: u16 = 128;
const HEADER: usize = 12;

/// Types of records (RFC 1035, section 3.2.2; RFC 3596, section 2.1).
const A: u16 = 1;
const NS: u16 = 2;
const CNAME: u16 = 5;
const PTR: u16 = 12;
const AAAA: u16 = 28;
/// The class of the Internet; mDNS uses the highest bit for something else (RFC 6762, section 10.2).
const INTERNET: u16 = 1;

/// A DNS message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DnsMessage {
    /// The number with which the asker knows an answer.
    pub id: u16,
    /// Whether it is a response; else it is a query.
    pub is_response: bool,
    /// The response code of a response: 0 without an error, 3 if there is no such name.
    pub response_code: Option<u8>,
    /// What is asked.
    pub questions: Vec<Question>,
    /// What is answered, in the answer section.
    pub answers: Vec<Answer>,
    /// Whether some of it was not captured.
    pub is_cut: bool,
}

/// A question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The name, in lower case without the dot at its end; what does not print is `\DDD`. `.` is the root.
    pub name: String,
    /// The type of the records that are asked for.
    pub kind: u16,
}

/// A record of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The name that has the record, as in a [`Question`].
    pub name: String,
    /// The record's type.
    pub kind: u16,
    /// How long it may be kept, seconds.
    pub ttl: u32,
    /// What it says.
    pub data: Data,
}

/// What a record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Data {
    /// An address (A, AAAA).
    Address(IpAddr),
    /// A name (CNAME, NS, PTR).
    Name(String),
    /// Something else, which is not read.
    Other,
}

/// The name of a record type (IANA, "Resource Record (RR) TYPEs"), for those met every day.
#[must_use]
pub fn type_name(kind: u16) -> Option<&'static str> {
    Some(match kind {
        A => "A",
        NS => "NS",
        CNAME => "CNAME",
        6 => "SOA",
        PTR => "PTR",
        15 => "MX",
        16 => "TXT",
        AAAA => "AAAA",
        33 => "SRV",
        35 => "NAPTR",
        43 => "DS",
        46 => "RRSIG",
        48 => "DNSKEY",
        52 => "TLSA",
        64 => "SVCB",
        65 => "HTTPS",
        255 => "ANY",
        257 => "CAA",
        _ => return None,
    })
}

/// The name of a response code (IANA, "DNS RCODEs"), for those of RFC 1035 and RFC 2136.
#[must_use]
pub fn response_code_name(code: u8) -> Option<&'static str> {
    let names = [
        "NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "YXDOMAIN", "YXRRSET", "NXRRSET",
        "NOTAUTH", "NOTZONE",
    ];
    names.get(usize::from(code)).copied()
}

impl DnsMessage {
    /// The message; `None` if it names nothing. `is_cut`: some of it was not captured.
    pub(crate) fn parse(message: &[u8], is_cut: bool) -> Option<Self> {
        let mut rest = Bytes(message);
        let Some(header) = rest.take(HEADER) else { return is_cut.then(Self::cut) };
        let mut header = Bytes(header);
        let (id, flags) = (header.u16()?, header.u16()?);
        let (questions, answers) = (header.u16()?, header.u16()?);
        let is_response = flags >> 15 == 1;
        let mut parsed = Self {
            id,
            is_response,
            response_code: is_response.then_some((flags & 0xF).to_be_bytes()[1]),
            is_cut,
            ..Self::default()
        };
        // Another operation than a query has other sections (RFC 1035, section 4.1.1).
        if flags >> 11 & 0xF != 0 {
            return None;
        }
        let whole = parsed.read(message, rest, questions, answers).is_some();
        let names_something = !parsed.questions.is_empty() || !parsed.answers.is_empty();
        // What is malformed at its end is still an answer to its question.
        (names_something || (is_cut && !whole)).then_some(parsed)
    }

    /// Of a message nothing of which was captured.
    pub(crate) fn cut() -> Self {
        Self { is_cut: true, ..Self::default() }
    }

    fn read<'a>(
        &mut self,
        message: &'a [u8],
        mut rest: Bytes<'a>,
        questions: u16,
        answers: u16,
    ) -> Option<()> {
        for _ in 0..questions.min(MAX_QUESTIONS) {
            let name = name(message, &mut rest)?;
            let (kind, _class) = (rest.u16()?, rest.u16()?);
            self.questions.push(Question { name, kind });
        }
        if questions > MAX_QUESTIONS {
            return Some(());
        }
        for _ in 0..answers.min(MAX_ANSWERS) {
            let name = name(message, &mut rest)?;
            let (kind, class, ttl) = (rest.u16()?, rest.u16()?, rest.u32()?);
            let length = rest.u16()?;
            let mut start = rest;
            let data = rest.take(length.into())?;
            let data = match kind {
                _ if class & 0x7FFF != INTERNET => Data::Other,
                A => <[u8; 4]>::try_from(data).map_or(Data::Other, |address| Data::Address(address.into())),
                AAAA => {
                    <[u8; 16]>::try_from(data).map_or(Data::Other, |address| Data::Address(address.into()))
                }
                CNAME | NS | PTR => self::name(message, &mut start).map_or(Data::Other, Data::Name),
                _ => Data::Other,
            };
            self.answers.push(Answer { name, kind, ttl, data });
        }
        Some(())
    }

    /// The name by which the asker knows an address of the answers: the name of the question, if aliases (CNAME) lead from
    /// there to the address; else the name that has the record.
    pub(crate) fn asked_name<'a>(&'a self, answer: &'a Answer) -> &'a str {
        let Some(question) = self.questions.first() else { return &answer.name };
        let mut name = question.name.as_str();
        // Aliases usually come in their order; more steps than there are answers would be a circle.
        for _ in 0..=self.answers.len() {
            if name == answer.name {
                return &question.name;
            }
            let next = self.answers.iter().find_map(|alias| match &alias.data {
                Data::Name(next) if alias.kind == CNAME && alias.name == name => Some(next),
                _ => None,
            });
            match next {
                Some(next) => name = next,
                None => break,
            }
        }
        &answer.name
    }
}

/// The name at the beginning of `rest`, which is a part of `message` (RFC 1035, section 4.1.4). Each pointer leads further
/// back than the one before it, so that it ends.
fn name<'a>(message: &'a [u8], rest: &mut Bytes<'a>) -> Option<String> {
    let mut out = String::new();
    let mut at = message.len().checked_sub(rest.0.len())?;
    let mut before = at;
    let mut length = 0;
    let mut is_behind = false;
    loop {
        let mut here = Bytes(message.get(at..)?);
        let first = here.u8()?;
        match first >> 6 {
            0 if first == 0 => {
                if !is_behind {
                    *rest = here;
                }
                if out.is_empty() {
                    out.push('.');
                }
                return Some(out);
            }
            0 => {
                let label = here.take(first.into())?;
                length += label.len() + 1;
                if length > MAX_NAME {
                    return None;
                }
                if !out.is_empty() {
                    out.push('.');
                }
                text::label(label, &mut out);
                at = message.len() - here.0.len();
            }
            3 => {
                let to = usize::from(first & 0x3F) << 8 | usize::from(here.u8()?);
                if !std::mem::replace(&mut is_behind, true) {
                    *rest = here;
                }
                if to >= before {
                    return None;
                }
                (at, before) = (to, to);
            }
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A message with this question (type A), and these records as bytes.
    fn message(id: u16, name: &str, records: &[&[u8]]) -> Vec<u8> {
        let mut out = id.to_be_bytes().to_vec();
        out.extend(if records.is_empty() { [1, 0] } else { [0x81, 0x80] });
        out.extend([0, 1, 0, u8::try_from(records.len()).unwrap(), 0, 0, 0, 0]);
        for label in name.split('.') {
            out.push(u8::try_from(label.len()).unwrap());
            out.extend(label.as_bytes());
        }
        out.extend([0, 0, 1, 0, 1]);
        out.extend(records.concat());
        out
    }

    #[test]
    fn an_alias_leads_to_the_name_that_was_asked_for() {
        // www.example.com is an alias of a.example.com, whose address follows.
        let alias = [&[0xC0, 12, 0, 5, 0, 1, 0, 0, 0, 60, 0, 4][..], b"\x01a\xC0\x10"].concat();
        let record = [&[0xC0, 45, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4][..], &[192, 0, 2, 7]].concat();
        let bytes = message(7, "WWW.Example.com", &[&alias, &record]);
        let parsed = DnsMessage::parse(&bytes, false).unwrap();
        assert_eq!((parsed.id, parsed.is_response, parsed.response_code), (7, true, Some(0)));
        assert_eq!(parsed.questions, [Question { name: "www.example.com".into(), kind: 1 }]);
        assert_eq!(parsed.answers[0].data, Data::Name("a.example.com".into()));
        let answer = &parsed.answers[1];
        assert_eq!((answer.name.as_str(), answer.ttl), ("a.example.com", 9));
        assert_eq!(answer.data, Data::Address([192, 0, 2, 7].into()));
        assert_eq!(parsed.asked_name(answer), "www.example.com");
        // Cut anywhere: what was captured is there, and that it is cut.
        for length in 0..bytes.len() {
            let cut = DnsMessage::parse(&bytes[..length], true).unwrap();
            assert!(cut.is_cut && parsed.answers.starts_with(&cut.answers), "{length}");
            assert_eq!(cut.questions.is_empty(), length < 33, "{length}");
        }
    }

    #[test]
    fn a_name_in_a_circle_or_too_long_is_refused() {
        let pointer = |to: u8| [&message(1, "a", &[])[..14], &[0xC0, to, 0, 1, 0, 1]].concat();
        assert_eq!(DnsMessage::parse(&pointer(14), false), None, "itself");
        assert_eq!(DnsMessage::parse(&pointer(200), false), None, "forwards");
        let mut circle = message(1, "a", &[]);
        circle.truncate(12);
        circle.extend(b"\x01a\xC0\x0C\0\x01\0\x01");
        assert_eq!(DnsMessage::parse(&circle, false), None, "a name within itself");
        let long = message(1, &["a"; 130].join("."), &[]);
        assert_eq!(DnsMessage::parse(&long, false), None);
        let mut dots = message(1, "x", &[]);
        dots[13] = b'.';
        assert_eq!(DnsMessage::parse(&dots, false).unwrap().questions[0].name, r"\046");
    }

    #[test]
    fn aliases_in_a_circle_end() {
        let alias = [&[0xC0, 12, 0, 5, 0, 1, 0, 0, 0, 60, 0, 2][..], &[0xC0, 12]].concat();
        let other = [&b"\x01z\0\0\x01\0\x01\0\0\0\x05\0\x04"[..], &[192, 0, 2, 1]].concat();
        let parsed = DnsMessage::parse(&message(1, "a.b", &[&alias, &other]), false).unwrap();
        assert_eq!(parsed.asked_name(&parsed.answers[1]), "z");
    }
}
