//! Running a command of the user's for one record. Nothing of the record gets onto its command line.

use std::process::{ExitStatus, Stdio};
use std::sync::Arc;

use serde::Serialize;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

use crate::exit::Failure;

/// The exit code by which a command says that it may be tried again (EX_TEMPFAIL of sysexits.h).
pub(crate) const TRY_AGAIN: i32 = 75;
/// More of a result than this is not read, in bytes: one more than an answer can hold is refused.
const MAX_OUTPUT: u64 = 1_000_001;
/// More of an error's text than this is not read, in bytes; an answer holds 2,048.
const MAX_SAID: u64 = 64 * 1024;

/// A command, split into words.
#[derive(Clone, Debug)]
pub(crate) struct Exec(Arc<[String]>);

/// What a command did.
pub(crate) struct Ran {
    pub(crate) status: ExitStatus,
    /// Its standard output.
    pub(crate) output: Vec<u8>,
    /// What it said on stderr, or else how it ended.
    pub(crate) said: String,
}

impl Exec {
    /// Splits a command into words as a shell would.
    pub(crate) fn parse(text: &str) -> Result<Self, Failure> {
        let words = shlex::split(text).filter(|words| !words.is_empty());
        let words = words.ok_or_else(|| {
            Failure::Usage(format!(
                "--exec {text:?} is not a command: its quotes do not match, or it is empty"
            ))
        })?;
        Ok(Self(words.into()))
    }

    /// Runs it with an object as a line of JSON on its stdin. Dropping this kills it.
    pub(crate) async fn run(&self, input: &impl Serialize) -> std::io::Result<Ran> {
        let mut bytes = serde_json::to_vec(input)?;
        bytes.push(b'\n');
        let (program, arguments) = self
            .0
            .split_first()
            .ok_or_else(|| std::io::Error::other("there is no command"))?;
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            // Ctrl-C is for us, not for what we are about to finish.
            .process_group(0)
            .spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            // A command that does not read its input closes the pipe: that is its own affair.
            tokio::spawn(async move { stdin.write_all(&bytes).await });
        }
        let (output, said, status) = tokio::join!(
            read(child.stdout.take(), MAX_OUTPUT),
            read(child.stderr.take(), MAX_SAID),
            child.wait(),
        );
        let (output, said, status) = (output?, said?, status?);
        let said = String::from_utf8_lossy(&said).trim().to_owned();
        let said = match said.is_empty() {
            true => format!("the command ended with {status}"),
            false => said,
        };
        Ok(Ran {
            status,
            output,
            said,
        })
    }
}

/// What a command writes, up to so many bytes; the rest is read and thrown away, so that it can end.
async fn read(pipe: Option<impl AsyncRead + Unpin>, limit: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(mut pipe) = pipe {
        (&mut pipe).take(limit).read_to_end(&mut bytes).await?;
        tokio::io::copy(&mut pipe, &mut tokio::io::sink()).await?;
    }
    Ok(bytes)
}
