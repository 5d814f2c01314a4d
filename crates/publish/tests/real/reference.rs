//! On the PDS that the network runs.

use atcomms_publish::{LoginError, Session, XrpcError};
use atcomms_reference_pds::{Options, ReferencePds};

use crate::network::{Network, message};
use crate::{attachments, records, sessions};

macro_rules! scenarios {
    ($network:expr, $($file:ident :: $scenario:ident),+ $(,)?) => {$(
        println!("{}", stringify!($scenario));
        $file::$scenario($network).await;
    )+};
}

#[tokio::test]
#[cfg_attr(
    not(has_reference_pds),
    ignore = "set ATCOMMS_REFERENCE_PDS to the folder that tests/reference-pds/setup.sh installed to"
)]
async fn everything_holds_on_the_reference_pds() {
    let pds = ReferencePds::start(Options::default()).await.unwrap();
    let network = Network::Reference(Box::new(pds));
    scenarios![
        &network,
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
}

#[tokio::test]
#[cfg_attr(
    not(has_reference_pds),
    ignore = "set ATCOMMS_REFERENCE_PDS to the folder that tests/reference-pds/setup.sh installed to"
)]
async fn its_rate_limits_are_read() {
    let options = Options {
        rate_limits: true,
        ..Options::default()
    };
    let pds = ReferencePds::start(options).await.unwrap();
    let network = Network::Reference(Box::new(pds));
    let publisher = network.publisher().await;
    publisher.publish(message(&publisher, "one")).await.unwrap();
    let before = publisher.session().rate_limit().unwrap();
    publisher.publish(message(&publisher, "two")).await.unwrap();
    let after = publisher.session().rate_limit().unwrap();
    // Which bucket it shows depends on which is nearest to its end; here that of the address.
    assert_eq!(before.policy.as_deref(), Some("3000;w=300"), "{before:?}");
    assert!(after.remaining < before.remaining, "{before:?} {after:?}");

    let session = publisher.session();
    let refused = loop {
        let login = Session::login(session.pds().clone(), "nobody.test", "wrong".into()).await;
        match login.unwrap_err() {
            LoginError::WrongPassword { .. } => {}
            other => break other,
        }
    };
    let LoginError::Xrpc(XrpcError::RateLimited { limit, .. }) = &refused else {
        panic!("{refused:?}");
    };
    assert!(limit.as_ref().unwrap().retry_after.is_some(), "{limit:?}");
    assert!(refused.to_string().contains("try again in"), "{refused}");
}
