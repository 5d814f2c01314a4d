//! A PDS that came back on another port: its accounts' documents have to say so.

use super::State;
use super::create::PDS_SERVICE;
use crate::event::Event;
use crate::xrpc::XrpcError;

impl State {
    /// Points every account's document at where this PDS is now.
    pub(super) fn move_here(&self) -> Result<(), XrpcError> {
        for profile in self.profiles() {
            let did = &profile.did;
            let here = self.plc.data(did.as_str()).is_some_and(|data| {
                data.services
                    .get(PDS_SERVICE)
                    .is_some_and(|service| service.endpoint == self.url)
            });
            if here {
                continue;
            }
            self.update_plc(did, |operation| {
                if let Some(service) = operation.services.get_mut(PDS_SERVICE) {
                    service.endpoint.clone_from(&self.url);
                }
            })?;
            self.emit(&[Event::Identity {
                did: did.as_str(),
                handle: profile.handle.as_str(),
            }])?;
        }
        Ok(())
    }
}
