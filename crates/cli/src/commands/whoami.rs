//! `atcomms whoami`: which login the other commands use.

use std::path::Path;

use serde::Serialize;

use crate::args;
use crate::context::Context;
use crate::exit::Outcome;
use crate::line;

#[derive(Serialize)]
struct Line<'a> {
    did: &'a str,
    handle: &'a str,
    pds: &'a str,
    plc: &'a str,
    state: &'a Path,
}

pub(crate) async fn run(context: &Context, args: args::Whoami) -> Outcome {
    let login = context.login()?;
    let (session, state) = (&login.session, context.path());
    let did = &session.did;
    if args.json {
        let (handle, pds) = (session.handle.as_str(), session.pds.as_str());
        line::json(&Line {
            did: did.as_str(),
            handle,
            pds,
            plc: login.plc.as_str(),
            state,
        })?;
        return Ok(());
    }
    line::text(&format!("{}  {did}", line::strong(session.handle.as_str())))?;
    line::text(&format!("at {}, directory {}", session.pds, login.plc))?;
    line::text(&line::dim(&format!("kept in {}", state.display())))?;
    Ok(())
}
