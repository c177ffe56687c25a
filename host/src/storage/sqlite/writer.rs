//! The task that commits events, records, claims, and rows that somebody asks for, together.
//!
//! It takes what has gathered in its queue, up to a bound, writes it in one transaction, and then answers everyone.
//! The queue is bounded, too: where the disk is slow, callers wait. A caller that is gone is no reason
//! to stop: what it handed in is written, and nobody is told.

use std::collections::HashSet;
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::{Mutex, mpsc, oneshot};

use super::Shared;
use super::batch::{BEGIN, COMMIT, Script};
use super::claims::{self, Claim, Leased};
use super::connection::WriteConnection;
use super::dedup::{self, Seen};
use super::events;
use super::plan::Plan;
use super::recording::RecordRow;
use super::unwritten::{Settle, SharedLedger};
use crate::domain::HookId;
use crate::storage::{Acceptance, Accepted, StorageError};

/// Calls that may wait before callers are held up.
const QUEUE: usize = 1_024;
/// Rows after which a transaction takes no further call.
const MAX_GROUP_ROWS: usize = 2_000;
/// Bytes of data after which a transaction takes no further call.
pub const MAX_GROUP_BYTES: usize = 4 << 20;

/// One call that waits to be committed.
#[derive(Debug)]
pub struct Job<Work, Answer> {
    work: Work,
    reply: oneshot::Sender<Result<Answer, StorageError>>,
    /// Where the answer is waited for.
    asked_on: Handle,
}

/// What may be asked of the writer.
#[derive(Debug)]
pub enum Message {
    /// Store events.
    Accept(Job<Vec<Acceptance>, Vec<Accepted>>),
    /// Record what came of deliveries.
    Record(Job<Arc<Vec<RecordRow>>, ()>),
    /// Lease deliveries.
    Claim(Job<Claim, Vec<Leased>>),
    /// Write rows of deliveries that have none.
    Settle(Job<Settle, ()>),
    /// Commit what is queued, then end.
    Close(oneshot::Sender<()>),
}

impl Shared {
    /// Hands `work` to the writer, and waits for its commit.
    pub(super) async fn commit<Work, Answer>(
        &self,
        kind: fn(Job<Work, Answer>) -> Message,
        work: Work,
    ) -> Result<Answer, StorageError> {
        let (reply, answer) = oneshot::channel();
        self.queue
            .send(kind(Job { work, reply, asked_on: Handle::current() }))
            .await
            .map_err(|_| StorageError::Closed)?;
        answer.await.map_err(|_| StorageError::Closed)?
    }
}

/// Starts the task on `runtime`, or else on the caller's. It ends when told to, or when nobody can hand it anything any more.
pub fn spawn(
    connection: Arc<Mutex<WriteConnection>>,
    ledger: Arc<SharedLedger>,
    runtime: Option<Handle>,
) -> mpsc::Sender<Message> {
    let (queue, messages) = mpsc::channel(QUEUE);
    runtime.unwrap_or_else(Handle::current).spawn(run(connection, ledger, messages));
    queue
}

async fn run(
    connection: Arc<Mutex<WriteConnection>>,
    ledger: Arc<SharedLedger>,
    mut messages: mpsc::Receiver<Message>,
) {
    let mut closing = None;
    while let Some(message) = messages.recv().await {
        let mut group = Group::default();
        let mut next = Some(message);
        // Those who were answered just now are about to come back: let them, and they share this commit.
        tokio::task::yield_now().await;
        while let Some(message) = next {
            match message {
                Message::Close(reply) => {
                    messages.close();
                    closing = Some(reply);
                }
                job => group.push(job),
            }
            next = None;
            if group.rows < MAX_GROUP_ROWS && group.bytes < MAX_GROUP_BYTES {
                next = messages.try_recv().ok();
            }
        }
        // Taken anew for each group, and given out in order of arrival: others get their turn between groups.
        let mut connection = connection.lock().await;
        group.commit(&mut connection, &ledger).await;
    }
    if let Some(reply) = closing {
        let _ = reply.send(());
    }
}

/// What is committed together.
#[derive(Debug, Default)]
struct Group {
    accepts: Vec<Job<Vec<Acceptance>, Vec<Accepted>>>,
    records: Vec<Job<Arc<Vec<RecordRow>>, ()>>,
    claims: Vec<Job<Claim, Vec<Leased>>>,
    questions: Vec<Job<Settle, ()>>,
    rows: usize,
    bytes: usize,
}

/// What is told to who handed in events and claims, in the order of the jobs.
struct Answers {
    accepted: Vec<Vec<Accepted>>,
    claimed: Vec<Vec<Leased>>,
}

impl Group {
    fn push(&mut self, message: Message) {
        match message {
            Message::Accept(job) => {
                self.rows += job.work.iter().map(|one| 1 + one.deliveries.len()).sum::<usize>();
                self.bytes += job.work.iter().map(|one| one.event.data.len()).sum::<usize>();
                self.accepts.push(job);
            }
            Message::Record(job) => {
                self.rows += job.work.len() * 2;
                self.bytes += job.work.iter().map(RecordRow::bytes).sum::<usize>();
                self.records.push(job);
            }
            Message::Claim(job) => {
                self.rows += job.work.limit();
                self.claims.push(job);
            }
            Message::Settle(job) => {
                self.rows += job.work.count;
                self.questions.push(job);
            }
            Message::Close(_) => {}
        }
    }

    fn len(&self) -> usize {
        self.accepts.len() + self.records.len() + self.claims.len() + self.questions.len()
    }

    async fn commit(self, connection: &mut WriteConnection, ledger: &SharedLedger) {
        match self.try_commit(connection, ledger).await {
            Ok(answers) => self.answer(answers),
            // One call is at fault, by an id that is there already; the others must not suffer for it.
            Err(error) if self.len() > 1 && is_constraint(&error) => {
                for alone in self.split() {
                    match alone.try_commit(connection, ledger).await {
                        Ok(answers) => alone.answer(answers),
                        Err(error) => alone.fail(error),
                    }
                }
            }
            Err(error) => self.fail(error),
        }
    }

    async fn try_commit(
        &self,
        connection: &mut WriteConnection,
        ledger: &SharedLedger,
    ) -> Result<Answers, StorageError> {
        if self.len() == 0 {
            return Ok(Answers { accepted: Vec::new(), claimed: Vec::new() });
        }
        let calls: Vec<&[Acceptance]> = self.accepts.iter().map(|job| job.work.as_slice()).collect();
        if self.claims.is_empty() && !calls.iter().copied().flatten().any(dedup::may_repeat) {
            return self.write_blindly(&calls, connection, ledger).await;
        }
        let written = match connection.begin().await {
            Ok(_) => self.write(&calls, connection, ledger).await,
            Err(error) => Err(error),
        };
        let (plan, claimed) = connection.finish(written).await?;
        Ok(Answers { accepted: plan.committed(ledger), claimed })
    }

    /// Where nothing must be read: from the beginning of the transaction to its commit in one go.
    async fn write_blindly(
        &self,
        calls: &[&[Acceptance]],
        connection: &mut WriteConnection,
        ledger: &SharedLedger,
    ) -> Result<Answers, StorageError> {
        let plan = self.plan(Seen::default(), calls, connection.deleted_hooks(), ledger);
        let mut script = Script::default();
        script.push(BEGIN);
        plan.write(&mut script)?;
        script.push(COMMIT);
        let committed = script.run(connection.about_to_begin().await?).await;
        connection.finish_committed(committed.map_err(StorageError::from)).await?;
        Ok(Answers { accepted: plan.committed(ledger), claimed: Vec::new() })
    }

    async fn write<'a>(
        &'a self,
        calls: &[&'a [Acceptance]],
        connection: &mut WriteConnection,
        ledger: &SharedLedger,
    ) -> Result<(Plan<'a>, Vec<Vec<Leased>>), StorageError> {
        let (connection, deleted_hooks) = connection.parts()?;
        let seen = Seen::load(connection, calls).await?;
        let plan = self.plan(seen, calls, deleted_hooks, ledger);
        let mut script = Script::default();
        plan.write(&mut script)?;
        script.run(connection).await?;
        let mut claimed = Vec::with_capacity(self.claims.len());
        for job in &self.claims {
            claimed.push(claims::lease(connection, &job.work, deleted_hooks).await?);
        }
        Ok((plan, claimed))
    }

    fn plan<'a>(
        &'a self,
        seen: Seen,
        calls: &[&'a [Acceptance]],
        deleted_hooks: &HashSet<HookId>,
        ledger: &SharedLedger,
    ) -> Plan<'a> {
        let stored = events::decide(seen, calls, deleted_hooks);
        let records = self.records.iter().flat_map(|job| job.work.iter());
        // Many may ask the same.
        let questions = self.questions.iter().map(|job| job.work).collect();
        let claims = self.claims.iter().map(|job| &job.work);
        Plan::new(stored, records, &questions, claims, (&ledger.lock(), deleted_hooks))
    }

    /// Tells everyone. That someone no longer listens is fine.
    fn answer(self, answers: Answers) {
        // Of these there are many. To wake a task of another runtime is a system call: one for each runtime is enough.
        let mut runtimes: Vec<(Handle, Vec<_>)> = Vec::new();
        for (Job { reply, asked_on, .. }, answer) in self.accepts.into_iter().zip(answers.accepted) {
            match runtimes.iter_mut().find(|(runtime, _)| runtime.id() == asked_on.id()) {
                Some((_, replies)) => replies.push((reply, answer)),
                None => runtimes.push((asked_on, vec![(reply, answer)])),
            }
        }
        for (runtime, replies) in runtimes {
            runtime.spawn(async move {
                for (reply, answer) in replies {
                    let _ = reply.send(Ok(answer));
                }
            });
        }
        for job in self.records {
            let _ = job.reply.send(Ok(()));
        }
        for job in self.questions {
            let _ = job.reply.send(Ok(()));
        }
        for (job, answer) in self.claims.into_iter().zip(answers.claimed) {
            let _ = job.reply.send(Ok(answer));
        }
    }

    fn fail(self, error: StorageError) {
        fn refuse<Work, Answer>(jobs: Vec<Job<Work, Answer>>, error: &Arc<StorageError>) {
            for job in jobs {
                let _ = job.reply.send(Err(StorageError::Shared(Arc::clone(error))));
            }
        }
        let error = Arc::new(error);
        refuse(self.accepts, &error);
        refuse(self.records, &error);
        refuse(self.claims, &error);
        refuse(self.questions, &error);
    }

    fn split(self) -> impl Iterator<Item = Self> {
        let accepts = self.accepts.into_iter().map(Message::Accept);
        let records = self.records.into_iter().map(Message::Record);
        let claims = self.claims.into_iter().map(Message::Claim);
        let questions = self.questions.into_iter().map(Message::Settle);
        accepts.chain(records).chain(claims).chain(questions).map(|message| {
            let mut group = Self::default();
            group.push(message);
            group
        })
    }
}

fn is_constraint(error: &StorageError) -> bool {
    let StorageError::Database(sqlx::Error::Database(error)) = error else { return false };
    matches!(
        error.kind(),
        sqlx::error::ErrorKind::UniqueViolation
            | sqlx::error::ErrorKind::NotNullViolation
            | sqlx::error::ErrorKind::CheckViolation
    )
}
