//! Several sources as one stream. Only those that have news are polled, and a frame costs no allocation:
//! a firehose brings a million of them while it is read back.

use std::collections::VecDeque;
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use futures::Stream;

use crate::engine::SourceIndex;
use crate::source::SourceEvent;

/// Events that one source may bring before it is another's turn: about what one read of a socket holds.
const IN_TURN: usize = 64;

type Events = Pin<Box<dyn Stream<Item = SourceEvent> + Send>>;

/// All sources of a subscription: what happens at any of them, with its index. It ends when all have ended.
#[derive(Default)]
pub(crate) struct Sources {
    sources: Vec<Source>,
    news: Arc<Mutex<News>>,
    /// Events that the first of `News::ready` has brought in its turn.
    in_turn: usize,
    /// Nothing is read for now.
    paused: bool,
}

struct Source {
    /// None once it has ended.
    events: Option<Events>,
    waker: Waker,
}

/// Which sources have news.
#[derive(Default)]
struct News {
    /// Those to poll, each once, in the order of their turns.
    ready: VecDeque<SourceIndex>,
    /// Who waits for news.
    waiting: Option<Waker>,
}

/// Says that a source has news.
struct Tell {
    index: SourceIndex,
    news: Arc<Mutex<News>>,
}

impl Wake for Tell {
    fn wake(self: Arc<Self>) {
        let waiting = {
            let mut news = lock(&self.news);
            if !news.ready.contains(&self.index) {
                news.ready.push_back(self.index);
            }
            news.waiting.take()
        };
        if let Some(waiting) = waiting {
            waiting.wake();
        }
    }
}

impl Sources {
    /// One more, whose index is the count of those before.
    pub(crate) fn add(&mut self, events: Events) {
        let index = self.sources.len();
        self.sources.push(Source {
            events: Some(events),
            waker: Waker::from(Arc::new(Tell {
                index,
                news: self.news.clone(),
            })),
        });
        let waiting = {
            let mut news = lock(&self.news);
            news.ready.push_back(index);
            news.waiting.take()
        };
        if let Some(waiting) = waiting {
            waiting.wake();
        }
    }

    /// Reads nothing more, or goes on. Whoever polls next is told; nobody is woken.
    pub(crate) fn pause(&mut self, paused: bool) {
        self.paused = paused;
    }

    /// The source whose turn it is; its news are heard, and what comes from here on is told anew.
    fn turn(&mut self, context: &Context<'_>) -> Option<SourceIndex> {
        let mut news = lock(&self.news);
        let next = news.ready.pop_front();
        if next.is_none() {
            news.waiting = Some(context.waker().clone());
        }
        next
    }

    /// Has a source that brought something polled again, in its turn.
    fn again(&mut self, index: SourceIndex) {
        let mut news = lock(&self.news);
        // It may have told of itself meanwhile.
        if news.ready.contains(&index) {
            return;
        }
        self.in_turn += 1;
        if self.in_turn < IN_TURN {
            news.ready.push_front(index);
        } else {
            self.in_turn = 0;
            news.ready.push_back(index);
        }
    }
}

impl Stream for Sources {
    type Item = (SourceIndex, SourceEvent);

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.paused {
            return Poll::Pending;
        }
        while let Some(index) = self.turn(context) {
            let Some(Source { events, waker }) = self.sources.get_mut(index) else {
                continue;
            };
            let Some(stream) = events else { continue };
            match stream.as_mut().poll_next(&mut Context::from_waker(waker)) {
                Poll::Ready(Some(event)) => {
                    self.again(index);
                    return Poll::Ready(Some((index, event)));
                }
                Poll::Ready(None) => drop(mem::take(events)),
                Poll::Pending => self.in_turn = 0,
            }
        }
        match self.sources.iter().all(|source| source.events.is_none()) {
            true => Poll::Ready(None),
            false => Poll::Pending,
        }
    }
}

fn lock(news: &Mutex<News>) -> MutexGuard<'_, News> {
    news.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use futures::{StreamExt, stream};
    use tokio::sync::mpsc;

    use super::*;

    fn frame() -> SourceEvent {
        SourceEvent::Frame(Bytes::new())
    }

    #[tokio::test]
    async fn a_source_that_always_has_something_does_not_starve_the_others() {
        let busy = stream::repeat_with(frame).boxed();
        let quiet = stream::once(async { frame() }).boxed();
        let mut sources = Sources::default();
        sources.add(busy);
        sources.add(quiet);
        let first = sources.take(2 * IN_TURN).map(|(index, _)| index);
        let first: Vec<_> = first.collect().await;
        assert!(first.contains(&1), "the quiet one had its turn");
    }

    #[tokio::test]
    async fn news_wake_whoever_waits_and_the_end_is_that_of_all() {
        let (send, mut receive) = mpsc::channel(1);
        let late = stream::poll_fn(move |context| receive.poll_recv(context)).boxed();
        let mut sources = Sources::default();
        sources.add(stream::empty().boxed());
        sources.add(late);
        let waiting = tokio::spawn(async move {
            let (index, _) = sources.next().await.expect("news");
            assert_eq!(index, 1);
            assert!(sources.next().await.is_none(), "all have ended");
        });
        tokio::task::yield_now().await;
        send.send(frame()).await.expect("it waits");
        drop(send);
        let ended = tokio::time::timeout(Duration::from_secs(10), waiting).await;
        ended.expect("it was woken").expect("as it should be");
    }
}
