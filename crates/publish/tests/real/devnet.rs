//! On the devnet.

use atcomms_devnet::Devnet;
use atcomms_publish::{Progress, Publisher, Session};

use crate::network::{Network, message};
use crate::{attachments, records, sessions};

macro_rules! on_the_devnet {
    ($($file:ident :: $scenario:ident),+ $(,)?) => {$(
        #[tokio::test]
        async fn $scenario() {
            let network = Network::Devnet(Devnet::start().await.unwrap());
            $file::$scenario(&network).await;
        }
    )+};
}

on_the_devnet![
    records::a_record_is_written_found_and_deleted,
    records::a_key_holds_one_record,
    records::ten_at_once_for_one_key_have_one_winner,
    records::many_at_once_are_all_there,
    records::a_card_is_replaced_in_its_place,
    records::a_record_of_ones_own_with_every_kind_of_data,
    records::a_record_over_the_servers_limit_says_so,
    records::a_lost_answer_does_not_double_the_record,
    attachments::attachments_go_up_and_come_down_the_same,
    attachments::the_same_bytes_attached_again_are_fine,
    attachments::an_attachment_over_the_servers_limit_says_so,
    attachments::a_lost_answer_to_an_upload_is_made_good,
    sessions::a_wrong_password_or_account_says_so,
    sessions::a_saved_session_goes_on,
];

#[tokio::test]
async fn expired_tokens_are_renewed_without_anyone_noticing() {
    let devnet = Devnet::builder().account("alice").start().await.unwrap();
    let alice = devnet.accounts().remove(0);
    let pds = alice.pds.parse().unwrap();
    let session = Session::login(pds, alice.handle.as_str(), alice.password.into())
        .await
        .unwrap();
    let publisher = Publisher::temporary(session).unwrap();
    let faults = devnet.pds()[0].faults();
    faults.expire_tokens(1);
    publisher.publish(message(&publisher, "hi")).await.unwrap();
    assert_eq!(faults.counts().tokens_refused, 1, "the fault has fired");
}

#[tokio::test]
async fn a_pds_that_was_away_is_used_again() {
    let folder = tempfile::tempdir().unwrap();
    let devnet = || {
        Devnet::builder()
            .data(folder.path())
            .account("alice")
            .start()
    };
    let first = devnet().await.unwrap();
    let alice = first.accounts().remove(0);
    let pds = alice.pds.parse().unwrap();
    let session = Session::login(pds, alice.handle.as_str(), alice.password.into())
        .await
        .unwrap();
    let publisher = Publisher::temporary(session).unwrap();
    let before = publisher
        .publish(message(&publisher, "before"))
        .await
        .unwrap();

    first.shutdown().await;
    let mut meanwhile = publisher
        .publish(message(&publisher, "meanwhile"))
        .enqueue()
        .await
        .unwrap();
    let away = loop {
        match meanwhile.changed().await.unwrap() {
            Progress::Pending(away) if away.attempts > 0 => break away,
            Progress::Pending(_) => {}
            over => panic!("nobody can have written it: {over:?}"),
        }
    };
    let reason = away.reason.unwrap();
    assert!(reason.contains("no connection"), "{reason}");
    assert!(away.retry_at.is_some() && !away.stuck);

    let _second = devnet().await.unwrap();
    let after = publisher
        .publish(message(&publisher, "after"))
        .await
        .unwrap();
    let meanwhile = meanwhile.receipt().await.unwrap();
    assert!(meanwhile.rev > before.rev);
    assert!(after.rev >= meanwhile.rev, "the order is kept");
}
