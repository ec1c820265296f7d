//! Echo requests: whether each of their packets was recorded once, with one ICMP header.

use hone_packet::Headers;
use hone_packet::protocol::{ICMP, ICMPV6};

use super::recorded::Event;
use super::{Answers, Verdict};

/// Bytes before the data of an echo message (RFC 792, RFC 4443).
pub(crate) const ICMP_HEADER: usize = 8;

/// The packets of a ping to this computer itself, as the answer names them: type, whether outbound.
const PACKETS: [(&str, bool, bool); 4] = [
    ("request out", true, true),
    ("request in", true, false),
    ("answer out", false, true),
    ("answer in", false, false),
];

/// Answers a question about an echo request with this data to this computer itself. A raw socket's answer is made by
/// Windows, so it is judged in the same way.
pub(crate) fn judge_echo(id: &'static str, events: &[Event], data: &[u8], answers: &mut Answers) {
    let mut counts = [0_u32; PACKETS.len()];
    let mut wrong = Vec::new();
    for event in events {
        let Event::Packet { is_outbound, data: packet, .. } = event else { continue };
        if !packet.ends_with(data) {
            continue;
        }
        let headers = match Headers::parse(packet) {
            Ok(headers) if matches!(headers.protocol, ICMP | ICMPV6) => headers,
            Ok(headers) => {
                wrong.push(format!("a packet of protocol {}", headers.protocol));
                continue;
            }
            Err(error) => {
                wrong.push(format!("a packet without an IP header: {error}"));
                continue;
            }
        };
        let is_request = match headers.icmp() {
            Some([8 | 128, 0]) => true,
            Some([0 | 129, 0]) => false,
            other => {
                wrong.push(format!("ICMP type and code {other:?}"));
                continue;
            }
        };
        if headers.transport.len() != ICMP_HEADER + data.len() {
            wrong.push(format!(
                "{} bytes of ICMP, sent were {}",
                headers.transport.len(),
                ICMP_HEADER + data.len()
            ));
        }
        let place = PACKETS
            .iter()
            .position(|(_, request, outbound)| (*request, *outbound) == (is_request, *is_outbound));
        counts[place.expect("all four are there")] += 1;
    }
    if counts == [0; 4] && wrong.is_empty() {
        return answers.note(id, Verdict::Unknown, "no packet of it was recorded");
    }
    for ((name, ..), count) in PACKETS.iter().zip(counts).filter(|(_, count)| *count != 1) {
        wrong.push(format!("{name}: {count} times"));
    }
    let text = if wrong.is_empty() { "four packets, each once".to_owned() } else { wrong.join("; ") };
    answers.note(id, Verdict::expected(wrong.is_empty()), text);
}
