//! The interface of an abuse. It has its own tenants, and continues until its guard is dropped.

use std::any::Any;
use std::future::Future;

use anyhow::Result;
use async_trait::async_trait;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::site::Site;

/// One kind of abuse.
#[async_trait]
pub trait Abuse: Send + Sync {
    /// Name of the row.
    fn name(&self) -> &'static str;
    /// A short description.
    fn what(&self) -> &'static str;
    /// Prepares what must exist before an upgrade. If it returns true, the engine is started again without compiled
    /// code, as after an upgrade, before the abuse starts.
    ///
    /// # Errors
    /// If the engine has ended.
    async fn prepare(&self, _site: &Site) -> Result<bool> {
        Ok(false)
    }
    /// Sets the abuse up. Tasks of [`Guard::spawn`] start after all abuses of the row are set up. A refusal by the
    /// engine is not an error, because the engine's limits may cause it.
    ///
    /// # Errors
    /// If the abuse cannot be set up, for example because the engine has ended.
    async fn start(&self, site: &Site) -> Result<Guard>;
}

/// A running abuse. It ends when this is dropped.
pub struct Guard {
    tasks: JoinSet<()>,
    on: Handle,
    begin: watch::Receiver<bool>,
    held: Vec<Box<dyn Any + Send>>,
}

impl Guard {
    /// Creates a guard whose tasks run on the abusers' threads, which have a lower priority than the measurement.
    pub fn new(site: &Site) -> Self {
        let (on, begin) = (site.abusers().clone(), site.beginning());
        Self { tasks: JoinSet::new(), on, begin, held: Vec::new() }
    }

    /// Runs `task` after all abuses of the row are set up, until the guard is dropped.
    pub fn spawn(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        let mut begin = self.begin.clone();
        self.spawn_now(async move {
            if begin.wait_for(|has_begun| *has_begun).await.is_ok() {
                task.await;
            }
        });
    }

    /// Runs `task`, such as a receiver, immediately, until the guard is dropped.
    pub fn spawn_now(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn_on(task, &self.on);
    }

    /// Runs `count` tasks. `make` creates a task from its number.
    pub fn spawn_each<F>(&mut self, count: usize, make: impl Fn(usize) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        for number in 0..count {
            self.spawn(make(number));
        }
    }

    /// Keeps `thing` alive until the guard is dropped.
    pub fn hold(&mut self, thing: impl Any + Send) {
        self.held.push(Box::new(thing));
    }
}
