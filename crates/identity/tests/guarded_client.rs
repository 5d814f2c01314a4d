//! The guarded client, seen from outside: where it goes, and how much it reads.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use atcomms_identity::{BodyError, GuardedClient, Refused, RequestError, read_body};
use reqwest::Response;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

/// Bytes that the tests let a body have.
const LIMIT: usize = 4096;

/// Bytes after which the endless body ends after all, far beyond what sockets buffer.
const ENDLESS: usize = 256 * 1024 * 1024;

async fn send(client: &GuardedClient, url: &str) -> Result<Response, RequestError> {
    let request = client.get(url.parse().unwrap())?;
    Ok(request.send().await?)
}

async fn redirecting_to(target: &str) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(method("GET"))
        .and(path("/from"))
        .respond_with(ResponseTemplate::new(302).insert_header("location", target))
        .expect(1)
        .mount(&server)
        .await;
    server
}

#[tokio::test]
async fn a_redirect_into_private_space_is_refused() {
    let client = GuardedClient::new(true);
    for target in [
        "https://10.0.0.1/secret",
        "https://169.254.169.254/latest/meta-data",
        "https://[fd00::1]/",
        "https://[::ffff:192.168.0.1]/",
        "https://0.0.0.0/",
    ] {
        let server = redirecting_to(target).await;
        let refused = send(&client, &format!("{}/from", server.uri()))
            .await
            .unwrap_err();
        assert!(
            matches!(refused, RequestError::Refused(Refused::NotPublic { .. })),
            "{target}: {refused:?}"
        );
    }
}

#[tokio::test]
async fn a_redirect_out_of_encryption_is_refused() {
    let server = redirecting_to("http://example.com/").await;
    let url = format!("{}/from", server.uri());
    let refused = send(&GuardedClient::new(true), &url).await.unwrap_err();
    assert!(
        matches!(refused, RequestError::Refused(Refused::Scheme { .. })),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_redirect_to_an_allowed_place_is_followed() {
    let server = redirecting_to("/to").await;
    Mock::given(path("/to"))
        .respond_with(ResponseTemplate::new(200))
        .mount(&server)
        .await;
    let url = format!("{}/from", server.uri());
    assert_eq!(
        send(&GuardedClient::new(true), &url)
            .await
            .unwrap()
            .status(),
        200
    );
}

#[tokio::test]
async fn a_redirect_loop_ends() {
    let server = MockServer::start().await;
    Mock::given(path("/loop"))
        .respond_with(ResponseTemplate::new(302).insert_header("location", "/loop"))
        .expect(4) // the request and three redirects
        .mount(&server)
        .await;
    let ended = send(&GuardedClient::new(true), &format!("{}/loop", server.uri())).await;
    assert!(matches!(ended, Err(RequestError::Http(_))), "{ended:?}");
    assert!(ended.unwrap_err().to_string().contains("redirects"));
}

#[tokio::test]
async fn this_machine_is_refused_by_name_and_by_literal_unless_allowed() {
    let server = MockServer::start().await;
    Mock::given(method("GET"))
        .respond_with(ResponseTemplate::new(200))
        .mount(&server)
        .await;
    let port = server.address().port();
    let public = GuardedClient::new(false);
    for host in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]"] {
        for scheme in ["http", "https"] {
            let url = format!("{scheme}://{host}:{port}/");
            let refused = send(&public, &url).await.unwrap_err();
            assert!(
                matches!(refused, RequestError::Refused(Refused::Loopback { .. })),
                "{url}: {refused:?}"
            );
        }
    }
    assert_eq!(
        server.received_requests().await.unwrap().len(),
        0,
        "something reached the server"
    );
    assert!(send(&GuardedClient::new(true), &server.uri()).await.is_ok());
}

#[tokio::test]
async fn a_request_made_elsewhere_is_checked_too() {
    let request = reqwest::Request::new(reqwest::Method::GET, "https://10.0.0.1/".parse().unwrap());
    let refused = GuardedClient::new(true).execute(request).await.unwrap_err();
    assert!(
        matches!(refused, RequestError::Refused(Refused::NotPublic { .. })),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_body_within_the_limit_is_read_and_a_larger_one_is_not() {
    let server = MockServer::start().await;
    for (at, size) in [("/fits", LIMIT), ("/large", LIMIT + 1)] {
        Mock::given(path(at))
            .respond_with(ResponseTemplate::new(200).set_body_bytes(vec![b'x'; size]))
            .mount(&server)
            .await;
    }
    let client = GuardedClient::new(true);
    let fits = send(&client, &format!("{}/fits", server.uri()))
        .await
        .unwrap();
    assert_eq!(read_body(fits, LIMIT).await.unwrap().len(), LIMIT);
    let large = send(&client, &format!("{}/large", server.uri()))
        .await
        .unwrap();
    assert!(matches!(
        read_body(large, LIMIT).await,
        Err(BodyError::TooLarge { limit: LIMIT })
    ));
}

#[tokio::test]
async fn an_endless_body_is_cut_off() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let sent = Arc::new(AtomicUsize::new(0));
    let counter = sent.clone();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = [0; 1024];
        let _ = stream.read(&mut request).await.unwrap();
        let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        stream.write_all(head).await.unwrap();
        // Goes on until the client hangs up, or for so long that it plainly never will.
        while counter.load(Ordering::SeqCst) < ENDLESS
            && stream.write_all(b"400\r\n").await.is_ok()
            && stream.write_all(&[b'x'; 0x400]).await.is_ok()
            && stream.write_all(b"\r\n").await.is_ok()
        {
            counter.fetch_add(0x400, Ordering::SeqCst);
        }
    });
    let response = send(
        &GuardedClient::new(true),
        &format!("http://127.0.0.1:{port}/"),
    )
    .await
    .unwrap();
    assert!(matches!(
        read_body(response, LIMIT).await,
        Err(BodyError::TooLarge { limit: LIMIT })
    ));
    server.await.unwrap();
    assert!(
        sent.load(Ordering::SeqCst) >= LIMIT,
        "the server never sent more than the limit"
    );
}
