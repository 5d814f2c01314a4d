//! `atcomms prove`: a file that proves a record from then on.

use std::io::{self, IsTerminal, Write};

use anyhow::Context as _;
use atcomms::lexicon::Address;
use atcomms::subscribe::prove_to_keep;

use crate::args;
use crate::context::Context;
use crate::exit::{Failure, Outcome};
use crate::line;

pub(crate) async fn run(context: &Context, args: args::Prove) -> Outcome {
    if args.out.is_none() && io::stdout().is_terminal() {
        return Err(Failure::Usage(
            "a proof is binary, and stdout is a terminal: add `> FILE` or `--out FILE`".to_owned(),
        ));
    }
    let (Some(collection), Some(rkey)) = (args.uri.collection(), args.uri.rkey()) else {
        return Err(Failure::Usage(format!("{} is no record", args.uri)));
    };
    let (resolver, _) = context.resolver_for_watching(&[])?;
    let busy = line::progress();
    busy.enable_steady_tick(line::TICK);
    busy.set_message("fetching the record and its proof");
    let did = match args.uri.authority() {
        Address::Did(did) => did,
        handle @ Address::Handle(_) => resolver.resolve(&handle).await?.did,
    };
    let proof = prove_to_keep(&resolver, &did, &collection, &rkey).await?;
    busy.finish_and_clear();
    match &args.out {
        Some(file) => std::fs::write(file, proof.as_bytes())
            .with_context(|| format!("cannot write {}", file.display()))?,
        None => {
            let mut out = io::stdout().lock();
            out.write_all(proof.as_bytes())
                .and_then(|()| out.flush())
                .context("cannot write to stdout")?;
        }
    }
    let summary = format!(
        "{} is proven: {} at rev {}, in {} bytes",
        proof.uri(),
        proof.cid(),
        proof.head().rev(),
        proof.as_bytes().len()
    );
    // The proof is written; a closed stderr does not undo that.
    let _ = writeln!(io::stderr(), "{}", line::harmless(&summary));
    if !proof.is_key_proven() {
        let _ = writeln!(
            io::stderr(),
            "That the key is the author's is not in it: who verifies it needs --online or --trust-maker."
        );
    }
    Ok(())
}
