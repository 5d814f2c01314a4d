//! Writing frames, byte for byte as the reference PDS does: canonical DAG-CBOR, with the fields
//! that say nothing any more.

use super::{
    AccountFrame, CommitFrame, ErrorFrame, Frame, IdentityFrame, InfoFrame, RepoOp, SyncFrame,
};
use crate::cbor::{
    ARRAY, MAP, write_bool, write_bytes, write_int, write_len, write_link, write_null, write_text,
};

impl Frame<'_> {
    /// The frame's bytes. What it says is not checked, so that tests can say anything.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Self::Commit(frame) => {
                header(&mut out, "#commit");
                frame.body(&mut out);
            }
            Self::Sync(frame) => {
                header(&mut out, "#sync");
                frame.body(&mut out);
            }
            Self::Identity(frame) => {
                header(&mut out, "#identity");
                frame.body(&mut out);
            }
            Self::Account(frame) => {
                header(&mut out, "#account");
                frame.body(&mut out);
            }
            Self::Info(frame) => {
                header(&mut out, "#info");
                frame.body(&mut out);
            }
            Self::Error(frame) => {
                write_len(&mut out, MAP, 1);
                write_text(&mut out, "op");
                write_int(&mut out, -1);
                frame.body(&mut out);
            }
            Self::Unknown(frame) => {
                header(&mut out, frame.kind);
                out.extend_from_slice(frame.body);
            }
        }
        out
    }
}

fn header(out: &mut Vec<u8>, kind: &str) {
    write_len(out, MAP, 2);
    write_text(out, "t");
    write_text(out, kind);
    write_text(out, "op");
    write_int(out, 1);
}

fn text_field(out: &mut Vec<u8>, key: &str, value: &str) {
    write_text(out, key);
    write_text(out, value);
}

impl CommitFrame<'_> {
    fn body(&self, out: &mut Vec<u8>) {
        out.reserve(self.blocks.len() + 512 + 256 * self.ops.len());
        write_len(out, MAP, 11 + usize::from(self.prev_data.is_some()));
        write_text(out, "ops");
        write_len(out, ARRAY, self.ops.len());
        for op in &self.ops {
            op.write(out);
        }
        text_field(out, "rev", self.rev);
        write_text(out, "seq");
        write_int(out, self.seq);
        text_field(out, "repo", self.repo);
        text_field(out, "time", self.time);
        write_text(out, "blobs");
        write_len(out, ARRAY, 0);
        write_text(out, "since");
        match self.since {
            Some(rev) => write_text(out, rev),
            None => write_null(out),
        }
        write_text(out, "blocks");
        write_bytes(out, self.blocks);
        write_text(out, "commit");
        write_link(out, &self.commit);
        write_text(out, "rebase");
        write_bool(out, false);
        write_text(out, "tooBig");
        write_bool(out, false);
        if let Some(prev_data) = &self.prev_data {
            write_text(out, "prevData");
            write_link(out, prev_data);
        }
    }
}

impl RepoOp<'_> {
    fn write(&self, out: &mut Vec<u8>) {
        write_len(out, MAP, 3 + usize::from(self.prev.is_some()));
        write_text(out, "cid");
        match &self.cid {
            Some(cid) => write_link(out, cid),
            None => write_null(out),
        }
        text_field(out, "path", self.path);
        if let Some(prev) = &self.prev {
            write_text(out, "prev");
            write_link(out, prev);
        }
        text_field(out, "action", self.action.as_str());
    }
}

impl SyncFrame<'_> {
    fn body(&self, out: &mut Vec<u8>) {
        write_len(out, MAP, 5);
        text_field(out, "did", self.did);
        text_field(out, "rev", self.rev);
        write_text(out, "seq");
        write_int(out, self.seq);
        text_field(out, "time", self.time);
        write_text(out, "blocks");
        write_bytes(out, self.blocks);
    }
}

impl IdentityFrame<'_> {
    fn body(&self, out: &mut Vec<u8>) {
        write_len(out, MAP, 3 + usize::from(self.handle.is_some()));
        text_field(out, "did", self.did);
        write_text(out, "seq");
        write_int(out, self.seq);
        text_field(out, "time", self.time);
        if let Some(handle) = self.handle {
            text_field(out, "handle", handle);
        }
    }
}

impl AccountFrame<'_> {
    fn body(&self, out: &mut Vec<u8>) {
        write_len(out, MAP, 4 + usize::from(self.status.is_some()));
        text_field(out, "did", self.did);
        write_text(out, "seq");
        write_int(out, self.seq);
        text_field(out, "time", self.time);
        write_text(out, "active");
        write_bool(out, self.active);
        if let Some(status) = self.status {
            text_field(out, "status", status);
        }
    }
}

impl InfoFrame<'_> {
    fn body(&self, out: &mut Vec<u8>) {
        write_len(out, MAP, 1 + usize::from(self.message.is_some()));
        text_field(out, "name", self.name);
        if let Some(message) = self.message {
            text_field(out, "message", message);
        }
    }
}

impl ErrorFrame<'_> {
    fn body(&self, out: &mut Vec<u8>) {
        write_len(out, MAP, 1 + usize::from(self.message.is_some()));
        text_field(out, "error", self.error);
        if let Some(message) = self.message {
            text_field(out, "message", message);
        }
    }
}
