//! Row (g): a fresh, metered call of each standard plugin, beside the same Rust code run natively.
//!
//! What is timed is what the sandbox itself reports for the step: from making the instance to having read
//! its answer. The native run parses the same settings and the same data.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use async_trait::async_trait;
use hookwright::directory::STANDARD_PLUGINS;
use hookwright::domain::attempt::ResolvedPlugin;
use hookwright::domain::{
    Digest, Event, EventId, EventKey, PluginRef, Request, RequestBody, TenantId, UnixMillis,
};
use hookwright::sandbox::{PipelineEnd, PipelineJob, PreparedStep, Sandbox, SandboxConfig, WasmSource};
use hookwright_plugin::{Body, Event as GuestEvent, JsonText, Request as GuestRequest, parse_settings};
use serde_json::{Value, json};

use crate::engine::data;
use crate::table::Table;

/// Calls of each kind; the median is shown.
const CALLS: usize = 3_000;

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

pub async fn run(table: &mut Table) -> Result<()> {
    let directory = tempfile::tempdir()?;
    let sandbox = Sandbox::start(SandboxConfig::new(directory.path().to_owned()), Arc::new(Standard))?;
    for (size, padding) in [("1 KB", 0), ("10 KB", 9_000)] {
        let mut event = data(1);
        event["lines"] = (0..padding / 60)
            .map(|n| json!({"sku": format!("C-{n:04}"), "quantity": n, "price": 9.95, "ok": true}))
            .collect();
        let text: Arc<str> = event.to_string().into();
        for (name, settings, native) in subjects() {
            let settings: Arc<str> = settings.to_string().into();
            let (inside, through) = metered(&sandbox, name, &settings, &text).await?;
            let beside =
                native.map(|native| median((0..CALLS).map(|_| timed(|| native(&settings, &text))).collect()));
            let ratio = beside.map_or(String::new(), |native| {
                format!("  native {:7.1} µs  {:5.1} x", micros(native), micros(inside) / micros(native))
            });
            let figures =
                format!("{:9.1} µs  ({:.1} µs with the queue){ratio}", micros(inside), micros(through));
            table.row(format!("(g) {name}, {} ({} bytes)", size, text.len()), figures);
        }
    }
    sandbox.shutdown();
    Ok(())
}

/// The median of the calls themselves, and of the calls with the way to the sandbox's threads and back.
async fn metered(
    sandbox: &Sandbox,
    name: &str,
    settings: &Arc<str>,
    data: &Arc<str>,
) -> Result<(Duration, Duration)> {
    let plugin =
        STANDARD_PLUGINS.iter().find(|plugin| plugin.name == name).context("a standard plugin")?.version();
    let (mut inside, mut through) = (Vec::new(), Vec::new());
    for call in 0..CALLS + CALLS / 10 {
        let resolved = ResolvedPlugin { name: plugin.name.clone(), version: 1, digest: plugin.digest };
        let step = PreparedStep {
            plugin: PluginRef::Latest(plugin.name.clone()),
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
        let job = PipelineJob {
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
        };
        let began = Instant::now();
        let run = sandbox.run(job).await?;
        let took = began.elapsed();
        anyhow::ensure!(matches!(run.end, PipelineEnd::Verdict(_)), "{name}: {:?}", run.end);
        // The first calls load the plugin and warm the pool.
        if call >= CALLS / 10 {
            inside.push(run.steps[0].duration);
            through.push(took);
        }
    }
    Ok((median(inside), median(through)))
}

fn timed(work: impl FnOnce()) -> Duration {
    let began = Instant::now();
    work();
    began.elapsed()
}

fn median(mut all: Vec<Duration>) -> Duration {
    all.sort();
    all[all.len() / 2]
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}
