//! Where an example runs: on a devnet of its own, or, with ATCOMMS_PDS and ATCOMMS_PLC set, on that PDS.

use anyhow::{Context, Result, bail};
use atcomms::lexicon::Handle;
use atcomms::{Agent, SecretString};
use atcomms_devnet::Devnet;
use serde_json::{Value, json};

/// The network of an example.
pub(crate) struct Network {
    plc: String,
    pds: String,
    /// Kept because the network ends with it.
    devnet: Option<Devnet>,
}

impl Network {
    /// A devnet, or the PDS that the environment names.
    pub(crate) async fn start() -> Result<Self> {
        match (std::env::var("ATCOMMS_PDS"), std::env::var("ATCOMMS_PLC")) {
            (Ok(pds), Ok(plc)) => Ok(Network {
                plc,
                pds,
                devnet: None,
            }),
            (Err(_), Err(_)) => {
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

    /// An agent with a new account of this name.
    pub(crate) async fn agent(&self, name: &str) -> Result<Agent> {
        let (handle, password) = match &self.devnet {
            Some(devnet) => {
                let account = devnet.create_account(name).await?;
                (account.handle, account.password)
            }
            None => self.create_account(name).await?,
        };
        let builder = Agent::builder()
            .plc(self.plc.parse()?)
            .pds(self.pds.parse()?);
        Ok(builder.login(handle, SecretString::from(password)).await?)
    }

    /// A throw-away account on a PDS that needs no invitation.
    async fn create_account(&self, name: &str) -> Result<(Handle, String)> {
        let client = reqwest::Client::new();
        let server: Value = client
            .get(format!(
                "{}/xrpc/com.atproto.server.describeServer",
                self.pds
            ))
            .send()
            .await?
            .json()
            .await?;
        let domain = server["availableUserDomains"][0]
            .as_str()
            .context("the PDS names no domain for new handles")?;
        let unique = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)?
            .as_millis()
            % 100_000_000;
        let handle = format!("{name}{unique}{domain}");
        let password = format!("throw-away-{unique}");
        let account = json!({"handle": handle, "email": format!("{name}{unique}@example.com"), "password": password});
        let answer = client
            .post(format!(
                "{}/xrpc/com.atproto.server.createAccount",
                self.pds
            ))
            .json(&account)
            .send()
            .await?;
        if !answer.status().is_success() {
            bail!(
                "{} did not create the account {handle}: {}",
                self.pds,
                answer.text().await?
            );
        }
        Ok((handle.parse()?, password))
    }
}
