//! A DNS server on loopback with a handful of TXT records, for tests.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hickory_resolver::proto::op::{Message, MessageType, ResponseCode};
use hickory_resolver::proto::rr::rdata::TXT;
use hickory_resolver::proto::rr::{RData, Record};
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

/// Answers until it is dropped; names that it does not have are NXDOMAIN.
pub(crate) struct NameServer {
    address: SocketAddr,
    queries: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl NameServer {
    pub(crate) async fn with(records: &[(&str, &[&str])]) -> Self {
        let records: HashMap<String, Vec<String>> = records
            .iter()
            .map(|(name, texts)| {
                (
                    (*name).to_owned(),
                    texts.iter().map(|t| (*t).to_owned()).collect(),
                )
            })
            .collect();
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let queries = Arc::new(AtomicUsize::new(0));
        let counter = queries.clone();
        let task = tokio::spawn(async move {
            let mut packet = [0; 1500];
            while let Ok((len, from)) = socket.recv_from(&mut packet).await {
                counter.fetch_add(1, Ordering::SeqCst);
                let answer = answer(&records, &packet[..len]);
                socket.send_to(&answer, from).await.unwrap();
            }
        });
        Self {
            address,
            queries,
            task,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn queries(&self) -> usize {
        self.queries.load(Ordering::SeqCst)
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn answer(records: &HashMap<String, Vec<String>>, packet: &[u8]) -> Vec<u8> {
    let mut message = Message::from_vec(packet).unwrap();
    message.metadata.message_type = MessageType::Response;
    message.metadata.recursion_available = true;
    let name = message.queries[0].name().clone();
    match records.get(&name.to_string().to_ascii_lowercase()) {
        None => message.metadata.response_code = ResponseCode::NXDomain,
        Some(texts) => {
            message.answers = texts
                .iter()
                .map(|text| {
                    let data = RData::TXT(TXT::new(vec![text.clone()]));
                    Record::from_rdata(name.clone(), 60, data)
                })
                .collect();
        }
    }
    message.to_vec().unwrap()
}
