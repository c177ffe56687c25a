//! Row (g): a metered call of each standard plugin in a fresh instance, compared with the same Rust code run natively.
//!
//! The time is the one that the sandbox reports for the step, from creating the instance to decoding its result. The
//! native run parses the same settings and data.
//!
//! Both run on the same core, alternating, in rounds without pauses. On a shared machine cores differ in speed, and a
//! call after a pause finds cold caches, which doubles its time. The time of such a single call, including waking the
//! sandbox's thread on the same core, is shown too.

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

/// Number of rounds, and calls per round. The table shows the median of all calls.
const ROUNDS: usize = 50;
const CALLS: usize = 64;
/// Number of single calls. Each wakes a thread.
const SINGLE_CALLS: usize = 300;

/// A plugin, its settings, and its native code; `None` for JavaScript.
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
        // The sandbox's threads inherit the affinity.
        #[cfg(target_os = "linux")]
        {
            let mut here = rustix::thread::CpuSet::new();
            here.set(rustix::thread::sched_getcpu());
            rustix::thread::sched_setaffinity(None, &here)?;
        }
        tokio::runtime::Builder::new_current_thread().build()?.block_on(on_this_core(table))
    };
    // In a separate thread, so that other rows can use all cores.
    std::thread::scope(|scope| scope.spawn(measure).join()).expect("the measurement does not panic")
}

async fn on_this_core(table: &mut Table) -> Result<()> {
    let directory = tempfile::tempdir()?;
    // One thread, so that the calls run one after another like the native ones.
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
            for round in 0..=ROUNDS {
                let runs =
                    join_all((0..CALLS).map(|_| Ok(sandbox.run(job()?))).collect::<Result<Vec<_>>>()?).await;
                // The first round loads the plugin and warms the pool.
                if round > 0 {
                    guest.extend(runs.into_iter().map(step_micros).collect::<Result<Vec<_>>>()?);
                    beside.extend(
                        native
                            .iter()
                            .flat_map(|native| (0..CALLS).map(|_| timed(|| native(&settings, &text)))),
                    );
                }
            }
            let mut alone = Vec::new();
            for _ in 0..SINGLE_CALLS {
                let (job, began) = (job()?, Instant::now());
                step_micros(sandbox.run(job).await)?;
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

/// Returns a pipeline with one plugin.
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
        ordering_key: None,
        trace: None,
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

/// Returns the duration of the step in microseconds, if there was no fault.
fn step_micros(run: Result<PipelineRun, SandboxError>) -> Result<f64> {
    let run = run?;
    anyhow::ensure!(matches!(run.end, PipelineEnd::Verdict(_)), "{:?}", run.end);
    Ok(micros(run.steps[0].duration))
}

/// Returns the duration in microseconds.
fn timed(work: impl FnOnce()) -> f64 {
    let began = Instant::now();
    work();
    micros(began.elapsed())
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}
