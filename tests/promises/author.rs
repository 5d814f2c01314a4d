//! Somebody with a key and a repository, who writes genuine commits, and lets them be forged.

use atcomms::lexicon::{Did, Message, RecordKey, Tid, derived_key_for_name, encode};
use atcomms::repo::repository::Applied;
use atcomms::repo::{Curve, Repository, SigningKey, Write};
use serde_json::{Value, json};

const TIME: &str = "2026-01-01T00:00:00.000Z";

/// An author, whose story begins with the repository's first commit.
#[derive(Clone)]
pub(crate) struct Author {
    pub(crate) did: Did,
    pub(crate) key: SigningKey,
    host: String,
    repository: Repository,
    /// The revs are those of the recent past, a second apart.
    micros: u64,
}

impl Author {
    pub(crate) fn new(name: &str, curve: Curve) -> Self {
        let did = did(name);
        let key = SigningKey::generate(curve);
        let micros = now_micros() - 3_600_000_000;
        let (repository, _) =
            Repository::create(did.clone(), key.clone(), Tid::from_parts(micros, 0));
        Author {
            did,
            key,
            host: "https://pds.example".to_owned(),
            repository,
            micros,
        }
    }

    /// The same on another PDS.
    pub(crate) fn on(mut self, host: &str) -> Self {
        self.host = format!("https://{host}");
        self
    }

    /// The document that a directory gives for this author.
    pub(crate) fn document(&self) -> Value {
        let key = self.key.public().to_did_key();
        json!({
            "id": self.did,
            "verificationMethod": [{
                "id": format!("{}#atproto", self.did),
                "type": "Multikey",
                "controller": self.did,
                "publicKeyMultibase": key.strip_prefix("did:key:"),
            }],
            "service": [{
                "id": "#atproto_pds",
                "type": "AtprotoPersonalDataServer",
                "serviceEndpoint": self.host,
            }],
        })
    }

    /// A message as its author writes it.
    pub(crate) fn message(&self, text: &str) -> Vec<u8> {
        encode(&Message::new(&self.did, did("reader"), text))
            .expect("a message within its limits")
            .cbor
    }

    /// The next commit: these records, created.
    pub(crate) fn create(&mut self, records: &[(&str, Vec<u8>)]) -> Applied {
        self.micros += 1_000_000;
        self.create_at(Tid::from_parts(self.micros, 0), records)
    }

    /// The next commit, with a rev of the caller's.
    pub(crate) fn create_at(&mut self, rev: Tid, records: &[(&str, Vec<u8>)]) -> Applied {
        let write = |(key, record): &(&str, Vec<u8>)| Write::Create {
            collection: "agent.comms.message".parse().expect("an NSID"),
            rkey: key.parse::<RecordKey>().expect("a record key"),
            record: record.clone().into(),
        };
        let writes: Vec<Write> = records.iter().map(write).collect();
        self.repository
            .apply(&writes, rev)
            .expect("writes that fit the repository")
    }

    /// The frame of a genuine message.
    pub(crate) fn says(&mut self, seq: i64, key: &str) -> Vec<u8> {
        let message = self.message(key);
        self.create(&[(key, message)]).frame(seq, TIME)
    }

    /// A commit as it would be written next, for forging: the author's own story does not go on.
    pub(crate) fn would_say(&self, key: &str) -> Applied {
        let mut twin = self.clone();
        let message = self.message("forged");
        twin.create(&[(key, message)])
    }
}

/// A did:plc for a name.
pub(crate) fn did(name: &str) -> Did {
    let hash = derived_key_for_name(name);
    format!("did:plc:{}", &hash.as_str()[..24])
        .parse()
        .expect("a DID")
}

/// The frame of a commit.
pub(crate) fn frame(seq: i64, commit: &Applied) -> Vec<u8> {
    commit.frame(seq, TIME)
}

pub(crate) fn now_micros() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    u64::try_from(since.expect("a clock after 1970").as_micros()).expect("a clock before 586524")
}
