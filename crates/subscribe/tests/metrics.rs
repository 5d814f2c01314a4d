//! What a collector of metrics is told.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use atcomms_devnet::Devnet;
use atcomms_identity::Resolver;
use atcomms_lexicon::{Did, Message};
use atcomms_publish::{Publisher, Session};
use atcomms_subscribe::{From, Source, Subscriber};
use futures::StreamExt;
use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, Key, KeyName, Metadata, Recorder, SharedString,
    Unit,
};
use tokio::time::timeout;

/// The newest value of each metric.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<BTreeMap<String, f64>>>);

struct One(Told, String);

impl One {
    fn set(&self, value: f64) {
        let mut told = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        told.insert(self.1.clone(), value);
    }
}

impl CounterFn for One {
    fn increment(&self, _: u64) {
        panic!("counts are told as they are");
    }

    fn absolute(&self, value: u64) {
        self.set(value as f64);
    }
}

impl GaugeFn for One {
    fn increment(&self, _: f64) {
        panic!("levels are told as they are");
    }

    fn decrement(&self, _: f64) {
        panic!("levels are told as they are");
    }

    fn set(&self, value: f64) {
        One::set(self, value);
    }
}

impl Recorder for Told {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(Arc::new(One(self.clone(), name(key))))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(Arc::new(One(self.clone(), name(key))))
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

fn name(key: &Key) -> String {
    let mut labels = key.labels().filter(|label| label.key() == "reason");
    match labels.next() {
        Some(reason) => format!("{}/{}", key.name(), reason.value()),
        None => key.name().to_owned(),
    }
}

#[tokio::test]
async fn everything_that_is_counted_is_told() {
    let told = Told::default();
    metrics::set_global_recorder(told.clone()).unwrap();
    let net = Devnet::builder().account("alice").start().await.unwrap();
    let alice = net.accounts().remove(0);
    let pds = alice.pds.parse().unwrap();
    let session = Session::login(pds, alice.handle.as_str(), alice.password.clone().into());
    let publisher = Publisher::temporary(session.await.unwrap()).unwrap();
    let plc = net.plc_url().parse().unwrap();
    let resolver = Resolver::builder().plc(plc).allow_loopback(true).build();
    let mut subscription = Subscriber::new(resolver)
        .source(Source::firehose(net.pds()[0].url()).unwrap())
        .from(From::Start)
        .peers([alice.did.clone()])
        .start()
        .unwrap();
    let bob: Did = "did:plc:44ybard66vv44zksje25o7dz".parse().unwrap();
    let message = Message::new(alice.did.clone(), bob, "hello");
    publisher.publish(message).await.unwrap();
    subscription.next().await.unwrap().unwrap();
    subscription.shutdown().await;

    let all = timeout(Duration::from_secs(30), async {
        loop {
            let all = told.0.lock().unwrap().clone();
            if all.contains_key("atcomms_subscribe_lag_seconds") {
                return all;
            }
            tokio::task::yield_now().await;
        }
    });
    let all = all.await.unwrap();
    let of = |name: &str| all[&format!("atcomms_subscribe_{name}")];
    assert_eq!(of("delivered_total"), 1.0);
    assert!(of("frames_total") >= of("in_scope_total") && of("in_scope_total") >= 1.0);
    assert!(of("bytes_total") > 200.0);
    assert!(of("lag_seconds") < 30.0);
    for empty in ["held_commits", "held_bytes", "duplicates_total"] {
        assert_eq!(of(empty), 0.0, "{empty}");
    }
    assert!(all.contains_key("atcomms_subscribe_to_fetch"));
    assert!(all.contains_key("atcomms_subscribe_resyncs_total"));
}
