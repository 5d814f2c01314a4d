//! The usual packages, used in the usual way: every commit into its type, every block out of its CAR.
//! They hash nothing, and check no signature.

use atrium_api::com::atproto::sync::subscribe_repos::Commit;
use iroh_car::CarReader;
use serde::Deserialize;
use serde_ipld_dagcbor::de::Deserializer;

#[derive(Deserialize)]
struct Header {
    #[serde(default)]
    t: String,
}

/// Blocks of a frame.
pub(crate) async fn blocks(bytes: &[u8]) -> usize {
    let mut values = Deserializer::from_slice(bytes);
    let header = Header::deserialize(&mut values).expect("a header");
    if header.t != "#commit" {
        return 0;
    }
    let commit = Commit::deserialize(&mut values).expect("a commit");
    let mut car = CarReader::new(&commit.blocks[..]).await.expect("a CAR");
    let mut count = 0;
    while car.next_block().await.expect("a block").is_some() {
        count += 1;
    }
    count
}
