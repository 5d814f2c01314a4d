//! The `atcomms` command: the way in which programs in any language use atcomms.

mod args;
mod commands;
mod context;
mod event;
mod exec;
mod exit;
mod line;
mod sending;

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use crate::args::{Cli, Command};
use crate::context::Context;
use crate::exit::{Failure, Outcome};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = start(cli);
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // What others wrote may be in it. A closed stderr leaves the exit code to tell.
            let _ = writeln!(
                std::io::stderr(),
                "atcomms: {}",
                line::harmless(&failure.to_string())
            );
            failure.exit_code()
        }
    }
}

fn start(cli: Cli) -> Outcome {
    let filter = filter(&cli.global.log)?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let outcome = runtime.block_on(run(cli));
    // A command that reads stdin may still block a thread; it must not hold up the exit.
    runtime.shutdown_background();
    outcome
}

/// A level, or a filter of the form `target=level`. A bare word that is no level would be taken for a
/// target, and silence everything else.
fn filter(text: &str) -> Result<EnvFilter, Failure> {
    let usage = |why: &str| {
        Failure::Usage(format!(
            "--log {text}: {why}; use error, warn, info, debug or trace"
        ))
    };
    if !text.contains(['=', ',']) && text.parse::<LevelFilter>().is_err() {
        return Err(usage("that is no level"));
    }
    EnvFilter::try_new(text).map_err(|error| usage(&error.to_string()))
}

async fn run(cli: Cli) -> Outcome {
    let context = Context::new(cli.global)?;
    match cli.command {
        Command::Devnet(args) => commands::devnet::run(args).await,
        Command::Login(args) => commands::login::run(&context, args).await,
        Command::Whoami(args) => commands::whoami::run(&context, args).await,
        Command::Send(args) => commands::send::send(&context, args).await,
        Command::Broadcast(args) => commands::send::broadcast(&context, args).await,
        Command::Watch(args) => commands::watch::run(&context, args).await,
        Command::Record(args) => commands::record::run(args).await,
        Command::Request(args) => commands::request::run(&context, args).await,
        Command::Inbox(args) => commands::inbox::run(&context, args).await,
        Command::Outbox(args) => commands::outbox::run(&context, args).await,
        Command::Budget(args) => commands::budget::run(&context, args).await,
        Command::Prune(args) => commands::prune::run(&context, args).await,
        Command::Prove(args) => commands::prove::run(&context, args).await,
        Command::Verify(args) => commands::verify::run(&context, args).await,
        Command::Doctor(args) => commands::doctor::run(&context, args).await,
        Command::Serve(args) => commands::serve::run(&context, args).await,
    }
}
