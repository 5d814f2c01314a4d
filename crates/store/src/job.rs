//! What is handed to the thread that writes: a unit of work within a transaction, and its answer.

use rusqlite::Connection;
use tokio::sync::oneshot;

use crate::error::StoreError;

/// How much a transaction must survive before its caller is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Durability {
    /// A killed process: the system has it. A power loss takes back the newest of these.
    Process,
    /// A power loss: the disk has it.
    PowerLoss,
}

/// When a job is run among those of its transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Turn {
    /// Before all others: it must not act on what they do, which may yet be undone.
    First,
    /// In the order of arrival.
    Queued,
}

/// One unit of work within a transaction.
pub(crate) trait Job: Send {
    /// What it is called at the crash points.
    fn name(&self) -> &'static str;
    fn durability(&self) -> Durability;
    fn turn(&self) -> Turn;
    /// Whether its caller keeps a thread until it is answered.
    fn blocks(&self) -> bool;
    /// Whether it is one statement, of which an error leaves nothing that would have to be undone.
    fn is_one_statement(&self) -> bool;
    /// Does the work. With an error it changed its mind, and is to be undone alone; the error is why, as
    /// others are told whom it takes with it.
    fn run(&mut self, connection: &Connection) -> Result<(), StoreError>;
    /// Answers the caller: the transaction was committed, or why not.
    fn answer(self: Box<Self>, committed: Result<(), StoreError>);
}

/// An error that a job may end with: what of it others are told.
pub(crate) trait Cause {
    /// Why the store failed.
    fn cause(&self) -> StoreError;
}

impl Cause for StoreError {
    fn cause(&self) -> StoreError {
        self.clone()
    }
}

/// A job that runs a closure and answers with what it gave.
pub(crate) struct Task<F, T, E> {
    name: &'static str,
    durability: Durability,
    turn: Turn,
    blocks: bool,
    one_statement: bool,
    work: Option<F>,
    result: Option<Result<T, E>>,
    reply: oneshot::Sender<Result<T, E>>,
}

impl<F, T, E> Task<F, T, E>
where
    F: FnOnce(&Connection) -> Result<T, E>,
{
    /// A job, and where its answer comes.
    pub(crate) fn new(
        name: &'static str,
        durability: Durability,
        turn: Turn,
        work: F,
    ) -> (Self, oneshot::Receiver<Result<T, E>>) {
        let (reply, answer) = oneshot::channel();
        let task = Self {
            name,
            durability,
            turn,
            blocks: false,
            one_statement: false,
            work: Some(work),
            result: None,
            reply,
        };
        (task, answer)
    }

    /// The same for work that is one statement.
    pub(crate) fn of_one_statement(self) -> Self {
        Self {
            one_statement: true,
            ..self
        }
    }

    /// The same for a caller that keeps a thread until it is answered.
    pub(crate) fn blocking(self) -> Self {
        Self {
            blocks: true,
            ..self
        }
    }
}

impl<F, T, E> Job for Task<F, T, E>
where
    F: FnOnce(&Connection) -> Result<T, E> + Send,
    T: Send,
    E: From<StoreError> + Cause + Send,
{
    fn name(&self) -> &'static str {
        self.name
    }

    fn durability(&self) -> Durability {
        self.durability
    }

    fn turn(&self) -> Turn {
        self.turn
    }

    fn blocks(&self) -> bool {
        self.blocks
    }

    fn is_one_statement(&self) -> bool {
        self.one_statement
    }

    fn run(&mut self, connection: &Connection) -> Result<(), StoreError> {
        let Some(work) = self.work.take() else {
            return Err(StoreError::Closed);
        };
        match self.result.insert(work(connection)) {
            Ok(_) => Ok(()),
            Err(error) => Err(error.cause()),
        }
    }

    fn answer(self: Box<Self>, committed: Result<(), StoreError>) {
        let answer = match (self.result, committed) {
            (Some(Err(error)), _) => Err(error),
            (_, Err(error)) => Err(error.into()),
            (Some(Ok(value)), Ok(())) => Ok(value),
            (None, Ok(())) => Err(StoreError::Closed.into()),
        };
        // A caller that is gone does not want to know.
        drop(self.reply.send(answer));
    }
}
