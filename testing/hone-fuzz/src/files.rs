//! Fuzz targets: files from outside, for the code that reads them: recordings and captures in all formats,
//! configuration, lists.

use std::path::{Component, Path};
use std::rc::Rc;

use hone_packet::Headers;
use hone_pcapng::{Block, Reader};
use hone_select::{Expression, Mark, PacketView, ProcessView, Selection};
use honeutil::cut::fuzzing::cut;
use honeutil::platform::fuzzing::{listed_sockets, manifest};
use honeutil::show::fuzzing::{contents, show};

/// The selections of `show` that are tried, as text.
const SELECTIONS: [&str; 4] = [
    "",
    "--filter\0ip[8] < 65 and (tcp[tcpflags] & tcp-syn != 0 or udp port 53 or icmp6 or greater 40)\0",
    "--name\0a\0--name\0\\x1b\0--user\x000\0--user\0root\0--container\0w\0",
    "--path\0/\0--not-group\x000\0--not-unit\0a\0--children\0--not-port\x0053\0--not-direction\0in\0",
];

/// The first byte is the size of the chunks, the second one chooses the selection. The rest is a recording, or another
/// program's capture. The size of the chunks must make no difference, and the output must be printable text and JSON.
pub fn show_stream(input: &[u8]) {
    let Some((&[chunk, selection], stream)) = input.split_first_chunk() else { return };
    let selection = SELECTIONS[usize::from(selection) % SELECTIONS.len()];
    let selection = &Rc::new(Selection::parse(selection.as_bytes()).expect("it is sound"));
    let whole = show(stream, usize::MAX, selection);
    let chunk = usize::from(chunk).max(stream.len() / 16).max(1);
    assert_eq!(show(stream, chunk, selection), whole, "in chunks of {chunk}");
    for object in whole.objects.lines() {
        let object = serde_json::from_str::<serde_json::Value>(object);
        assert!(object.is_ok_and(|object| object.is_object()), "{}", whole.objects);
    }
}

/// The first byte chooses what is written besides the packets, the second one the selection. The rest is a recording. The
/// cut must be a recording with exactly the selected packets, if its sections can be one.
pub fn cut_stream(input: &[u8]) {
    let Some((&[how, selection], stream)) = input.split_first_chunk() else { return };
    let selection = SELECTIONS[usize::from(selection) % SELECTIONS.len()];
    let selection = &Rc::new(Selection::parse(selection.as_bytes()).expect("it is sound"));
    let (bytes, packets) = cut(stream, selection, how & 1 != 0, how & 2 != 0);
    if how & 2 != 0 {
        return;
    }
    let mut reader = Reader::new();
    reader.feed(&bytes).expect("there is memory");
    let mut found = Vec::new();
    while let Some(item) = reader.next_block().expect("the cut is sound") {
        if matches!(item.block, Block::Packet(_) | Block::ObsoletePacket(_) | Block::SimplePacket(_)) {
            found.push(item.raw.to_vec());
        }
    }
    reader.finish().expect("the cut is whole");
    assert_eq!(found, packets);
}

/// A file that may be compressed. Plain data must come out unchanged; compressed data is read up to a limit.
pub fn show_compressed(input: &[u8]) {
    const MOST: u64 = 1 << 16;
    let compressed = input.starts_with(&[0x1F, 0x8B, 8]) || input.starts_with(&[0x28, 0xB5, 0x2F, 0xFD]);
    match contents(input.to_vec(), MOST) {
        Ok(out) if compressed => assert!(out.len() as u64 <= MOST),
        Ok(out) => assert_eq!(out, input),
        Err(error) => assert!(compressed && !error.to_string().is_empty()),
    }
}

/// An expression, NUL, and a packet. The packet is matched complete and cut. A refused expression must have a message
/// that says why.
pub fn filter_expression(input: &[u8]) {
    let end = input.iter().position(|&byte| byte == 0).unwrap_or(input.len());
    let (text, packet) = input.split_at(end);
    let packet = packet.get(1..).unwrap_or_default();
    match String::from_utf8_lossy(text).parse::<Expression>() {
        Ok(expression) => {
            for end in [packet.len(), packet.len() / 2, 20.min(packet.len())] {
                let _ = expression.matches(&view(&packet[..end]));
            }
        }
        Err(error) => assert!(!error.to_string().is_empty(), "{error:?}"),
    }
}

/// A packet from its IP header on, as a condition sees it.
fn view(ip: &[u8]) -> PacketView<'_> {
    let length = u32::try_from(ip.len()).unwrap_or(u32::MAX);
    PacketView { ip, headers: Headers::parse(ip).ok(), length, ..PacketView::default() }
}

/// A selection as a reader sends it, and after its last zero byte a packet. A selection must be the same after it was text
/// again; a refused one must have a message that says where.
pub fn selection_text(input: &[u8]) {
    let end = input.iter().rposition(|&byte| byte == 0).map_or(0, |at| at + 1);
    let (text, packet) = input.split_at(end);
    match Selection::parse(text) {
        Ok(selection) => {
            let mut again = Vec::new();
            selection.to_text(&mut again).expect("there is memory");
            let _ = selection.packet_matches(&view(packet));
            let process =
                ProcessView { pid: Some(8), path: packet, user_name: packet, ..ProcessView::default() };
            let mark = selection.mark(&process, Mark::default());
            assert_eq!(Mark::of_bits(mark.bits()), mark);
            let _ = (selection.admits(Some(mark)), selection.check().map_err(|error| error.to_string()));
            assert_eq!(Selection::parse(&again), Ok(selection));
        }
        Err(error) => assert!(error.to_string().starts_with("argument "), "{error:?}"),
    }
}

/// The values of options.
pub fn option_values(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let _ = honeutil::cli::parse::values(&text);
    // Not the rule that opens a file.
    if !text.trim().starts_with("destination in") {
        let _ = text.parse::<honeutil::recent::rules::Rule>().map_err(|error| error.to_string());
    }
    if let Err(error) = honeutil::recent::rules::Destinations::parse(&text, "list") {
        assert!(error.to_string().starts_with("list"), "{error}");
    }
    if let Ok(levels) = text.parse::<hone_client::LogLevels>() {
        assert_eq!(levels.to_string().parse(), Ok(levels));
    }
}

/// honed's configuration. An error must name the file.
pub fn configuration(input: &[u8]) {
    if let Err(error) = honed::fuzzing::configuration(&String::from_utf8_lossy(input)) {
        assert!(error.starts_with("hone.toml: "), "{error}");
    }
}

/// The first byte chooses one of the kernel's lists of sockets, or an installation's manifest. Each socket must have an
/// inode. A manifest must contain plain absolute paths only, and must be equal after it is written and read again.
pub fn local_files(input: &[u8]) {
    let Some((&which, text)) = input.split_first() else { return };
    let text = String::from_utf8_lossy(text);
    if which < 128 {
        for (_, local, remote, inode) in listed_sockets(which, &text) {
            assert!(inode != 0);
            assert!(remote.is_none_or(|remote| !remote.ip().is_unspecified()), "{local} {remote:?}");
        }
    } else if let Some((paths, again)) = manifest(&text) {
        let is_plain = |path: &Path| {
            path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)))
        };
        assert!(paths.iter().all(|path| path.is_absolute() && is_plain(path)), "{paths:?}");
        assert_eq!(manifest(&again), Some((paths, again)));
    }
}
