//! `atcomms whoami`: which login the other commands use.

use serde_json::json;

use crate::args;
use crate::context::Context;
use crate::exit::Outcome;
use crate::line;

pub(crate) async fn run(context: &Context, args: args::Whoami) -> Outcome {
    let (did, login) = context.login()?;
    if args.json {
        line::json(
            &json!({"did": did, "handle": login.session.handle, "pds": login.session.pds, "plc": login.plc, "state": context.state.path()}),
        )?;
        return Ok(());
    }
    line::text(&format!(
        "{}  {did}",
        line::strong(login.session.handle.as_str())
    ))?;
    line::text(&format!(
        "at {}, directory {}",
        login.session.pds, login.plc
    ))?;
    line::text(&line::dim(&format!(
        "kept in {}",
        context.state.path().display()
    )))?;
    Ok(())
}
