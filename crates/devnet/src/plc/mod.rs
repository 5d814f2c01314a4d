//! A did:plc directory: signed operations, the documents that follow from them, and the HTTP of plc.directory.

mod directory;
mod document;
mod http;
mod operation;
mod served;

pub(crate) use directory::Directory;
pub(crate) use http::{document_response, not_registered, router};
pub(crate) use operation::{OPERATION, Operation, PDS_SERVICE, SIGNING_KEY, Service};
pub use served::Plc;
