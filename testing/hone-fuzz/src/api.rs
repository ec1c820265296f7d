//! Fuzz target: control requests and replies of `hone-api`.

use hone_api::{ApiVersion, ControlCode, Operation, OriginalStatistics, Request, Statistics, limits};

/// The first four bytes are a control code; its two lower bytes are also used as an operation number of the Linux
/// protocol. The rest is used as the request's input, and also as a reply.
pub fn api_request(input: &[u8]) {
    let Some((code, input)) = input.split_first_chunk() else { return };
    let number = Operation::try_from(u16::from_le_bytes([code[0], code[1]]));
    let code = ControlCode(u32::from_le_bytes(*code));
    let by_code = Operation::try_from(code);
    if let Ok(operation) = by_code {
        assert_eq!(operation.control_code(), code);
    }
    for operation in [by_code, number].into_iter().flatten() {
        request(operation, input);
    }
    reply(input);
}

/// Either the input is refused with a message that names the operation; or every part of it is in bounds, and encoding
/// it again returns a request with the same meaning.
fn request(operation: Operation, input: &[u8]) {
    let request = match Request::parse(operation, input) {
        Ok(request) => request,
        Err(error) => return assert!(error.to_string().starts_with(operation.name())),
    };
    assert_eq!(request.operation(), operation);
    match request {
        Request::FilterConnections(ids) => {
            assert!(ids.len() <= limits::MAX_FILTER_IDS);
            assert_eq!(ids.iter().count(), ids.len());
        }
        Request::FilterProcesses(ids) | Request::IncludeProcesses(ids) => {
            assert!(ids.len() <= limits::MAX_FILTER_IDS);
        }
        Request::IncludeConnections(ids) => assert!(ids.len() <= limits::MAX_FILTER_IDS),
        Request::SetOpenConnections(connections) => {
            assert!(connections.len() <= limits::MAX_OPEN_CONNECTIONS);
            assert_eq!(connections.iter().count(), connections.len());
        }
        Request::SetSnapLength(length) => assert!(length.number() <= limits::MAX_SNAP_LENGTH),
        Request::SetRingBytes(bytes) => {
            assert!((limits::MIN_RING_BYTES..=limits::HARD_MAX_RING_BYTES).contains(&bytes));
        }
        _ => {}
    }
    let mut buffer = vec![0; input.len().max(8)];
    let length = request.encode(&mut buffer).expect("no longer than what it came from");
    assert_eq!(Request::parse(operation, &buffer[..length]), Ok(request));
}

fn reply(reply: &[u8]) {
    if let Ok(statistics) = Statistics::parse(reply) {
        assert_eq!(Statistics::parse(&statistics.reply()), Ok(statistics));
        assert_eq!(statistics.to_original().packets, statistics.received.packets);
    }
    if let Ok(statistics) = OriginalStatistics::parse(reply) {
        assert!(reply.starts_with(&statistics.encode()));
    }
    if let Ok(version) = ApiVersion::parse(reply) {
        assert!(reply.starts_with(&version.encode()));
    }
}
