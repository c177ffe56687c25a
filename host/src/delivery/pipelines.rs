//! Prepares pipelines of hooks for an event, and runs them in the sandbox. Sends nothing.

use std::sync::Arc;

use zeroize::Zeroizing;

use super::hook_health::HookHealthMonitor;
use super::{batch_request, plugin_figures, request};
use crate::directory::Directory;
use crate::domain::attempt::ResolvedPlugin;
use crate::domain::{
    BatchFormat, Event, Fault, FaultKind, Hook, Limit, Pipeline, PluginRef, Request, RequestBody, Step,
    TenantId, Trigger, UnixMillis, Verdict,
};
use crate::sandbox::{PipelineEnd, PipelineJob, PipelineRun, PreparedStep, Sandbox, SandboxError, Source};
use crate::sources::Sources;

/// The attribute that shows plugins the response to the preflight request.
const PREFLIGHT: &str = "preflight";
/// The attribute that shows plugins how many events a request has.
const EVENTS: &str = "events";
/// The name by which plugins refer to the hook's current signing secret.
const SIGNING_SECRET: &str = "signing";

/// See the module's head.
pub struct Pipelines {
    directory: Arc<Directory>,
    sandbox: Sandbox,
    meter: Option<(Arc<HookHealthMonitor>, Sources)>,
}

/// Why a pipeline did not run for a delivery.
#[derive(Debug)]
pub enum NotRun {
    /// The fuel of the tenant is used up until then.
    NoFuel(UnixMillis),
    /// The engine itself failed.
    Sandbox(SandboxError),
}

impl From<SandboxError> for NotRun {
    fn from(error: SandboxError) -> Self {
        Self::Sandbox(error)
    }
}

impl Pipelines {
    /// Creates it from the `directory` of plugins and the `sandbox` that runs them.
    #[must_use]
    pub fn new(directory: Arc<Directory>, sandbox: Sandbox) -> Self {
        Self { directory, sandbox, meter: None }
    }

    /// The same, which counts and limits the fuel that deliveries use.
    #[must_use]
    pub fn metered(self, health: &Arc<HookHealthMonitor>, sources: &Sources) -> Self {
        Self { meter: Some((Arc::clone(health), sources.clone())), ..self }
    }

    /// Runs the hook's pipeline for `event`. `preflight` is the response to the preflight request, as plugins get it.
    ///
    /// # Errors
    /// Fails only if the engine itself failed, or the tenant's fuel is used up: a plugin's failure is part of the run.
    pub async fn run(
        &self,
        hook: &Hook,
        event: &Arc<Event>,
        trigger: Trigger,
        preflight: Option<String>,
    ) -> Result<PipelineRun, NotRun> {
        self.run_metered(hook, &hook.pipeline, event, trigger, preflight).await
    }

    async fn run_metered(
        &self,
        hook: &Hook,
        pipeline: &Pipeline,
        event: &Arc<Event>,
        trigger: Trigger,
        preflight: Option<String>,
    ) -> Result<PipelineRun, NotRun> {
        let run = self.run_steps(Source::Hook(hook.id), hook, pipeline, event, trigger, preflight);
        let run = async { run.await.inspect(|run| plugin_figures::count(&run.steps)) };
        if pipeline.is_empty() || trigger == Trigger::Test {
            return Ok(run.await?);
        }
        self.meter_run(hook.tenant, run).await
    }

    /// Counts the fuel of `run`, if the tenant has a limit on it.
    async fn meter_run(
        &self,
        tenant: TenantId,
        run: impl Future<Output = Result<PipelineRun, SandboxError>>,
    ) -> Result<PipelineRun, NotRun> {
        let limit = || self.directory.rarely_limited(tenant, Limit::FuelPerMinute);
        let meter = self.meter.as_ref().and_then(|meter| Some((meter, limit()?)));
        let Some(((health, sources), limit)) = meter else { return Ok(run.await?) };
        if let Some(until) = health.fuel().spent_until(tenant, limit, sources.now()) {
            return Err(NotRun::NoFuel(until));
        }
        let run = run.await?;
        let used = run.steps.iter().map(|step| step.fuel).sum();
        health.fuel().add(tenant, used, limit, sources.now());
        Ok(run)
    }

    /// Runs the hook's pipeline to show what it would send. Stops if the future is dropped. There is no preflight, because
    /// nothing is sent.
    ///
    /// # Errors
    /// Fails like [`Self::run`].
    pub async fn preview(&self, hook: &Hook, event: &Arc<Event>) -> Result<PipelineRun, SandboxError> {
        let run = self.run_steps(Source::DryRun, hook, &hook.pipeline, event, Trigger::Test, None).await?;
        let Some(options) = hook.batch() else { return Ok(run) };
        let PipelineRun { mut steps, end } = batch_request::alone(hook, event, run, options.format);
        let request = match end {
            PipelineEnd::Verdict(Verdict::Keep(request)) if !hook.options.batch_pipeline.is_empty() => {
                request
            }
            end => return Ok(PipelineRun { steps, end }),
        };
        let events = std::iter::once(&**event);
        let together = self.write_together(Source::DryRun, hook, events, request).await?;
        steps.extend(together.steps);
        Ok(PipelineRun { steps, end: together.end })
    }

    /// Runs the pipeline by which `hook` writes requests with several events, for `joined`, which has these `events`. Steps
    /// count from the first one of the pipeline that has run for each event.
    ///
    /// # Errors
    /// Fails like [`Self::run`].
    pub async fn run_together<'a>(
        &self,
        hook: &Hook,
        events: impl Iterator<Item = &'a Event> + Clone,
        joined: Request,
    ) -> Result<PipelineRun, NotRun> {
        let run = self.write_together(Source::Hook(hook.id), hook, events, joined);
        let run = async { run.await.inspect(|run| plugin_figures::count(&run.steps)) };
        self.meter_run(hook.tenant, run).await
    }

    async fn write_together<'a>(
        &self,
        source: Source,
        hook: &Hook,
        events: impl Iterator<Item = &'a Event> + Clone,
        joined: Request,
    ) -> Result<PipelineRun, SandboxError> {
        let (count, before) = (events.clone().count(), hook.pipeline.0.len());
        let Some(event) = batch_request::event_of(events, &joined) else {
            let end = PipelineEnd::Verdict(Verdict::Keep(joined));
            return Ok(PipelineRun { steps: Vec::new(), end });
        };
        let (event, pipeline) = (Arc::new(event), &hook.options.batch_pipeline);
        let mut job = self.job(source, hook, pipeline, &event, Trigger::Event, None);
        job.draft = Request { body: RequestBody::Text(Arc::clone(&event.data)), ..joined };
        job.attributes.push((EVENTS.to_owned(), count.to_string()));
        let PipelineRun { steps, end } = self.sandbox.run(job).await?;
        let end = match end {
            PipelineEnd::Fault { step, fault } => PipelineEnd::Fault { step: before + step, fault },
            PipelineEnd::Verdict(Verdict::Drop { step }) => {
                PipelineEnd::Verdict(Verdict::Drop { step: before + step })
            }
            keep => keep,
        };
        Ok(PipelineRun { steps, end })
    }

    /// An event as plugins get it for a request with only `event`.
    #[must_use]
    pub fn together(event: &Event) -> Event {
        let joined = batch_request::join(
            &request::plain_draft(event),
            &[&RequestBody::Text(Arc::clone(&event.data))],
            BatchFormat::Json,
        );
        batch_request::event_of(std::iter::once(event), &joined).unwrap_or_else(|| event.clone())
    }

    /// Runs the pipeline that writes the preflight request.
    ///
    /// # Errors
    /// Fails like [`Self::run`].
    pub async fn run_preflight(
        &self,
        hook: &Hook,
        event: &Arc<Event>,
        trigger: Trigger,
    ) -> Result<PipelineRun, NotRun> {
        self.run_metered(hook, &hook.preflight, event, trigger, None).await
    }

    async fn run_steps(
        &self,
        source: Source,
        hook: &Hook,
        pipeline: &Pipeline,
        event: &Arc<Event>,
        trigger: Trigger,
        preflight: Option<String>,
    ) -> Result<PipelineRun, SandboxError> {
        if pipeline.is_empty() {
            let draft = request::draft(hook, event);
            return Ok(PipelineRun { steps: Vec::new(), end: PipelineEnd::Verdict(Verdict::Keep(draft)) });
        }
        self.sandbox.run(self.job(source, hook, pipeline, event, trigger, preflight)).await
    }

    fn job(
        &self,
        source: Source,
        hook: &Hook,
        pipeline: &Pipeline,
        event: &Arc<Event>,
        trigger: Trigger,
        preflight: Option<String>,
    ) -> PipelineJob {
        let draft = request::draft(hook, event);
        let steps = pipeline.0.iter().map(|step| self.prepare(hook.tenant, step)).collect();
        let mut attributes = self.attributes(event, trigger);
        attributes.push(("hook".to_owned(), hook.id.to_string()));
        attributes.extend(preflight.map(|answer| (PREFLIGHT.to_owned(), answer)));
        let current = hook.secrets.first();
        let secrets =
            current.map(|secret| (SIGNING_SECRET.to_owned(), Zeroizing::new(secret.key().to_vec())));
        let secrets = secrets.into_iter().collect();
        PipelineJob { source, event: Arc::clone(event), attributes, draft, steps, secrets }
    }

    /// Loads the code of a step's plugin.
    ///
    /// # Errors
    /// Fails like [`Self::run`].
    pub async fn load(&self, tenant: TenantId, step: &Step) -> Result<(), SandboxError> {
        match self.directory.resolve(tenant, &step.plugin) {
            Some(resolved) => self.sandbox.load(tenant, &resolved.digest).await,
            None => Ok(()),
        }
    }

    /// Runs every role of one step as `hook` would, even if the step is not one of the hook's, and even if its filter drops
    /// the event. A dry run like [`Self::preview`].
    ///
    /// # Errors
    /// Fails like [`Self::run`].
    pub async fn try_step_of(
        &self,
        hook: &Hook,
        step: &Step,
        event: &Arc<Event>,
    ) -> Result<PipelineRun, SandboxError> {
        let pipeline = Pipeline(vec![step.clone()]);
        let job = self.job(Source::DryRun, hook, &pipeline, event, Trigger::Test, None);
        self.sandbox.run_every_role(job).await
    }

    /// Like [`Self::try_step_of`], but with this version of the plugin.
    ///
    /// # Errors
    /// Fails like [`Self::run`].
    pub async fn try_version_of(
        &self,
        hook: &Hook,
        step: &Step,
        version: &ResolvedPlugin,
        event: &Arc<Event>,
    ) -> Result<PipelineRun, SandboxError> {
        let mut job =
            self.job(Source::DryRun, hook, &Pipeline(vec![step.clone()]), event, Trigger::Test, None);
        for step in &mut job.steps {
            step.resolved = Ok(version.clone());
        }
        self.sandbox.run_every_role(job).await
    }

    /// Runs every role of a version that may not be stored yet, without a hook and without settings.
    ///
    /// # Errors
    /// Fails like [`Self::run`].
    pub async fn try_version(
        &self,
        version: &ResolvedPlugin,
        event: Arc<Event>,
    ) -> Result<PipelineRun, SandboxError> {
        let plugin = PluginRef::Digest(version.digest);
        let step = PreparedStep { plugin, resolved: Ok(version.clone()), settings: Arc::from("{}") };
        let (steps, draft) = (vec![step], request::plain_draft(&event));
        let attributes = self.attributes(&event, Trigger::Test);
        let secrets = Vec::new();
        self.sandbox
            .run(PipelineJob { source: Source::DryRun, event, attributes, draft, steps, secrets })
            .await
    }

    /// Runs one step without a hook, with the request that a plain hook would send. A dry run like [`Self::preview`].
    ///
    /// # Errors
    /// Fails like [`Self::run`].
    pub async fn run_step(&self, step: &Step, event: Arc<Event>) -> Result<PipelineRun, SandboxError> {
        let (steps, draft) = (vec![self.prepare(event.tenant, step)], request::plain_draft(&event));
        let attributes = self.attributes(&event, Trigger::Test);
        let (source, secrets) = (Source::DryRun, Vec::new());
        self.sandbox.run(PipelineJob { source, event, attributes, draft, steps, secrets }).await
    }

    fn prepare(&self, tenant: TenantId, step: &Step) -> PreparedStep {
        let resolved = self.directory.resolve(tenant, &step.plugin).ok_or_else(|| {
            Fault::new(FaultKind::Unavailable, format!("there is no plugin `{}`", step.plugin))
        });
        PreparedStep { plugin: step.plugin.clone(), resolved, settings: Arc::clone(&step.settings) }
    }

    fn attributes(&self, event: &Event, trigger: Trigger) -> Vec<(String, String)> {
        let mut attributes = vec![("trigger".to_owned(), trigger.as_str().to_owned())];
        if let Some(tenant) = self.directory.tenant(event.tenant) {
            attributes.push(("tenant".to_owned(), tenant.name.clone()));
        }
        if let Some(project) = event.project {
            attributes.push(("project".to_owned(), project.to_string()));
        }
        attributes
    }
}

#[cfg(test)]
mod tests;
