//! A process that serves the stream: as fast as the socket takes it.

use std::io::{BufRead, BufReader, IoSlice, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use atcomms_devnet::Replay;
use tokio::runtime::Runtime;
use tokio_tungstenite::tungstenite;

use crate::corpus::{Corpus, Stream};

/// The argument that makes this program the server.
pub(crate) const SERVE: &str = "--serve-the-stream";

/// Frames that are written at once; each is two pieces, and the system takes 1024.
const TOGETHER: usize = 256;

/// The server, from the readers' side. It ends when this is dropped.
pub(crate) struct Server {
    child: Child,
    /// `ws://localhost:PORT`, whose stream begins anew for everyone who connects.
    pub(crate) url: String,
    /// Where the DID documents are.
    pub(crate) plc: String,
}

impl Server {
    pub(crate) fn start() -> Self {
        let program = std::env::current_exe().expect("this program");
        let mut child = Command::new(program)
            .arg(SERVE)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a process");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let mut line = || lines.next().expect("a line").expect("text");
        let (url, plc) = (line(), line());
        Self { child, url, plc }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Serves until the parent is gone.
pub(crate) fn serve(corpus: Corpus) {
    let stream = corpus.stream();
    let heads: Vec<Vec<u8>> = stream
        .frames
        .iter()
        .map(|frame| head(frame.len()))
        .collect();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let runtime = Runtime::new().expect("a runtime");
    let documents = Replay::start(Vec::new(), corpus.documents);
    let documents = runtime.block_on(documents).expect("documents");
    let port = listener.local_addr().expect("bound").port();
    println!("ws://localhost:{port}\n{}", documents.plc_url());
    std::thread::spawn(move || {
        for socket in listener.incoming() {
            // A reader that has seen enough hangs up.
            drop(play(socket.expect("a connection"), &stream, &heads));
        }
    });
    drop(std::io::stdin().read_to_end(&mut Vec::new()));
}

fn play(socket: TcpStream, stream: &Stream, heads: &[Vec<u8>]) -> std::io::Result<()> {
    let Ok(handshaken) = tungstenite::accept(socket) else {
        return Ok(());
    };
    let mut socket = handshaken.get_ref().try_clone()?;
    let pieces = heads.iter().zip(&stream.frames);
    let pieces: Vec<_> = pieces.collect();
    for together in pieces.chunks(TOGETHER) {
        let slices = together
            .iter()
            .flat_map(|(head, frame)| [IoSlice::new(head), IoSlice::new(frame)]);
        let mut slices: Vec<_> = slices.collect();
        let mut left = &mut slices[..];
        while !left.is_empty() {
            let written = socket.write_vectored(left)?;
            IoSlice::advance_slices(&mut left, written);
        }
    }
    // The reader ends the connection, when it has read all of it.
    socket.read_to_end(&mut Vec::new())?;
    Ok(())
}

/// How a WebSocket's binary message of this length begins.
fn head(len: usize) -> Vec<u8> {
    const BINARY: u8 = 0x82;
    match (u16::try_from(len), u64::try_from(len)) {
        (Ok(len @ ..126), _) => vec![BINARY, len.to_be_bytes()[1]],
        (Ok(len), _) => [&[BINARY, 126][..], &len.to_be_bytes()].concat(),
        (_, len) => [&[BINARY, 127][..], &len.expect("64 bits").to_be_bytes()].concat(),
    }
}
