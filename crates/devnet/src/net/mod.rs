//! What every server here is made of: a loopback port, an accept loop that owns its connections, and the
//! WebSocket on an upgraded connection.

mod hang_up;
mod peer;
mod server;
mod tasks;
mod websocket;

pub(crate) use hang_up::hang_up;
pub(crate) use peer::Peer;
pub(crate) use server::{Listener, Server, stopped};
pub(crate) use tasks::Tasks;
pub(crate) use websocket::{WebSocket, upgrade};
