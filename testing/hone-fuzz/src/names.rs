//! Fuzz target: packets for `hone-names`.

use hone_names::{MAX_FLOWS, MAX_NAME, MAX_STREAMS, Names, Packet};
use hone_packet::Headers;
use hone_types::Direction;

use crate::input::Input;

/// Packets, each behind what its recording says of it, in five bytes: flags (which way it goes, whether it was cut off), its
/// process, its connection, and its length in two bytes. Whatever they contain, names print, are not too long, and what
/// is remembered of them is bounded. What comes out for a packet does not depend on what was there before the first one.
pub fn packet_names(bytes: &[u8]) {
    let mut fresh = Names::default();
    let once = run(bytes, &mut fresh);
    fresh.clear();
    assert_eq!(once, run(bytes, &mut fresh), "clear() forgets everything");
}

pub(crate) fn run(bytes: &[u8], names: &mut Names) -> Vec<String> {
    let mut input = Input::new(bytes);
    let mut said = Vec::new();
    while !input.is_empty() {
        let (flags, process, connection) = (input.u8(), input.u8(), input.u8());
        let length = input.u16();
        let packet = input.bytes(length.into());
        let Ok(headers) = Headers::parse(packet) else { continue };
        let noted = names.note(&Packet {
            nanos: u64::from(flags) << 36,
            direction: [None, Some(Direction::Inbound), Some(Direction::Outbound)]
                .get(usize::from(flags & 3))
                .copied()
                .flatten(),
            process: (process != 0).then_some(process.into()),
            connection: (connection != 0).then_some(connection.into()),
            headers,
            length: u32::from(length) + u32::from(flags >> 2),
        });
        for found in noted.found {
            said.extend(found.names().map(str::to_owned));
        }
        said.extend(noted.name.map(|(named, _)| named.name.to_string()));
    }
    for name in &said {
        // Each byte may become four characters.
        assert!(!name.is_empty() && name.len() <= 4 * MAX_NAME, "{name}");
        assert!(name.bytes().all(|byte| byte.is_ascii_graphic()), "{name}");
    }
    let (flows, streams) = names.sizes();
    assert!(flows <= MAX_FLOWS && streams <= MAX_STREAMS);
    said
}
