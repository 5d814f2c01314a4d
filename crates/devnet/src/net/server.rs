//! One HTTP server on a loopback port.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::hang_up::{HungUp, is_hang_up};
use super::{Peer, Tasks};
use crate::StartError;

/// A bound port that nobody serves yet: the URL is known before what is served under it is built.
pub(crate) struct Listener {
    socket: TcpListener,
    port: u16,
}

impl Listener {
    /// Binds a port of 127.0.0.1; 0 takes a free one.
    pub(crate) async fn bind(port: u16) -> Result<Self, StartError> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let socket = TcpListener::bind(address)
            .await
            .map_err(|source| match source.kind() {
                io::ErrorKind::AddrInUse => StartError::PortInUse { port },
                _ => StartError::Bind { port, source },
            })?;
        let port = socket
            .local_addr()
            .map_err(|source| StartError::Bind { port, source })?
            .port();
        Ok(Self { socket, port })
    }

    /// The bound port.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// `http://localhost:PORT`: by name, since the reference PDS takes no address for its PLC.
    pub(crate) fn url(&self) -> String {
        format!("http://localhost:{}", self.port)
    }
}

/// A running server. Dropping it closes the port and every connection.
pub(crate) struct Server {
    tasks: Tasks,
    stop: watch::Sender<bool>,
}

impl Server {
    /// Serves `router` on the listener's port. `tasks` and `stop` are also what its streams live by.
    pub(crate) fn spawn(
        listener: Listener,
        router: Router,
        tasks: Tasks,
        stop: watch::Sender<bool>,
    ) -> Self {
        let accept = accept(listener.socket, router, tasks.clone(), stop.subscribe());
        tasks.spawn(accept);
        Self { tasks, stop }
    }

    /// Takes no new connection, lets every request finish and every stream send what is logged, and cuts
    /// what has not ended by then.
    pub(crate) async fn shutdown(&self) {
        self.stop.send_replace(true);
        self.tasks.drain(DRAIN).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.tasks.abort();
    }
}

async fn accept(
    socket: TcpListener,
    router: Router,
    tasks: Tasks,
    mut stop: watch::Receiver<bool>,
) {
    let connections = tasks;
    loop {
        let accepted = tokio::select! {
            accepted = socket.accept() => accepted,
            () = stopped(&mut stop) => return,
        };
        match accepted {
            Ok((stream, peer)) => {
                connections.spawn(serve(stream, Peer(peer.ip()), router.clone(), stop.clone()));
            }
            Err(error) => {
                // Out of file descriptors, most likely: without a pause this loop would spin on it.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn serve(stream: TcpStream, peer: Peer, router: Router, mut stop: watch::Receiver<bool>) {
    // An answer is one small segment: waiting for a fuller one only adds latency.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY could not be set");
    }
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |request| answer(router.clone(), peer, request));
    let connection = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = stopped(&mut stop) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "a connection ended early");
    }
}

/// The router's answer, or an error, over which hyper ends the connection without writing anything.
async fn answer(
    router: TowerToHyperService<Router>,
    peer: Peer,
    mut request: Request<Incoming>,
) -> Result<Response, HungUp> {
    request.extensions_mut().insert(peer);
    match router.call(request).await {
        Ok(response) if is_hang_up(&response) => Err(HungUp),
        Ok(response) => Ok(response),
        Err(never) => match never {},
    }
}

/// Waits until the server is to stop.
pub(crate) async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error means that the server is gone altogether, which is a stop too.
    drop(stop.wait_for(|stop| *stop).await);
}

/// How long `shutdown` waits for requests and streams to end: a loopback peer that reads needs far less,
/// one that does not would hold it for ever.
const DRAIN: Duration = Duration::from_secs(5);

/// Pause after a failed accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);
