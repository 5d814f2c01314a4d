//! `atcomms devnet`: a network on this machine, until Ctrl-C.

use anyhow::Context as _;
use atcomms_devnet::{Devnet, RateLimits};
use serde::Serialize;

use crate::args;
use crate::exit::Outcome;
use crate::line;

#[derive(Serialize)]
struct Ready<'a> {
    plc: &'a str,
    relay: &'a str,
    jetstream: &'a str,
    pds: Vec<String>,
    accounts: Vec<Account>,
}

#[derive(Serialize)]
struct Account {
    handle: String,
    did: String,
    password: String,
    pds: String,
}

pub(crate) async fn run(args: args::Devnet) -> Outcome {
    let mut builder = Devnet::builder().pds(usize::from(args.pds));
    if let Some(port) = args.port {
        builder = builder.port(port);
    }
    if let Some(folder) = args.data {
        builder = builder.data(folder);
    }
    if args.rate_limits {
        builder = builder.rate_limits(RateLimits::default());
    }
    for name in args.accounts {
        builder = builder.account(name);
    }
    let devnet = builder
        .start()
        .await
        .context("the network could not start")?;
    let accounts = devnet.accounts();
    let ready = Ready {
        plc: devnet.plc_url(),
        relay: devnet.relay().ws_url(),
        jetstream: devnet.jetstream().ws_url(),
        pds: devnet
            .pds()
            .iter()
            .map(|pds| pds.url().to_owned())
            .collect(),
        accounts: accounts
            .iter()
            .map(|account| Account {
                handle: account.handle.to_string(),
                did: account.did.to_string(),
                password: account.password.clone(),
                pds: account.pds.clone(),
            })
            .collect(),
    };
    line::json(&ready)?;
    crate::commands::interrupted().await;
    devnet.shutdown().await;
    Ok(())
}
