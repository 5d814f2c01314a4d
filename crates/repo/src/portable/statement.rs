//! What a proof says that it proves.

use atcomms_lexicon::{AtUri, Nsid, RecordKey, Value};

use super::document::{KeyDocument, map, read_text, text};
use super::error::StatementError;
use super::plc::PlcLog;

/// The version of the form that is written and read.
const VERSION: i64 = 1;

/// The second root of a proof: a record, and the document of its author.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Statement {
    pub(super) collection: Nsid,
    pub(super) rkey: RecordKey,
    pub(super) document: KeyDocument,
}

impl Statement {
    pub(super) fn uri(&self) -> AtUri {
        AtUri::record(&self.document.did, &self.collection, &self.rkey)
    }

    pub(super) fn path(&self) -> String {
        format!("{}/{}", self.collection, self.rkey)
    }

    pub(super) fn to_cbor(&self) -> Vec<u8> {
        let mut fields = vec![
            ("proof", Value::Int(VERSION)),
            ("uri", text(self.uri().as_str())),
            ("resolvedAt", text(self.document.resolved_at.as_str())),
            ("document", self.document.to_value()),
        ];
        if let Some(log) = &self.document.log {
            fields.push(("log", Value::List(log.operations().to_vec())));
        }
        map(fields).to_cbor()
    }

    pub(super) fn read(bytes: &[u8]) -> Result<Self, StatementError> {
        let bad = StatementError::Field;
        let statement = Value::from_cbor(bytes)?;
        match statement.get("proof").and_then(Value::as_int) {
            Some(VERSION) => {}
            Some(version) => return Err(StatementError::Version(version)),
            None => return Err(bad("proof")),
        }
        let uri = read_text(&statement, "uri").and_then(|uri| uri.parse().ok());
        let uri: AtUri = uri.ok_or(bad("uri"))?;
        let resolved_at = read_text(&statement, "resolvedAt").and_then(|at| at.parse().ok());
        let resolved_at = resolved_at.ok_or(bad("resolvedAt"))?;
        let document = statement.get("document").ok_or(bad("document"))?;
        let mut document = KeyDocument::read(document, resolved_at)?;
        if let Some(log) = statement.get("log") {
            let operations = log.as_list().ok_or(bad("log"))?.to_vec();
            document.log = Some(PlcLog::verify(&document.did, operations)?);
        }
        if uri.did().as_ref() != Some(&document.did) {
            return Err(StatementError::OtherDid);
        }
        Ok(Self {
            collection: uri.collection().ok_or(bad("uri"))?,
            rkey: uri.rkey().ok_or(bad("uri"))?,
            document,
        })
    }
}
