//! Fuzz target: streams for `hone-pcapng`.

use hone_pcapng::foreign::{self, AppleProcess, WiresharkProcess};
use hone_pcapng::{Block, ByteOrder, EmitError, ReadError, Reader};

/// Longest block that is read, so that an input cannot make the reader use much memory.
const LIMIT: u32 = 1 << 20;

/// A reader's result for a stream: the position and the bytes of each block, and how the stream ended.
type Told = (Vec<(u64, Vec<u8>)>, Result<(), ReadError>);

/// The first byte is the size of the chunks; the rest is the stream. The size of the chunks must make no difference,
/// blocks must follow each other without gaps, and a block that is emitted again must be read as the same block.
pub fn pcapng_reader(input: &[u8]) {
    let Some((&chunk, stream)) = input.split_first() else { return };
    let (blocks, end) = read(stream, usize::from(chunk).max(1));
    let (whole, end_of_whole) = read(stream, usize::MAX);
    assert_eq!((&blocks, &end), (&whole, &end_of_whole), "in chunks of {chunk}");
    let length: usize = blocks.iter().map(|(_, raw)| raw.len()).sum();
    match end {
        Ok(()) => assert_eq!(length, stream.len()),
        Err(error) => {
            assert_eq!(error.offset, length as u64, "the error is about the block after the last one");
            assert!(!error.to_string().is_empty());
        }
    }
    emit_again(stream);
}

fn read(stream: &[u8], chunk: usize) -> Told {
    let mut reader = Reader::with_limit(LIMIT);
    let mut blocks: Vec<(u64, Vec<u8>)> = vec![];
    for chunk in stream.chunks(chunk) {
        reader.feed(chunk).expect("there is memory");
        loop {
            match reader.next_block() {
                Ok(Some(item)) => {
                    let expected = blocks.last().map_or(0, |(offset, raw)| offset + raw.len() as u64);
                    assert_eq!(item.offset, expected);
                    blocks.push((item.offset, item.raw.to_vec()));
                }
                Ok(None) => break,
                Err(error) => return (blocks, Err(error)),
            }
        }
    }
    (blocks, reader.finish())
}

fn emit_again(stream: &[u8]) {
    let mut reader = Reader::with_limit(LIMIT);
    reader.feed(stream).expect("there is memory");
    // Reads the blocks that are emitted again.
    let mut second = Reader::new();
    while let Ok(Some(item)) = reader.next_block() {
        read_foreign(&item.block, item.order);
        let mut bytes = vec![];
        match item.block.emit(item.order, &mut bytes) {
            Ok(()) => {}
            Err(EmitError::TooLong { .. }) => return,
            Err(error) => panic!("block at {} is not emitted: {error}", item.offset),
        }
        assert_eq!(item.block.emitted_length(), Ok(bytes.len()));
        second.feed(&bytes).expect("there is memory");
        let again = second.next_block().expect("what is emitted is sound").expect("and whole");
        assert_eq!((&again.block, again.order, again.nanos), (&item.block, item.order, item.nanos));
        assert_eq!(again.raw, bytes);
    }
    assert_eq!(second.finish(), Ok(()));
}

/// Reads what other tools may have written: no block makes it panic.
fn read_foreign(block: &Block<'_>, order: ByteOrder) {
    match block {
        Block::Unknown { body, .. } => {
            drop(WiresharkProcess::parse(body, order));
            drop(AppleProcess::parse(body, order));
        }
        Block::Packet(packet) => {
            let named = foreign::process_threads(packet, order).count();
            assert!(named <= packet.other.len());
            let _ = foreign::apple_process(packet, order);
            let _ = foreign::apple_effective_process(packet, order);
        }
        _ => {}
    }
}
