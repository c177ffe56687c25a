//! Row (g): a fresh, metered call of each standard plugin, beside the same Rust code run natively.
//!
//! What is timed is what the sandbox itself reports for the step: from making the instance to having read
//! its answer. The native run parses the same settings and the same data.
//!
//! Both run on one and the same core, take turns, and go through the calls of a turn without a pause. On a shared machine
//! cores are not equally fast, and a call after a sleep finds the core's caches in others' hands, which costs as much again
//! as the call. What a call by itself takes then, with the way to another thread of the same core and back, is shown as well.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use async_trait::async_trait;
use futures_util::future::join_all;
use hookwright::directory::STANDARD_PLUGINS;
use hookwright::domain::attempt::ResolvedPlugin;
use hookwright::domain::{
    Digest, Event, EventId, EventKey, HookId, PluginRef, Request, RequestBody, TenantId, UnixMillis,
};
use hookwright::sandbox::{
    PipelineEnd, PipelineJob, PipelineRun, PreparedStep, Sandbox, SandboxConfig, SandboxError, Source,
    WasmSource,
};
use hookwright_plugin::{Body, Event as GuestEvent, JsonText, Request as GuestRequest, parse_settings};
use serde_json::{Value, json};

use crate::engine::data;
use crate::table::{Table, median};

/// How often either side has its turn, and its calls in one turn. The median of all calls is shown.
const TURNS: usize = 50;
const CALLS: usize = 64;
/// Calls one by one, each of which wakes a thread and is waited for.
const ALONE: usize = 300;

/// A plugin, its settings, and the same code natively; none for JavaScript.
type Subject = (&'static str, Value, Option<fn(&str, &str)>);

fn subjects() -> Vec<Subject> {
    vec![
        (
            "event-filter",
            json!({"all": [{"pointer": "/action", "equals": "paid"}, {"pointer": "/order/total", "greater_than": 10}]}),
            Some(native_filter),
        ),
        ("field-map", json!({"move": {"/order": "/purchase/order"}, "drop": ["/note"]}), Some(native_map)),
        (
            "body-template",
            json!({"template": r#"{"text": "order ${data.order.id} of ${data.customer.name}"}"#}),
            Some(native_template),
        ),
        (
            "cloudevents",
            json!({"mode": "structured", "source": "https://shop.example"}),
            Some(native_cloudevent),
        ),
        (
            "javascript",
            json!({"script": "return {...request, body: {kind: event.type, data: event.data}};"}),
            None,
        ),
    ]
}

fn guest_event(data: &str) -> GuestEvent<JsonText> {
    GuestEvent::new("order.paid", JsonText(data.to_owned()))
}

fn guest_draft(data: &str) -> GuestRequest {
    GuestRequest {
        method: "POST".into(),
        url: "https://receiver.example/hook".into(),
        headers: vec![("content-type".into(), "application/json".into())],
        body: Body::Text(data.to_owned()),
    }
}

fn native_filter(settings: &str, data: &str) {
    let settings = parse_settings(settings).expect("good settings");
    let _ = black_box(hookwright_event_filter::accept(&guest_event(data), &settings));
}

fn native_map(settings: &str, data: &str) {
    let settings = parse_settings(settings).expect("good settings");
    let _ = black_box(hookwright_field_map::map_fields(&guest_event(data), &settings));
}

fn native_template(settings: &str, data: &str) {
    let settings = parse_settings(settings).expect("good settings");
    let _ = black_box(hookwright_body_template::transform(&guest_event(data), guest_draft(data), &settings));
}

fn native_cloudevent(settings: &str, data: &str) {
    let settings = parse_settings(settings).expect("good settings");
    let _ = black_box(hookwright_cloudevents::transform(&guest_event(data), guest_draft(data), &settings));
}

struct Standard;

#[async_trait]
impl WasmSource for Standard {
    async fn wasm(&self, digest: &Digest) -> Result<Option<Vec<u8>>, String> {
        let found = STANDARD_PLUGINS.iter().find(|plugin| plugin.digest() == *digest);
        Ok(found.map(|plugin| plugin.wasm.to_vec()))
    }
}

pub fn run(table: &mut Table) -> Result<()> {
    let measure = || {
        // Threads that are started from here on, the sandbox's, inherit it.
        #[cfg(target_os = "linux")]
        {
            let mut here = rustix::thread::CpuSet::new();
            here.set(rustix::thread::sched_getcpu());
            rustix::thread::sched_setaffinity(None, &here)?;
        }
        tokio::runtime::Builder::new_current_thread().build()?.block_on(on_this_core(table))
    };
    // In a thread of its own, which ends: other rows have all cores.
    std::thread::scope(|scope| scope.spawn(measure).join()).expect("a panic has been shown")
}

async fn on_this_core(table: &mut Table) -> Result<()> {
    let directory = tempfile::tempdir()?;
    // One thread, so that the calls follow each other as the native ones do.
    let config = SandboxConfig { threads: 1, ..SandboxConfig::new(directory.path().to_owned()) };
    let sandbox = Sandbox::start(config, Arc::new(Standard))?;
    for (size, padding) in [("1 KB", 0), ("10 KB", 9_000)] {
        let mut event = data(1);
        event["lines"] = (0..padding / 60)
            .map(|n| json!({"sku": format!("C-{n:04}"), "quantity": n, "price": 9.95, "ok": true}))
            .collect();
        let text: Arc<str> = event.to_string().into();
        for (name, settings, native) in subjects() {
            let settings: Arc<str> = settings.to_string().into();
            let job = || job(name, &settings, &text);
            let (mut guest, mut beside) = (Vec::new(), Vec::new());
            for turn in 0..=TURNS {
                let runs =
                    join_all((0..CALLS).map(|_| Ok(sandbox.run(job()?))).collect::<Result<Vec<_>>>()?).await;
                // The first turn loads the plugin and warms the pool.
                if turn > 0 {
                    guest.extend(runs.into_iter().map(answered).collect::<Result<Vec<_>>>()?);
                    beside.extend(
                        native
                            .iter()
                            .flat_map(|native| (0..CALLS).map(|_| timed(|| native(&settings, &text)))),
                    );
                }
            }
            let mut alone = Vec::new();
            for _ in 0..ALONE {
                let (job, began) = (job()?, Instant::now());
                answered(sandbox.run(job).await)?;
                alone.push(micros(began.elapsed()));
            }
            let (guest, alone) = (median(guest), median(alone));
            let ratio = native.map_or(String::new(), |_| {
                let native = median(beside);
                format!("  native {native:6.1} µs  {:5.1} x", guest / native)
            });
            let figures = format!("{guest:8.1} µs{ratio}  (alone {alone:.1} µs)");
            table.row(format!("(g) {name}, {size} ({} bytes)", text.len()), figures);
        }
    }
    sandbox.shutdown();
    Ok(())
}

/// A pipeline of the one plugin.
fn job(name: &str, settings: &Arc<str>, data: &Arc<str>) -> Result<PipelineJob> {
    let plugin =
        STANDARD_PLUGINS.iter().find(|plugin| plugin.name == name).context("a standard plugin")?.version();
    let resolved = ResolvedPlugin { name: plugin.name.clone(), version: 1, digest: plugin.digest };
    let step = PreparedStep {
        plugin: PluginRef::Latest(plugin.name),
        resolved: Ok(resolved),
        settings: Arc::clone(settings),
    };
    let event = Event {
        key: EventKey(1),
        id: EventId::of_key(EventKey(1)),
        tenant: TenantId(1),
        project: None,
        event_type: "order.paid".parse()?,
        occurred_at: UnixMillis(1_795_000_000_000),
        data: Arc::clone(data),
    };
    Ok(PipelineJob {
        source: Source::Hook(HookId(1)),
        event: Arc::new(event),
        attributes: vec![("trigger".into(), "event".into())],
        draft: Request {
            method: "POST".into(),
            url: "https://receiver.example/hook".into(),
            headers: vec![("content-type".into(), "application/json".into())],
            body: RequestBody::Text(Arc::clone(data)),
        },
        steps: vec![step],
        secrets: Vec::new(),
    })
}

/// What the step took in microseconds, if it came to a verdict.
fn answered(run: Result<PipelineRun, SandboxError>) -> Result<f64> {
    let run = run?;
    anyhow::ensure!(matches!(run.end, PipelineEnd::Verdict(_)), "{:?}", run.end);
    Ok(micros(run.steps[0].duration))
}

/// What it took in microseconds.
fn timed(work: impl FnOnce()) -> f64 {
    let began = Instant::now();
    work();
    micros(began.elapsed())
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}
