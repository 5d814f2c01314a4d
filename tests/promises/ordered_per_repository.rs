//! P4: a repository's deliveries come in its commit order.

use atcomms::repo::Curve;

use crate::author::Author;
use crate::stage::Stage;

#[tokio::test]
async fn messages_come_in_the_order_of_their_commits_whoever_is_looked_up_when() {
    const AUTHORS: usize = 20;
    const MESSAGES: usize = 30;
    let mut authors: Vec<Author> = (0..AUTHORS)
        .map(|n| {
            Author::new(
                &format!("n{n}"),
                if n % 2 == 0 { Curve::K256 } else { Curve::P256 },
            )
        })
        .collect();
    let mut frames = Vec::new();
    for message in 0..MESSAGES {
        for author in &mut authors {
            let seq = i64::try_from(frames.len()).expect("a few") + 1;
            frames.push(author.says(seq, &format!("m{message:03}")));
        }
    }
    let all: Vec<&Author> = authors.iter().collect();
    let mut stage = Stage::new(&all, frames).await;
    let mut seen = vec![Vec::new(); AUTHORS];
    for _ in 0..AUTHORS * MESSAGES {
        let delivery = stage.next().await;
        let author = authors
            .iter()
            .position(|author| author.did == delivery.author);
        seen[author.expect("one of the authors")].push(delivery.rkey.to_string());
    }
    let expected: Vec<String> = (0..MESSAGES)
        .map(|message| format!("m{message:03}"))
        .collect();
    for (author, keys) in seen.iter().enumerate() {
        assert_eq!(keys, &expected, "author {author}");
    }
}

#[tokio::test]
async fn what_comes_twice_is_delivered_once() {
    let mut alice = Author::new("alice", Curve::K256);
    let frames: Vec<Vec<u8>> = (0..5)
        .map(|n| alice.says(n + 1, &format!("m{n}")))
        .collect();
    let mut twice = frames.clone();
    twice.extend(frames);
    let mut stage = Stage::new(&[&alice], twice).await;
    assert_eq!(stage.next_keys(5).await, ["m0", "m1", "m2", "m3", "m4"]);
    stage.push(alice.says(100, "new"));
    assert_eq!(
        stage.next_keys(1).await,
        ["new"],
        "the second round drops out"
    );
}
