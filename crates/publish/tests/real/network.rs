//! A network to try things on, whichever it is.

use std::sync::atomic::{AtomicUsize, Ordering};

use atcomms_devnet::Devnet;
use atcomms_lexicon::{Did, Message};
use atcomms_publish::{Publisher, Session};
use atcomms_reference_pds::ReferencePds;
use url::Url;

pub(crate) enum Network {
    Devnet(Devnet),
    Reference(Box<ReferencePds>),
}

/// An account that can log in.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    pub(crate) did: Did,
    pub(crate) handle: String,
    pub(crate) password: String,
    pub(crate) pds: Url,
}

impl Network {
    pub(crate) async fn account(&self) -> Account {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("agent{}", NEXT.fetch_add(1, Ordering::Relaxed));
        match self {
            Self::Devnet(devnet) => {
                let account = devnet.create_account(&name).await.unwrap();
                Account {
                    did: account.did,
                    handle: account.handle.to_string(),
                    password: account.password,
                    pds: account.pds.parse().unwrap(),
                }
            }
            Self::Reference(pds) => {
                let account = pds.create_account(&name).await.unwrap();
                Account {
                    did: account.did.parse().unwrap(),
                    handle: account.handle,
                    password: account.password,
                    pds: pds.url().clone(),
                }
            }
        }
    }

    /// A publisher with an account of its own.
    pub(crate) async fn publisher(&self) -> Publisher {
        Publisher::temporary(self.account().await.login().await).unwrap()
    }
}

impl Account {
    pub(crate) async fn login(&self) -> Session {
        let password = self.password.clone().into();
        Session::login(self.pds.clone(), &self.handle, password)
            .await
            .unwrap()
    }
}

pub(crate) fn message(publisher: &Publisher, text: &str) -> Message {
    let bob: Did = "did:plc:44ybard66vv44zksje25o7dz".parse().unwrap();
    Message::new(publisher.session().did().clone(), bob, text)
}
