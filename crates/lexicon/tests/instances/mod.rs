//! One full and one minimal instance of each record, made with the constructors that agents use.

#![allow(dead_code, reason = "each test binary uses some of it")]

use atcomms_lexicon::{
    AcceptPolicy, Ack, AckKind, AnyRecord, Artifact, AtUri, Award, BlobRef, Broadcast, Cancel,
    Card, Content, Datetime, Did, Failure, Handle, Handoff, Lease, Message, Metrics, Nsid, Payload,
    Proposal, Request, Response, Severity, Skill, State, Status, StrongRef, Tid, Trace, Uri, Value,
    cid_for_cbor,
};

pub(crate) fn alice() -> Did {
    "did:plc:l3rouwludahu3ui3bt66mfvj".parse().unwrap()
}

pub(crate) fn bob() -> Did {
    "did:web:bob.example.com".parse().unwrap()
}

pub(crate) fn tid() -> Tid {
    "3jzfcijpj2z2a".parse().unwrap()
}

pub(crate) fn time() -> Datetime {
    "2026-01-31T12:00:00.000Z".parse().unwrap()
}

pub(crate) fn uri() -> AtUri {
    AtUri::record(&alice(), &nsid("agent.comms.request"), &tid().into())
}

pub(crate) fn subject() -> StrongRef {
    StrongRef::new(uri(), cid_for_cbor(b"a request"))
}

pub(crate) fn nsid(text: &str) -> Nsid {
    text.parse().unwrap()
}

fn handle(text: &str) -> Handle {
    text.parse().unwrap()
}

fn blob() -> BlobRef {
    BlobRef::of(b"bytes", "text/plain")
}

fn artifact() -> Artifact {
    Artifact::new(blob())
        .name("notes.txt")
        .description("Notes.")
        .role("input")
}

fn trace() -> Trace {
    Trace::new("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").tracestate("vendor=1")
}

fn data() -> Value {
    Value::from([
        ("count", 3.into()),
        ("list", vec![1, 2].into()),
        ("link", cid_for_cbor(b"linked").into()),
        ("bytes", Value::Bytes(vec![1, 2, 3])),
    ])
}

fn payload() -> Payload {
    Payload::new(nsid("com.example.params"), data())
}

fn content() -> Content {
    Content::binary(blob())
        .text("A text beside the blob.")
        .data(data().into_map().unwrap())
}

fn skill() -> Skill {
    Skill::new("summarise")
        .description("Makes it short.")
        .input(nsid("com.example.text"))
        .output(nsid("com.example.summary"))
}

/// One instance of each record with every field.
pub(crate) fn full() -> Vec<AnyRecord> {
    vec![
        Message::new(alice(), bob(), content())
            .sender_handle(handle("alice.example.com"))
            .recipient_handle(handle("bob.example.com"))
            .thread(tid())
            .in_reply_to(uri())
            .subject(subject())
            .context([uri()])
            .attachments([artifact()])
            .priority(5)
            .expires_at(time())
            .trace(trace())
            .into(),
        Broadcast::new(alice(), content())
            .audience(["everyone", "#builders"])
            .topic("builds")
            .severity(Severity::Notice)
            .ttl_seconds(604_800)
            .expires_at(time())
            .context([uri()])
            .attachments([artifact()])
            .trace(trace())
            .into(),
        Request::new(alice(), "summarise")
            .assignee(bob())
            .params(payload())
            .context([uri()])
            .attachments([artifact()])
            .priority(0)
            .deadline(time())
            .expires_at(time())
            .trace(trace())
            .into(),
        Status::new(bob(), subject(), State::Working, 7)
            .progress(10_000)
            .message("Nearly there.")
            .partial(payload())
            .into(),
        Response::ok(bob(), subject(), payload())
            .error(
                Failure::new("The disk is full.")
                    .code("disk_full")
                    .retryable(true),
            )
            .artifacts([uri()])
            .attachments([artifact()])
            .metrics(Metrics::new().duration_ms(1500).token_usage(2000))
            .trace(trace())
            .into(),
        Cancel::new(alice(), subject())
            .reason("No longer needed.")
            .into(),
        Handoff::new(alice(), bob(), "Half of it is done.")
            .from_handle(handle("alice.example.com"))
            .to_handle(handle("bob.example.com"))
            .session(tid())
            .state(payload())
            .context([uri()])
            .artifacts([uri()])
            .attachments([artifact()])
            .expires_at(time())
            .trace(trace())
            .into(),
        Ack::new(bob(), subject(), AckKind::Processed).into(),
        Card::new()
            .name("Alice")
            .description("Answers.")
            .operator(bob())
            .skills([skill()])
            .accept_policy(AcceptPolicy::Anyone)
            .encryption_key(
                "did:key:zQ3shZc2QzApp2oymGvQbzP8eKheVshBHbU4ZYjeXqwSKEn6N"
                    .parse::<Did>()
                    .unwrap(),
            )
            .a2a_card("https://example.com/agent.json".parse::<Uri>().unwrap())
            .into(),
        Proposal::new(bob(), subject())
            .cost("12.50")
            .eta_seconds(600)
            .expires_at(time())
            .note("Today.")
            .into(),
        Award::new(alice(), subject(), bob(), 1)
            .lease_until(time())
            .into(),
        Lease::new("printer/3", bob(), 2, time()).into(),
    ]
}

/// One instance of each record with the required fields alone.
pub(crate) fn minimal() -> Vec<AnyRecord> {
    let mut status = Status::new(bob(), subject(), State::Accepted, 0);
    status.subject = None;
    let mut response = Response::rejected(bob(), subject(), "No.");
    (response.subject, response.error) = (None, None);
    let mut cancel = Cancel::new(alice(), subject());
    cancel.subject = None;
    vec![
        Message::new(alice(), bob(), "Hello.").into(),
        Broadcast::new(alice(), "Hello, all.").into(),
        Request::new(alice(), "summarise").into(),
        status.into(),
        response.into(),
        cancel.into(),
        Handoff::new(alice(), bob(), "").into(),
        Ack::new(bob(), subject(), "read aloud").into(),
        Card::new().into(),
        Proposal::new(bob(), subject()).into(),
        Award::new(alice(), subject(), bob(), 0).into(),
        Lease::new("", bob(), 0, time()).into(),
    ]
}
