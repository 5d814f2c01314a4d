//! `atcomms login`: a session, kept for the commands after it.

use std::io::{BufRead, IsTerminal};

use anyhow::Context as _;
use atcomms::{ConnectError, SecretString};

use crate::args;
use crate::context::Context;
use crate::exit::{Failure, Outcome};
use crate::line;

pub(crate) async fn run(context: &Context, args: args::Login) -> Outcome {
    let password = password()?;
    let plc = context.plc()?;
    // Before anybody is asked: a store that cannot be used is no reason to open a session.
    let store = context.store()?;
    let mut builder = atcomms::Agent::builder().plc(plc).store(store);
    if let Some(pds) = args.pds {
        builder = builder.pds(pds);
    }
    let agent = match builder.login(args.address, password).await {
        Ok(agent) => agent,
        Err(ConnectError::Login(error)) => return Err(Failure::of(error.kind(), error)),
        Err(error) => return Err(error.into()),
    };
    eprintln!(
        "Logged in as {} ({}) at {}.",
        agent.handle(),
        agent.did(),
        agent.pds()
    );
    eprintln!(
        "What this agent writes is public, and signed by whoever holds its repository's key, normally the PDS."
    );
    line::text(agent.did().as_str())?;
    Ok(())
}

/// The password, from the environment or from the first line of stdin. Never from the command line,
/// which other users of the machine can see.
fn password() -> Result<SecretString, Failure> {
    if let Ok(password) = std::env::var("ATCOMMS_PASSWORD") {
        return Ok(password.into());
    }
    if std::io::stdin().is_terminal() {
        eprint!("App password (it is shown as you type): ");
    }
    let mut line = String::new();
    std::io::stdin()
        .lock()
        .read_line(&mut line)
        .context("the password cannot be read from stdin")?;
    let password = line.trim_end_matches(['\r', '\n']);
    if password.is_empty() {
        return Err(Failure::Usage(
            "there is no password: write it to stdin, or set ATCOMMS_PASSWORD".to_owned(),
        ));
    }
    Ok(password.into())
}
