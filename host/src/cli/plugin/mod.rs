//! `hookwright plugin check` and `plugin run`: use the engine's sandbox without the engine.

mod input;
mod report;

use std::collections::HashMap;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use async_trait::async_trait;
use bytes::Bytes;
use serde_json::json;
use tempfile::TempDir;

use super::exit::FAILED;
use super::style::{BAD, PLAIN};
use crate::app;
use crate::config::Config;
use crate::domain::attempt::ResolvedPlugin;
use crate::domain::{Digest, PluginRef, TenantId};
use crate::sandbox::{
    Inspected, PipelineEnd, PipelineJob, PipelineRun, PreparedStep, Sandbox, Source, UploadError, WasmSource,
    of_plain_call,
};

pub(super) use input::Input;
use input::{Code, read_code};

/// Checks whether the engine would accept the file as a plugin, describes it, and makes a trial call. A
/// script is checked like the settings of a hook.
pub(super) async fn check(file: &Path, config: Config, out: &mut impl Write) -> Result<ExitCode> {
    let code = read_code(file)?;
    let sandbox = PluginSandbox::new(config, &code)?;
    if let Code::Script(script) = &code {
        return check_script(&sandbox, file, script, out).await;
    }
    match sandbox.inspect().await? {
        Ok(mut inspected) => {
            let run = sandbox.run(Input::plain(Arc::from("{}"))?).await?;
            inspected.warnings.extend(of_plain_call(&run));
            report::inspected(out, &inspected)?;
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => rejected(out, file, &error),
    }
}

async fn check_script(
    sandbox: &PluginSandbox,
    file: &Path,
    script: &str,
    out: &mut impl Write,
) -> Result<ExitCode> {
    let settings = json!({ "script": script }).to_string();
    let run = sandbox.run(Input::plain(settings.into())?).await?;
    if let PipelineEnd::Fault { fault, .. } = &run.end
        && fault.code.as_deref() == Some(BAD_SETTINGS)
    {
        writeln!(out, "{BAD}rejected{PLAIN}  {}: {}", file.display(), fault.message)?;
        return Ok(ExitCode::from(FAILED));
    }
    writeln!(
        out,
        "{}: a script of {} bytes. Scripts are not uploaded. Put it into a hook's pipeline as\n  \
         {{\"plugin\": \"javascript\", \"settings\": {{\"script\": …}}}}\n\
         or run it with `hookwright plugin run`.",
        file.display(),
        script.len(),
    )?;
    if let Some(warning) = of_plain_call(&run) {
        report::warning(out, &warning)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs the plugin once for the event.
pub(super) async fn run(input: Input, config: Config, out: &mut impl Write) -> Result<ExitCode> {
    let limits = app::sandbox_config(&config)?.limits;
    let sandbox = PluginSandbox::new(config, &input.code)?;
    if let Code::Wasm(_) = &input.code
        && let Err(error) = sandbox.inspect().await?
    {
        return rejected(out, &input.file, &error);
    }
    let run = sandbox.run(input).await?;
    let faulted = report::run(out, &run, &limits)?;
    Ok(ExitCode::from(if faulted { FAILED } else { 0 }))
}

fn rejected(out: &mut impl Write, file: &Path, error: &UploadError) -> Result<ExitCode> {
    writeln!(out, "{BAD}rejected{PLAIN}  {}: {error}", file.display())?;
    Ok(ExitCode::from(FAILED))
}

/// The error code of a plugin for settings that are invalid for every event.
const BAD_SETTINGS: &str = "bad-settings";
/// The only tenant of the sandbox.
const LOCAL: TenantId = TenantId(0);

/// A sandbox for one plugin, with a temporary directory for compiled code.
struct PluginSandbox {
    sandbox: Sandbox,
    digest: Digest,
    wasm: Bytes,
    /// A new directory, removed at the end: compiled code of another user must not be run.
    _directory: TempDir,
}

impl PluginSandbox {
    fn new(mut config: Config, code: &Code) -> Result<Self> {
        let wasm = code.wasm()?;
        let directory = TempDir::with_prefix("hookwright-plugin-").context("cannot create a directory")?;
        directory.path().clone_into(&mut config.data_dir);
        config.plugin_threads = 1;
        let digest = Digest::of(&wasm);
        let source = Arc::new(InMemoryPlugins(HashMap::from([(digest, wasm.clone())])));
        let sandbox =
            Sandbox::start(app::sandbox_config(&config)?, source).context("cannot start the sandbox")?;
        Ok(Self { sandbox, digest, wasm, _directory: directory })
    }

    /// Runs the plugin once.
    async fn run(&self, input: Input) -> Result<PipelineRun> {
        let resolved = ResolvedPlugin { name: input.name.clone(), version: 1, digest: self.digest };
        let step = PreparedStep {
            plugin: PluginRef::Latest(input.name.clone()),
            resolved: Ok(resolved),
            settings: input.settings,
        };
        let attributes =
            vec![("tenant".to_owned(), "local".to_owned()), ("trigger".to_owned(), "test".to_owned())];
        let job = PipelineJob {
            source: Source::DryRun,
            draft: input.draft,
            event: input.event,
            attributes,
            steps: vec![step],
            secrets: Vec::new(),
        };
        self.sandbox.run(job).await.context("the sandbox failed")
    }

    /// Inspects the plugin. The outer error is a failure of the sandbox, the inner one a rejection of the
    /// plugin.
    async fn inspect(&self) -> Result<Result<Inspected, UploadError>> {
        match self.sandbox.inspect(LOCAL, self.wasm.clone()).await {
            Err(UploadError::Sandbox(error)) => Err(error).context("the sandbox failed"),
            inspected => Ok(inspected),
        }
    }
}

/// The plugins in memory.
struct InMemoryPlugins(HashMap<Digest, Bytes>);

#[async_trait]
impl WasmSource for InMemoryPlugins {
    async fn wasm(&self, digest: &Digest) -> Result<Option<Vec<u8>>, String> {
        Ok(self.0.get(digest).map(|bytes| bytes.to_vec()))
    }
}
