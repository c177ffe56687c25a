//! Runs the golden cases of the standard plugins with the built components in the real sandbox. The plugins' own tests
//! run the same files natively.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use hookwright::directory::{STANDARD_PLUGINS, StandardPlugin};
use hookwright::domain::attempt::ResolvedPlugin;
use hookwright::domain::{
    Digest, Event, EventId, EventKey, EventType, Fault, FaultKind, PluginRef, Request, RequestBody, TenantId,
    UnixMillis, Verdict, header_list,
};
use hookwright::sandbox::{
    PipelineEnd, PipelineJob, PreparedStep, Sandbox, SandboxConfig, Source, WasmSource,
};
use hookwright_golden::{Case, Output};
use hookwright_plugin::{Body, Failure, Request as GuestRequest};

/// The engine's source of standard plugins.
struct Standard;

#[async_trait]
impl WasmSource for Standard {
    async fn wasm(&self, digest: &Digest) -> Result<Option<Vec<u8>>, String> {
        let found = STANDARD_PLUGINS.iter().find(|plugin| plugin.digest() == *digest);
        Ok(found.map(|plugin| plugin.wasm.to_vec()))
    }
}

fn sandbox(directory: &Path) -> Sandbox {
    Sandbox::start(SandboxConfig::new(directory.to_owned()), Arc::new(Standard)).expect("the sandbox starts")
}

#[tokio::test]
async fn each_standard_plugin_matches_the_directory() {
    let directory = tempfile::tempdir().unwrap();
    let sandbox = sandbox(directory.path());
    for plugin in STANDARD_PLUGINS.iter() {
        let mut found = sandbox.inspect(TenantId(1), plugin.wasm.into()).await.unwrap();
        let mut recorded = plugin.version();
        // The order depends on the component.
        recorded.imports.sort();
        found.imports.sort();
        assert_eq!(
            (found.digest, found.roles, found.imports, found.size_bytes),
            (recorded.digest, recorded.roles, recorded.imports, recorded.size_bytes),
            "{}",
            plugin.name
        );
    }
}

#[tokio::test]
async fn each_golden_case_has_the_expected_result_in_the_sandbox() {
    let directory = tempfile::tempdir().unwrap();
    let sandbox = sandbox(directory.path());
    let (mut count, mut wrong) = (0, Vec::new());
    for plugin in STANDARD_PLUGINS.iter() {
        let file = format!("{}/../plugins/{}/golden.json", env!("CARGO_MANIFEST_DIR"), plugin.name);
        for case in hookwright_golden::read(file) {
            // Skip event types that the engine does not accept.
            let Ok(event_type) = case.event.event_type.parse() else { continue };
            count += 1;
            let output = run(&sandbox, plugin, &case, event_type).await;
            if let Err(difference) = case.difference(&output) {
                wrong.push(format!("{}: {difference}", plugin.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {count} cases:\n{}", wrong.len(), wrong.join("\n"));
    assert!(count > 100, "{count}");
}

async fn run(
    sandbox: &Sandbox,
    plugin: &StandardPlugin,
    case: &Case,
    event_type: EventType,
) -> Result<Output, Failure> {
    let version = plugin.version();
    let resolved = ResolvedPlugin { name: version.name.clone(), version: 1, digest: version.digest };
    let step = PreparedStep {
        plugin: PluginRef::Latest(version.name),
        resolved: Ok(resolved),
        settings: case.settings.get().into(),
    };
    let event = Event {
        key: EventKey(1),
        id: EventId::from_path(&case.event.id),
        tenant: TenantId(1),
        project: None,
        ordering_key: None,
        trace: None,
        event_type,
        occurred_at: UnixMillis(i64::try_from(case.event.occurred_at).unwrap()),
        data: case.event.data.get().into(),
    };
    let GuestRequest { method, url, headers, body } = case.draft();
    let body = match body {
        Body::None => RequestBody::None,
        Body::Text(text) => RequestBody::Text(text.into()),
        Body::Binary(bytes) => RequestBody::Binary(bytes),
    };
    let job = PipelineJob {
        source: Source::DryRun,
        event: Arc::new(event),
        attributes: case.event.attributes.clone(),
        draft: Request { method: method.into(), url, headers: header_list(headers), body },
        steps: vec![step],
        secrets: Vec::new(),
    };
    match sandbox.run(job).await.expect("the sandbox does not fail").end {
        PipelineEnd::Fault { fault, .. } => Err(failure(fault)),
        PipelineEnd::Verdict(Verdict::Drop { .. }) => Ok(match version.roles[0] {
            hookwright::domain::Role::Filter => Output::Accept(false),
            _ => Output::Request(None),
        }),
        PipelineEnd::Verdict(Verdict::Keep(request)) => Ok(match version.roles[0] {
            hookwright::domain::Role::Filter => Output::Accept(true),
            hookwright::domain::Role::Mapper => Output::Data(text(request.body)),
            hookwright::domain::Role::Transformer => Output::Request(Some(guest_request(request))),
        }),
    }
}

fn failure(fault: Fault) -> Failure {
    let code = match fault.kind {
        FaultKind::Failure => fault.code.unwrap_or_default(),
        kind => kind.to_string(),
    };
    Failure { code, message: fault.message, retryable: fault.retryable }
}

fn text(body: RequestBody) -> String {
    String::from_utf8(body.as_bytes().to_vec()).unwrap()
}

fn guest_request(request: Request) -> GuestRequest {
    let body = match request.body {
        RequestBody::None => Body::None,
        RequestBody::Text(text) => Body::Text(text.to_string()),
        RequestBody::Binary(bytes) => Body::Binary(bytes),
    };
    let headers = request.headers.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
    GuestRequest { method: request.method.into(), url: request.url, headers, body }
}
