//! Where an example runs: on a devnet of its own, or, with ATCOMMS_PDS and ATCOMMS_PLC set, on that PDS.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use atcomms::identity::{GuardedClient, is_loopback_url};
use atcomms::lexicon::Handle;
use atcomms::{Agent, SecretString, Store};
use atcomms_devnet::Devnet;
use reqwest::{Method, Url};
use serde_json::{Value, json};

/// The network of an example.
pub(crate) struct Network {
    pub(crate) plc: String,
    pds: String,
    /// Kept because the network ends with it.
    devnet: Option<Devnet>,
}

impl Network {
    /// A devnet, or the PDS that the environment names.
    pub(crate) async fn start() -> Result<Self> {
        let named = |name| std::env::var(name).ok().filter(|url| !url.is_empty());
        match (named("ATCOMMS_PDS"), named("ATCOMMS_PLC")) {
            (Some(pds), Some(plc)) => Ok(Network {
                plc,
                pds,
                devnet: None,
            }),
            (None, None) => {
                let devnet = Devnet::start().await?;
                let pds = devnet
                    .pds()
                    .first()
                    .context("a devnet has a PDS")?
                    .url()
                    .to_owned();
                Ok(Network {
                    plc: devnet.plc_url().to_owned(),
                    pds,
                    devnet: Some(devnet),
                })
            }
            _ => bail!(
                "set both ATCOMMS_PDS and ATCOMMS_PLC to run on that PDS, or neither to run on a devnet"
            ),
        }
    }

    /// In one line: where this runs.
    pub(crate) fn describe(&self) -> String {
        let kind = if self.devnet.is_some() {
            "devnet"
        } else {
            "the network of the environment"
        };
        format!("{kind}: PDS {}, PLC {}", self.pds, self.plc)
    }

    /// An agent with a new account of this name, which survives in the store if there is one.
    pub(crate) async fn agent(&self, name: &str, store: Option<Store>) -> Result<Agent> {
        let (handle, password) = match &self.devnet {
            Some(devnet) => {
                let account = devnet.create_account(name).await?;
                (account.handle, account.password)
            }
            None => self.create_account(name).await?,
        };
        let mut builder = Agent::builder()
            .plc(self.plc.parse()?)
            .pds(self.pds.parse()?);
        if let Some(store) = store {
            builder = builder.store(store);
        }
        Ok(builder.login(handle, SecretString::from(password)).await?)
    }

    /// A throw-away account on a PDS that needs no invitation.
    async fn create_account(&self, name: &str) -> Result<(Handle, String)> {
        let pds: Url = self.pds.parse()?;
        let client = GuardedClient::new(is_loopback_url(&pds));
        let describe = client.get(pds.join("/xrpc/com.atproto.server.describeServer")?)?;
        let server: Value = describe.send().await?.error_for_status()?.json().await?;
        let domain = server["availableUserDomains"][0].as_str();
        let domain = domain.context("the PDS names no domain for new handles")?;
        let unique = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis() % 100_000_000;
        let handle = format!("{name}{unique}{domain}");
        let password = format!("throw-away-{unique}");
        let email = format!("{name}{unique}@example.com");
        let account = json!({"handle": handle, "email": email, "password": password});
        let create = pds.join("/xrpc/com.atproto.server.createAccount")?;
        let answer = client
            .request(Method::POST, create)?
            .json(&account)
            .send()
            .await?;
        if !answer.status().is_success() {
            bail!(
                "{pds} did not create the account {handle}: {}",
                answer.text().await?
            );
        }
        Ok((handle.parse()?, password))
    }
}
