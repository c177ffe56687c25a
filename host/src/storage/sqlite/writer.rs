//! The task that commits events, records, claims and requested rows in groups.
//!
//! It takes what its queue holds, up to a limit, writes it in one transaction, and then answers all callers. The queue is
//! bounded: while the disk is slow, callers wait. If a caller goes away, its work is written all the same.

use std::collections::HashSet;
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::{Mutex, mpsc};

use super::claims::{self, Claim, Leased};
use super::connection::WriteConnection;
use super::errors::is_constraint;
use super::events;
use super::known_events;
use super::known_names::{self, Lookup};
use super::messages::{Job, Message};
use super::purge::Purge;
use super::purging;
use super::rowless::Materialize;
use super::rows::RecordRow;
use super::script::{BEGIN, COMMIT, Script};
use super::write_plan::{Memory, WritePlan};
use crate::clock;
use crate::domain::HookId;
use crate::metrics;
use crate::storage::dedup::{self, Seen};
use crate::storage::{Acceptance, Accepted, Purged, StorageError};

/// How many calls the queue holds before callers wait.
const QUEUE: usize = 1_024;
/// A transaction with this many rows takes no further call.
const MAX_GROUP_ROWS: usize = 2_000;
/// A transaction with this many bytes of data takes no further call.
pub const MAX_GROUP_BYTES: usize = 4 << 20;

/// Starts the task on `runtime`, or on the caller's if there is none. It ends on [`Message::Close`], or when no sender is
/// left.
pub fn spawn(
    connection: Arc<Mutex<WriteConnection>>,
    memory: Memory,
    runtime: Option<Handle>,
) -> mpsc::Sender<Message> {
    let (queue, messages) = mpsc::channel(QUEUE);
    runtime.unwrap_or_else(Handle::current).spawn(run(connection, memory, messages));
    queue
}

async fn run(connection: Arc<Mutex<WriteConnection>>, memory: Memory, mut messages: mpsc::Receiver<Message>) {
    let mut closing = None;
    while let Some(message) = messages.recv().await {
        let mut group = Group::default();
        let mut next = Some(message);
        // Callers that were answered just now are about to send again: after a yield they share this commit.
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
        // Locked for each group, in order of arrival: other writers run between groups.
        let mut connection = connection.lock().await;
        let (began, rows) = (clock::monotonic(), group.rows);
        group.commit(&mut connection, &memory).await;
        if rows > 0 {
            metrics::storage::committed(clock::elapsed(began), rows);
        }
    }
    if let Some(reply) = closing {
        let _ = reply.send(());
    }
}

/// The calls that one transaction commits.
#[derive(Debug, Default)]
struct Group {
    accepts: Vec<Job<Vec<Acceptance>, Vec<Accepted>>>,
    records: Vec<Job<Arc<Vec<RecordRow>>, ()>>,
    claims: Vec<Job<Claim, Vec<Leased>>>,
    requests: Vec<Job<Materialize, ()>>,
    purges: Vec<Job<Purge, Purged>>,
    rows: usize,
    bytes: usize,
}

/// The answers for callers that get one, in the order of the jobs.
#[derive(Default)]
struct Answers {
    accepted: Vec<Vec<Accepted>>,
    claimed: Vec<Vec<Leased>>,
    purged: Vec<Purged>,
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
            Message::Materialize(job) => {
                self.rows += job.work.count;
                self.requests.push(job);
            }
            Message::Purge(job) => {
                self.rows += job.work.rows();
                self.purges.push(job);
            }
            Message::Close(_) => {}
        }
    }

    fn len(&self) -> usize {
        self.accepts.len() + self.records.len() + self.claims.len() + self.requests.len() + self.purges.len()
    }

    async fn commit(self, connection: &mut WriteConnection, memory: &Memory) {
        match self.try_commit(connection, memory).await {
            Ok(answers) => self.answer(answers),
            // One call has an id that exists already: only that call fails.
            Err(error) if self.len() > 1 && is_constraint(&error) => {
                for alone in self.split() {
                    match alone.try_commit(connection, memory).await {
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
        memory: &Memory,
    ) -> Result<Answers, StorageError> {
        if self.len() == 0 {
            return Ok(Answers::default());
        }
        let calls: Vec<&[Acceptance]> = self.accepts.iter().map(|job| job.work.as_slice()).collect();
        let names = match calls.iter().copied().flatten().any(dedup::may_repeat) {
            true => memory.names.lock().look_up(&calls),
            false => Lookup::default(),
        };
        if self.claims.is_empty() && self.purges.is_empty() && names.is_complete() {
            return self.write_only((&calls, names.seen), connection, memory).await;
        }
        let written = match connection.begin().await {
            Ok(_) => self.write((&calls, names), connection, memory).await,
            Err(error) => Err(error),
        };
        let (plan, claimed, purged) = connection.finish(written).await?;
        Ok(Answers { accepted: plan.committed(memory), claimed, purged })
    }

    /// Writes a group that needs no reads: one script from the beginning of the transaction to its commit.
    async fn write_only(
        &self,
        (calls, seen): (&[&[Acceptance]], Seen),
        connection: &mut WriteConnection,
        memory: &Memory,
    ) -> Result<Answers, StorageError> {
        let plan = self.plan(seen, calls, connection.deleted_hooks(), memory);
        let mut script = Script::default();
        script.push(BEGIN);
        plan.write(&mut script)?;
        script.push(COMMIT);
        let committed = script.run(connection.about_to_begin().await?).await;
        connection.finish_committed(committed.map_err(StorageError::from)).await?;
        Ok(Answers { accepted: plan.committed(memory), ..Answers::default() })
    }

    async fn write<'a>(
        &'a self,
        (calls, names): (&[&'a [Acceptance]], Lookup),
        connection: &mut WriteConnection,
        memory: &Memory,
    ) -> Result<(WritePlan<'a>, Vec<Vec<Leased>>, Vec<Purged>), StorageError> {
        let (connection, deleted_hooks) = connection.parts()?;
        let mut seen = names.seen;
        known_names::known(connection, names.candidates, &mut seen).await?;
        if names.has_indexed {
            known_events::add(connection, calls, &mut seen).await?;
        }
        let plan = self.plan(seen, calls, deleted_hooks, memory);
        let mut script = Script::default();
        plan.write(&mut script)?;
        script.run(connection).await?;
        let mut claimed = Vec::with_capacity(self.claims.len());
        for job in &self.claims {
            claimed.push(claims::lease(connection, &job.work, deleted_hooks).await?);
        }
        let mut purged = Vec::with_capacity(self.purges.len());
        for job in &self.purges {
            purged.push(purging::purge(connection, &job.work, &memory.rowless).await?);
        }
        Ok((plan, claimed, purged))
    }

    fn plan<'a>(
        &'a self,
        seen: Seen,
        calls: &[&'a [Acceptance]],
        deleted_hooks: &HashSet<HookId>,
        memory: &Memory,
    ) -> WritePlan<'a> {
        let (rowless, names) = (memory.rowless.lock(), memory.names.lock());
        let stored = events::decide(seen, calls, (deleted_hooks, &rowless));
        let records = self.records.iter().flat_map(|job| job.work.iter());
        // Several callers may request the same.
        let requests = self.requests.iter().map(|job| job.work).collect();
        let claims = self.claims.iter().map(|job| &job.work);
        WritePlan::new(stored, records, &requests, claims, (&rowless, &names, deleted_hooks))
    }

    /// Answers all callers; some may be gone.
    fn answer(self, answers: Answers) {
        // There are many of these. Waking a task of another runtime is a system call: one for each runtime is enough.
        let mut runtimes: Vec<(Handle, Vec<_>)> = Vec::new();
        for (Job { reply, runtime, .. }, answer) in self.accepts.into_iter().zip(answers.accepted) {
            match runtimes.iter_mut().find(|(known, _)| known.id() == runtime.id()) {
                Some((_, replies)) => replies.push((reply, answer)),
                None => runtimes.push((runtime, vec![(reply, answer)])),
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
        for job in self.requests {
            let _ = job.reply.send(Ok(()));
        }
        for (job, answer) in self.claims.into_iter().zip(answers.claimed) {
            let _ = job.reply.send(Ok(answer));
        }
        for (job, answer) in self.purges.into_iter().zip(answers.purged) {
            let _ = job.reply.send(Ok(answer));
        }
    }

    fn fail(self, error: StorageError) {
        metrics::storage::COMMIT_FAILURES.increment();
        fn refuse<Work, Answer>(jobs: Vec<Job<Work, Answer>>, error: &Arc<StorageError>) {
            for job in jobs {
                let _ = job.reply.send(Err(StorageError::RolledBack(Arc::clone(error))));
            }
        }
        let error = Arc::new(error);
        refuse(self.accepts, &error);
        refuse(self.records, &error);
        refuse(self.claims, &error);
        refuse(self.requests, &error);
        refuse(self.purges, &error);
    }

    fn split(self) -> impl Iterator<Item = Self> {
        let accepts = self.accepts.into_iter().map(Message::Accept);
        let records = self.records.into_iter().map(Message::Record);
        let claims = self.claims.into_iter().map(Message::Claim);
        let requests = self.requests.into_iter().map(Message::Materialize);
        let purges = self.purges.into_iter().map(Message::Purge);
        accepts.chain(records).chain(claims).chain(requests).chain(purges).map(|message| {
            let mut group = Self::default();
            group.push(message);
            group
        })
    }
}

#[cfg(test)]
mod tests;
