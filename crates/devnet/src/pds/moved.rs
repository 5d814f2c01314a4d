//! A PDS that came back on another port: its accounts' documents have to say so.

use super::State;
use crate::event::Event;
use crate::plc::PDS_SERVICE;
use crate::xrpc::XrpcError;

impl State {
    /// Points every account's document at where this PDS is now.
    pub(super) fn move_here(&self) -> Result<(), XrpcError> {
        for profile in self.profiles() {
            if profile.moved {
                continue;
            }
            let did = &profile.did;
            let endpoint = self.plc.service(did.as_str(), PDS_SERVICE);
            let here = endpoint.is_some_and(|endpoint| endpoint == self.url);
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
