use async_trait::async_trait;

use super::*;
use crate::delivery::testing;
use crate::domain::Digest;
use crate::sandbox::{SandboxConfig, WasmSource};
use crate::storage::conformance::World;
use crate::storage::sqlite::{self, SqliteOptions};

/// There are no plugins.
struct NoPlugins;

#[async_trait]
impl WasmSource for NoPlugins {
    async fn wasm(&self, _: &Digest) -> Result<Option<Vec<u8>>, String> {
        Ok(None)
    }
}

async fn pipelines() -> (Pipelines, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let world = World::new(sqlite::open(dir.path(), SqliteOptions::default()).await.unwrap().stores());
    let sources = testing::sources();
    let directory = Directory::load(world.storage.clone(), sources.ids, sources.clock).await.unwrap();
    let config = SandboxConfig { threads: 1, ..SandboxConfig::new(dir.path().join("cache")) };
    (Pipelines::new(directory, Sandbox::start(config, Arc::new(NoPlugins)).unwrap()), dir)
}

fn hook_with(plugin: &str) -> Hook {
    let step = Step { plugin: plugin.parse().unwrap(), settings: "{}".into() };
    Hook { pipeline: Pipeline(vec![step]), ..testing::hook("https://example.com/") }
}

#[tokio::test]
async fn a_hook_without_plugins_sends_the_events_data() {
    let (pipelines, _dir) = pipelines().await;
    let (hook, event) = (testing::hook("https://example.com/"), Arc::new(testing::event()));
    let run = pipelines.run(&hook, &event, Trigger::Event, None).await.unwrap();
    assert!(run.steps.is_empty());
    let PipelineEnd::Verdict(Verdict::Keep(request)) = run.end else { panic!("nothing is sent") };
    assert_eq!((request.method.as_str(), request.body.as_bytes()), ("POST", event.data.as_bytes()));
}

#[tokio::test]
async fn a_step_whose_plugin_is_missing_is_a_fault_of_that_step() {
    let (pipelines, _dir) = pipelines().await;
    let (hook, event) = (hook_with("missing"), Arc::new(testing::event()));
    let run = pipelines.run(&hook, &event, Trigger::Event, None).await.unwrap();
    let PipelineEnd::Fault { step, fault } = run.end else { panic!("it is not missed") };
    assert_eq!((step, fault.kind), (0, FaultKind::Unavailable));
    assert!(fault.message.contains("`missing`"), "{}", fault.message);
}

#[tokio::test]
async fn plugins_get_the_attributes_and_the_secret_of_their_hook() {
    let (pipelines, _dir) = pipelines().await;
    let (hook, event) = (hook_with("missing"), Arc::new(testing::event()));
    let event = Arc::new(Event { project: Some(7), ..Event::clone(&event) });
    let preflight = Some("the response".to_owned());
    let job = pipelines.job(Source::Hook(hook.id), &hook, &hook.pipeline, &event, Trigger::Event, preflight);
    let attributes: Vec<_> =
        job.attributes.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let hook_id = hook.id.to_string();
    assert_eq!(
        attributes,
        [
            ("trigger", Trigger::Event.as_str()),
            ("project", "7"),
            ("hook", hook_id.as_str()),
            ("preflight", "the response"),
        ]
    );
    assert_eq!(job.secrets.len(), 1);
    assert_eq!((job.secrets[0].0.as_str(), &job.secrets[0].1[..]), ("signing", hook.secrets[0].key()));
}
