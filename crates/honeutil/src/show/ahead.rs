//! A stream that a thread of its own decompresses, while what came before is shown.

use std::io::{self, Read};
use std::mem;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

/// Bytes that the thread hands over at once.
const CHUNK_BYTES: usize = 128 << 10;
/// How many chunks are ready at most.
const CHUNKS: usize = 4;
/// Most threads at a time: `show -w` can read many files at once.
const MAX_THREADS: usize = 8;

static THREADS: AtomicUsize = AtomicUsize::new(0);

/// What the thread hands over: a chunk, which is empty at the end, or why there is no more.
type Chunk = io::Result<Vec<u8>>;

/// The stream, decompressed by a thread if there is one left for it.
pub(super) fn read_ahead(stream: impl Read + Send + 'static) -> Box<dyn Read> {
    let is_free = |count: usize| (count < MAX_THREADS).then_some(count + 1);
    if THREADS.fetch_update(Ordering::Relaxed, Ordering::Relaxed, is_free).is_err() {
        return Box::new(stream);
    }
    let place = Place;
    // The thread gets the stream when it runs, so that the stream is still here if it cannot.
    let (hand, stream_of_thread) = sync_channel(1);
    let (full, chunks) = sync_channel(CHUNKS);
    let (used, empty) = sync_channel(CHUNKS);
    let run = move || {
        let _place = place;
        if let Ok(stream) = stream_of_thread.recv() {
            work(stream, &full, &empty);
        }
    };
    match thread::Builder::new().name("decompress".to_owned()).spawn(run) {
        Ok(_) => {
            // There is room for one, so this never waits.
            let _ = hand.send(stream);
            Box::new(Ahead { chunks, used, chunk: Vec::new(), taken: 0, has_ended: false })
        }
        Err(_) => Box::new(stream),
    }
}

/// One of the threads.
struct Place;

impl Drop for Place {
    fn drop(&mut self) {
        THREADS.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Reads the stream to its end, or as long as somebody wants more.
fn work(mut stream: impl Read, full: &SyncSender<Chunk>, empty: &Receiver<Vec<u8>>) {
    loop {
        let mut chunk = empty.try_recv().unwrap_or_default();
        chunk.resize(CHUNK_BYTES, 0);
        let read = match stream.read(&mut chunk) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read,
        };
        let is_last = !matches!(read, Ok(1..));
        let chunk = read.map(|count| {
            chunk.truncate(count);
            chunk
        });
        if full.send(chunk).is_err() || is_last {
            return;
        }
    }
}

/// The end of the stream that is read here.
struct Ahead {
    chunks: Receiver<Chunk>,
    /// Takes chunks back, so that no memory is asked for.
    used: SyncSender<Vec<u8>>,
    chunk: Vec<u8>,
    /// How much of the chunk was read.
    taken: usize,
    has_ended: bool,
}

impl Read for Ahead {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        if self.taken == self.chunk.len() && !self.has_ended {
            let next = self.chunks.recv().unwrap_or_else(|_| {
                Err(io::Error::other("the thread that decompresses it has ended before its end"))
            });
            self.has_ended = next.as_ref().map_or(true, Vec::is_empty);
            let used = mem::replace(&mut self.chunk, next?);
            self.taken = 0;
            // If there are enough already, this one is not needed.
            let _ = self.used.try_send(used);
        }
        let rest = &self.chunk[self.taken..];
        let count = rest.len().min(room.len());
        room[..count].copy_from_slice(&rest[..count]);
        self.taken += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives so many bytes, then fails or ends.
    struct Source(usize, bool);

    impl Read for Source {
        fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
            if self.0 == 0 && self.1 {
                return Err(io::Error::other("torn"));
            }
            let count = self.0.min(room.len()).min(70_000);
            room[..count].fill(7);
            self.0 -= count;
            Ok(count)
        }
    }

    #[test]
    fn all_bytes_come_and_then_the_end_or_the_error() {
        for fails in [false, true] {
            let mut bytes = Vec::new();
            let mut stream = read_ahead(Source(1_000_000, fails));
            let ended = stream.read_to_end(&mut bytes);
            assert_eq!(bytes, [7; 1_000_000]);
            match fails {
                true => assert_eq!(ended.unwrap_err().to_string(), "torn"),
                false => assert_eq!(ended.unwrap(), bytes.len()),
            }
            assert_eq!(stream.read(&mut [0]).unwrap(), 0, "the end stays the end");
        }
    }

    #[test]
    fn many_streams_at_once_are_read_whether_they_have_a_thread_or_not() {
        let mut streams: Vec<_> = (0..40).map(|_| read_ahead(Source(300_000, false))).collect();
        assert!(THREADS.load(Ordering::Relaxed) <= MAX_THREADS);
        for stream in &mut streams {
            assert_eq!(stream.read_to_end(&mut Vec::new()).unwrap(), 300_000);
        }
    }

    #[test]
    fn a_stream_that_is_not_read_to_its_end_ends_its_thread() {
        struct Endless(std::sync::mpsc::Sender<()>);
        impl Read for Endless {
            fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
                Ok(room.len())
            }
        }
        impl Drop for Endless {
            fn drop(&mut self) {
                let _ = self.0.send(());
            }
        }
        let (ended, wait) = std::sync::mpsc::channel();
        let mut stream = read_ahead(Endless(ended));
        stream.read_exact(&mut [0; 1000]).unwrap();
        drop(stream);
        wait.recv().unwrap();
    }
}
