//! The frames that a recording seldom holds: errors, notices, and accounts in every state.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use atcomms_repo::frame::{
    self, AccountFrame, ErrorFrame, Frame, FrameError, IdentityFrame, InfoFrame, Kind, SyncFrame,
    UnknownFrame,
};

const DID: &str = "did:plc:zmwaxnesqhtu6sdgylzfwfdz";
const TIME: &str = "2026-01-01T00:00:00.000Z";

#[test]
fn an_error_is_a_header_of_its_own() {
    // As the reference PDS sends it before it closes the connection.
    let bytes = b"\xa1\x62op\x20\xa2\x65error\x6cFutureCursor\x67message\x75Cursor in the future.";
    let frame = Frame::Error(ErrorFrame {
        error: "FutureCursor",
        message: Some("Cursor in the future."),
    });
    assert_eq!(frame::decode(bytes), Ok(frame.clone()));
    assert_eq!(frame.encode(), bytes);
    let peek = frame::peek(bytes).unwrap();
    assert_eq!(
        (peek.kind(), peek.seq(), peek.did()),
        (Kind::Error, None, None)
    );
}

#[test]
fn every_kind_survives_its_bytes() {
    let account = |active, status| {
        Frame::Account(AccountFrame {
            seq: 3,
            did: DID,
            active,
            status,
            time: TIME,
        })
    };
    let identity = |handle| {
        Frame::Identity(IdentityFrame {
            seq: i64::MAX,
            did: DID,
            handle,
            time: TIME,
        })
    };
    let frames = [
        account(true, None),
        account(false, Some("deactivated")),
        account(false, Some("something new")),
        identity(Some("alice.test")),
        identity(None),
        Frame::Sync(SyncFrame {
            seq: 0,
            did: DID,
            rev: "3n2xcy7j2kl2o",
            blocks: &[1, 2, 3],
            time: TIME,
        }),
        Frame::Info(InfoFrame {
            name: "OutdatedCursor",
            message: Some("Requested cursor exceeded limit."),
        }),
        Frame::Info(InfoFrame {
            name: "OutdatedCursor",
            message: None,
        }),
        Frame::Error(ErrorFrame {
            error: "ConsumerTooSlow",
            message: None,
        }),
        Frame::Unknown(UnknownFrame {
            kind: "#labels",
            seq: Some(12),
            body: b"\xa1\x63seq\x0c",
        }),
        Frame::Unknown(UnknownFrame {
            kind: "#labels",
            seq: None,
            body: b"\xa0",
        }),
    ];
    for frame in frames {
        let bytes = frame.encode();
        assert_eq!(frame::decode(&bytes), Ok(frame.clone()));
        let peek = frame::peek(&bytes).unwrap();
        assert_eq!(
            (peek.kind(), peek.seq()),
            (frame.kind(), frame.seq()),
            "{frame:?}"
        );
        for len in 0..bytes.len() {
            assert!(
                frame::decode(&bytes[..len]).is_err(),
                "{frame:?} cut to {len}"
            );
        }
    }
}

#[test]
fn a_null_is_a_field_that_is_not_there() {
    let bytes = [
        &b"\xa2\x61t\x69#identity\x62op\x01\xa4\x63did\x61d\x63seq\x01\x64time\x61t\x66handle"[..],
        b"\xf6",
    ]
    .concat();
    let frame = Frame::Identity(IdentityFrame {
        seq: 1,
        did: "d",
        handle: None,
        time: "t",
    });
    assert_eq!(frame::decode(&bytes), Ok(frame));
}

#[test]
fn what_every_frame_of_a_kind_has_must_be_there() {
    let header = |kind: &str| {
        let mut header = b"\xa2\x61t".to_vec();
        header.push(0x60 | u8::try_from(kind.len()).unwrap());
        header.extend(kind.as_bytes());
        header.extend(b"\x62op\x01");
        header
    };
    for (kind, body, missing) in [
        ("#commit", &b"\xa0"[..], "seq"),
        ("#commit", b"\xa3\x63ops\x80\x63seq\x01\x64repo\x61d", "rev"),
        ("#sync", b"\xa1\x63seq\x01", "did"),
        ("#identity", b"\xa2\x63did\x61d\x63seq\x01", "time"),
        (
            "#account",
            b"\xa3\x63did\x61d\x63seq\x01\x64time\x61t",
            "active",
        ),
        ("#info", b"\xa0", "name"),
    ] {
        let found = frame::decode(&[&header(kind)[..], body].concat()).map(drop);
        let Err(FrameError::Missing { field, .. }) = found else {
            panic!("{kind}: {found:?}")
        };
        assert_eq!(field, missing, "{kind}");
    }
    for (header, field) in [
        (&b"\xa1\x62op\x01"[..], "t"),
        (b"\xa1\x61t\x67#commit", "op"),
    ] {
        let bytes = [header, b"\xa0"].concat();
        for found in [
            frame::decode(&bytes).map(drop),
            frame::peek(&bytes).map(drop),
        ] {
            assert!(
                matches!(found, Err(FrameError::Missing { field: found, .. }) if found == field),
                "{found:?}"
            );
        }
    }
}

#[test]
fn a_frame_of_an_unknown_type_has_one_place_in_the_stream() {
    for (body, seq) in [
        (&b"\xa2\x63seq\x07\x63seq\x08"[..], Some(7)),
        (b"\xa2\x63seq\x07\x63seq\x60", Some(7)),
        (b"\xa2\x63seq\x60\x63seq\x07", Some(7)),
        (b"\xa1\x63seq\x60", None),
    ] {
        let bytes = [b"\xa2\x61t\x65#news\x62op\x01", body].concat();
        let decoded = frame::decode(&bytes).expect("unknown types are not looked into");
        assert_eq!(decoded.seq(), seq, "{body:x?}");
        assert_eq!(frame::peek(&bytes).unwrap().seq(), seq, "{body:x?}, peeked");
    }
}
