//! Requests of HTTP/1 in clear text (RFC 9112): which host they are for.

use crate::hello::Progress;
use crate::text;

/// Methods of RFC 9110 and RFC 5789, and those of WebDAV that begin a connection.
const METHODS: [&str; 11] =
    ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "PROPFIND", "REPORT"];
/// Most bytes of a request's first line.
const MAX_LINE: usize = 8192;

/// A request in clear text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HttpRequest {
    /// The method, such as `GET`.
    pub method: &'static str,
    /// The host that it is for, without its port, in lower case; what does not print is `\DDD`.
    pub host: Option<String>,
    /// Whether some of its head was not captured.
    pub is_cut: bool,
}

impl HttpRequest {
    /// Whether a stream may begin with a request.
    pub(crate) fn may_begin(stream: &[u8]) -> bool {
        METHODS.iter().any(|method| {
            let method = method.as_bytes();
            match stream.strip_prefix(method) {
                Some(rest) => rest.first().is_none_or(|byte| *byte == b' '),
                None => method.starts_with(stream),
            }
        })
    }

    /// The request at the beginning of a stream. `is_cut`: the rest of it was not captured.
    pub(crate) fn parse(stream: &[u8], is_cut: bool) -> Progress<Self> {
        let method = METHODS.into_iter().find(|method| {
            stream.strip_prefix(method.as_bytes()).is_some_and(|rest| rest.first() == Some(&b' '))
        });
        let Some(method) = method else {
            return match Self::may_begin(stream) {
                true if is_cut => Progress::Done(Self { is_cut, ..Self::default() }),
                true => Progress::More,
                false => Progress::Other,
            };
        };
        let mut request = Self { method, ..Self::default() };
        let mut lines = stream.split_inclusive(|byte| *byte == b'\n');
        let Some(first) = lines.next().filter(|line| line.ends_with(b"\n")) else {
            request.is_cut = is_cut;
            return match stream.len() {
                _ if is_cut => Progress::Done(request),
                ..MAX_LINE => Progress::More,
                _ => Progress::Other,
            };
        };
        let first = first.trim_ascii_end();
        let target = first.strip_suffix(b" HTTP/1.1").or_else(|| first.strip_suffix(b" HTTP/1.0"));
        let Some(target) = target.map(|line| &line[(method.len() + 1).min(line.len())..]) else {
            return Progress::Other;
        };
        // RFC 9112, section 3.2: to a proxy, the target has the host, and counts.
        if method == "CONNECT" {
            request.host = host(target);
            return Progress::Done(request);
        }
        if let Some(rest) = target.strip_prefix(b"http://") {
            let authority = rest.split(|byte| matches!(byte, b'/' | b'?')).next().unwrap_or_default();
            request.host = host(authority.rsplit(|byte| *byte == b'@').next().unwrap_or_default());
            return Progress::Done(request);
        }
        for line in lines {
            if !line.ends_with(b"\n") {
                break;
            }
            let line = line.trim_ascii_end();
            if line.is_empty() {
                return Progress::Done(request);
            }
            if let Some((name, value)) = line.split_at_checked(5)
                && name.eq_ignore_ascii_case(b"host:")
            {
                request.host = host(value.trim_ascii());
                return Progress::Done(request);
            }
        }
        request.is_cut = is_cut;
        if is_cut { Progress::Done(request) } else { Progress::More }
    }
}

/// The host of an authority (RFC 3986, section 3.2), without the port.
fn host(authority: &[u8]) -> Option<String> {
    let end = match authority.first() {
        Some(b'[') => authority.iter().position(|byte| *byte == b']').map(|at| at + 1),
        _ => authority.iter().position(|byte| *byte == b':'),
    };
    text::name(&authority[..end.unwrap_or(authority.len())])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn host_of(request: &str) -> Option<String> {
        match HttpRequest::parse(request.as_bytes(), false) {
            Progress::Done(request) => request.host,
            other => panic!("{request}: {other:?}"),
        }
    }

    #[test]
    fn the_host_of_a_request_is_found_in_each_form() {
        for (request, host) in [
            ("GET / HTTP/1.1\r\nAccept: */*\r\nHOST:  Example.com:8080 \r\n", "example.com"),
            ("GET http://user@a.example:1/x HTTP/1.1\r\nHost: b.example\r\n\r\n", "a.example"),
            ("CONNECT c.example:443 HTTP/1.1\r\n\r\n", "c.example"),
            ("POST / HTTP/1.0\nHost: [2001:db8::1]:80\n\n", "[2001:db8::1]"),
        ] {
            assert_eq!(host_of(request).as_deref(), Some(host), "{request}");
        }
        assert_eq!(host_of("GET / HTTP/1.0\r\n\r\n"), None);
        for other in ["GET", "GET /", "GET / HTTP/1.1\r\nHo", "PRO"] {
            assert_eq!(HttpRequest::parse(other.as_bytes(), false), Progress::More, "{other}");
            let cut = HttpRequest::parse(other.as_bytes(), true);
            assert!(matches!(cut, Progress::Done(HttpRequest { is_cut: true, host: None, .. })), "{other}");
        }
        for other in ["GETS / HTTP/1.1\r\n", "GET / HTTP/2\r\n\r\n", "SSH-2.0", "GET  HTTP/1.1"] {
            assert_ne!(
                HttpRequest::parse(other.as_bytes(), false),
                Progress::Done(HttpRequest { method: "GET", ..HttpRequest::default() }),
                "{other}"
            );
        }
    }
}
