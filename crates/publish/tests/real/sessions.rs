//! Logging in, and going on later.

use std::sync::Arc;

use atcomms_publish::{
    ErrorKind, ExposeSecret, LoginError, MemoryStore, Publisher, Session, SessionStore,
};

use crate::network::{Network, message};

pub(crate) async fn a_wrong_password_or_account_says_so(network: &Network) {
    let account = network.account().await;
    let wrong = "not the password".to_owned();
    for identifier in [account.handle.as_str(), account.did.as_str(), "nobody.test"] {
        let login = Session::login(account.pds.clone(), identifier, wrong.clone().into()).await;
        let refused = login.unwrap_err();
        assert!(
            matches!(refused, LoginError::WrongPassword { .. }),
            "{identifier}: {refused:?}"
        );
        assert_eq!(refused.kind(), ErrorKind::Refused);
        assert!(!refused.to_string().contains(&wrong));
    }
    let by_did = Session::login(account.pds, account.did.as_str(), account.password.into()).await;
    assert_eq!(by_did.unwrap().handle().as_str(), account.handle);
}

pub(crate) async fn a_saved_session_goes_on(network: &Network) {
    let account = network.account().await;
    let saved = account.login().await.saved();
    let resumed = Publisher::temporary(Session::resume(saved.clone()).unwrap()).unwrap();
    resumed
        .publish(message(&resumed, "from the saved session"))
        .await
        .unwrap();

    // An access token that the PDS does not accept: the refresh token is good.
    let mut spoilt = saved.clone();
    spoilt.access = "not.a.token".into();
    let store = Arc::new(MemoryStore::default());
    let session = Session::builder()
        .store(store.clone())
        .resume(spoilt)
        .unwrap();
    let renewed = Publisher::temporary(session.clone()).unwrap();
    renewed
        .publish(message(&renewed, "with new tokens"))
        .await
        .unwrap();
    let kept = store.load().unwrap().unwrap();
    assert_ne!(
        kept.access.expose_secret(),
        "not.a.token",
        "the new tokens were saved"
    );
    assert_eq!(
        kept.access.expose_secret(),
        session.saved().access.expose_secret()
    );

    let mut dead = saved;
    dead.access = "not.a.token".into();
    dead.refresh = "not.a.token".into();
    let dead = Publisher::temporary(Session::resume(dead).unwrap()).unwrap();
    let ended = dead
        .publish(message(&dead, "without tokens"))
        .await
        .unwrap_err();
    assert!(ended.to_string().contains("log in again"), "{ended}");
    assert_eq!(ended.kind(), ErrorKind::Refused);
}
