//! Tests of the sandbox's public interface, with guests in WAT.

mod fairness;
mod guest;
mod hostile;
mod measure;
mod neighbours;
mod pipelines;
mod uploads;
mod wasi;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use zeroize::Zeroizing;

use super::*;
use crate::domain::attempt::ResolvedPlugin;
use crate::domain::{
    Digest, Event, EventKey, Fault, HookId, PluginRef, Request, RequestBody, StepReport, TenantId, UnixMillis,
};

/// A sandbox with its own directory and a store of plugins.
struct TestSandbox {
    sandbox: Sandbox,
    store: Arc<Store>,
    dir: tempfile::TempDir,
}

#[derive(Default)]
struct Store {
    plugins: Mutex<HashMap<Digest, Vec<u8>>>,
    /// Digests that were read, in order.
    reads: Mutex<Vec<Digest>>,
}

#[async_trait]
impl WasmSource for Store {
    async fn wasm(&self, digest: &Digest) -> Result<Option<Vec<u8>>, String> {
        self.reads.lock().unwrap().push(*digest);
        Ok(self.plugins.lock().unwrap().get(digest).cloned())
    }
}

/// Small limits, so that tests are fast in debug builds.
fn limits() -> Limits {
    Limits { fuel_base: 5_000_000, memory_bytes: 8 << 20, table_elements: 1000, ..Limits::default() }
}

impl TestSandbox {
    fn new() -> Self {
        Self::with(limits(), 2)
    }

    fn with(limits: Limits, threads: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Arc::new(Store::default());
        let sandbox = Self::start(&dir, &store, limits, threads);
        Self { sandbox, store, dir }
    }

    fn start(dir: &tempfile::TempDir, store: &Arc<Store>, limits: Limits, threads: usize) -> Sandbox {
        let config = SandboxConfig { threads, limits, ..SandboxConfig::new(dir.path().join("cache")) };
        Sandbox::start(config, Arc::clone(store) as Arc<dyn WasmSource>).unwrap()
    }

    async fn upload(&self, wasm: impl Into<Bytes>) -> Digest {
        let wasm = wasm.into();
        let inspected =
            self.sandbox.inspect(TenantId(1), wasm.clone()).await.unwrap_or_else(|error| panic!("{error}"));
        self.keep(&wasm);
        inspected.digest
    }

    /// Stores a plugin without checks.
    fn keep(&self, wasm: &[u8]) -> Digest {
        let digest = Digest::of(wasm);
        self.store.plugins.lock().unwrap().insert(digest, wasm.to_vec());
        digest
    }

    async fn run(&self, tenant: i64, digests: &[Digest]) -> PipelineRun {
        self.sandbox.run(job(tenant, digests)).await.unwrap()
    }

    /// Runs a pipeline of one guest and returns its fault and report. Each guest belongs to another tenant, because
    /// failing sources are delayed.
    async fn fault(&self, wasm: Vec<u8>) -> (Fault, StepReport) {
        let digest = self.keep(&wasm);
        let tenant = 1_000 + i64::try_from(self.store.plugins.lock().unwrap().len()).unwrap();
        let mut run = self.run(tenant, &[digest]).await;
        match run.end {
            PipelineEnd::Fault { step: 0, fault } => (fault, run.steps.remove(0)),
            other => panic!("no fault: {other:?}"),
        }
    }
}

fn job(tenant: i64, digests: &[Digest]) -> PipelineJob {
    let step = |digest: &Digest| PreparedStep {
        plugin: PluginRef::Digest(*digest),
        resolved: Ok(ResolvedPlugin { name: "guest".parse().unwrap(), version: 1, digest: *digest }),
        settings: Arc::from("{}"),
    };
    PipelineJob {
        source: Source::Hook(HookId(tenant)),
        event: Arc::new(event(tenant)),
        attributes: vec![("trigger".to_owned(), "event".to_owned())],
        draft: Request {
            method: "POST".into(),
            url: "https://example.com/in".to_owned(),
            headers: vec![("content-type".into(), "application/json".into())],
            body: RequestBody::Text(Arc::from(r#"{"a":1}"#)),
        },
        steps: digests.iter().map(step).collect(),
        secrets: vec![("signing".to_owned(), Zeroizing::new(b"key".to_vec()))],
    }
}

fn event(tenant: i64) -> Event {
    Event {
        key: EventKey(1),
        id: crate::domain::EventId::from_sender("e-1").unwrap(),
        tenant: TenantId(tenant),
        project: None,
        ordering_key: None,
        trace: None,
        event_type: "ticket.update".parse().unwrap(),
        occurred_at: UnixMillis(1_700_000_000_123),
        data: Arc::from(r#"{"a":1}"#),
    }
}
