//! Runs the steps of a pipeline.
//!
//! Within a step, the roles that the plugin exports run in the order filter, mapper, transformer, each in its own
//! instance. `event.data` is the output of the last mapper. Until a transformer has run, the draft's body equals the
//! data, so a pipeline of mappers alone sends the output of the last one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::clock;
use crate::domain::attempt::{LogLevel, ResolvedPlugin};
use crate::domain::plugin::Role;
use crate::domain::{
    Event, Fault, PluginRef, Request, RequestBody, ShortText, StepOutput, StepReport, TenantId, Verdict,
};

use super::deadline::{CallControl, CpuTime, Pace};
use super::interrupted::Interrupted;
use super::invoke::{CallReport, Invoker};
use super::logs::LogSink;
use super::plugin::Plugin;
use super::state::{Secrets, State};
use super::v1::convert;
use super::{PipelineEnd, PipelineRun, sendable};

/// A step with its loaded plugin, or the fault of loading it.
pub(super) struct ReadyStep {
    pub(super) plugin: PluginRef,
    pub(super) resolved: Option<ResolvedPlugin>,
    pub(super) settings: Arc<str>,
    pub(super) loaded: Result<Arc<Plugin>, Fault>,
}

/// State of a running pipeline.
pub(super) struct Progress {
    event: Arc<Event>,
    attributes: Vec<(String, String)>,
    secrets: Arc<Secrets>,
    steps: Vec<ReadyStep>,
    reports: Vec<StepReport>,
    /// The interrupted step.
    interrupted: Option<StepInProgress>,
    /// The event's data for the next role.
    data: Arc<str>,
    draft: Request,
    /// Whether a transformer has written the draft.
    written: bool,
    /// Whether to continue after a filter that rejects the event.
    every_role: bool,
}

/// A step in progress. Some of its roles may have run.
struct StepInProgress {
    report: StepReport,
    logs: LogSink,
}

/// What follows a role.
enum Next {
    Continue,
    Drop,
}

impl Progress {
    pub(super) fn new(
        event: Arc<Event>,
        attributes: Vec<(String, String)>,
        secrets: Secrets,
        draft: Request,
        steps: Vec<ReadyStep>,
    ) -> Self {
        let (secrets, data) = (Arc::new(secrets), Arc::clone(&event.data));
        let reports = Vec::with_capacity(steps.len());
        let (interrupted, written, every_role) = (None, false, false);
        Self { event, attributes, secrets, steps, reports, interrupted, data, draft, written, every_role }
    }

    pub(super) fn with_every_role(self) -> Self {
        Self { every_role: true, ..self }
    }

    /// The tenant that the cost is charged to.
    pub(super) fn tenant(&self) -> TenantId {
        self.event.tenant
    }

    /// Runs the next step. Returns `None` if there are more steps.
    ///
    /// # Errors
    /// If the step was interrupted or the engine failed. After an interruption, the next call repeats the role.
    pub(super) fn advance(
        &mut self,
        invoker: &Invoker,
        control: &CallControl,
    ) -> Result<Option<PipelineEnd>, Interrupted> {
        let index = self.reports.len();
        let Some(step) = self.steps.get(index) else {
            return Ok(Some(self.keep()));
        };
        let mut current = self.interrupted.take().unwrap_or_else(|| StepInProgress::new(step, invoker));
        let clock = Clock::start(control);
        let next = match &step.loaded {
            Ok(plugin) => {
                let (plugin, settings) = (Arc::clone(plugin), Arc::clone(&step.settings));
                match self.step(invoker, control, &plugin, &settings, &mut current) {
                    Ok(next) => next,
                    Err(interrupted) => {
                        self.interrupted = Some(current);
                        return Err(interrupted);
                    }
                }
            }
            Err(fault) => Err(fault.clone()),
        };
        let StepInProgress { mut report, logs } = current;
        report.logs = logs.into_lines();
        report.duration += clock.elapsed();
        report.fault = next.as_ref().err().cloned();
        self.reports.push(report);
        Ok(match next {
            Ok(Next::Drop) => Some(PipelineEnd::Verdict(Verdict::Drop { step: index })),
            Err(fault) => Some(PipelineEnd::Fault { step: index, fault }),
            Ok(Next::Continue) if self.reports.len() == self.steps.len() => Some(self.keep()),
            Ok(Next::Continue) => None,
        })
    }

    /// Combines the end with the reports of the steps.
    pub(super) fn finish(self, end: PipelineEnd) -> PipelineRun {
        PipelineRun { steps: self.reports, end }
    }

    fn keep(&mut self) -> PipelineEnd {
        let empty = Request {
            method: ShortText::default(),
            url: String::new(),
            headers: Vec::new(),
            body: RequestBody::None,
        };
        PipelineEnd::Verdict(Verdict::Keep(std::mem::replace(&mut self.draft, empty)))
    }

    fn step(
        &mut self,
        invoker: &Invoker,
        control: &CallControl,
        plugin: &Plugin,
        settings: &Arc<str>,
        current: &mut StepInProgress,
    ) -> Result<Result<Next, Fault>, Interrupted> {
        for role in plugin.roles().into_iter().skip(current.report.roles.len()) {
            // Cheap unless an earlier role has logged.
            let logs = current.logs.clone();
            let next = self.role(invoker, control, plugin, settings, role, current);
            if next.is_err() {
                current.logs = logs;
                return next;
            }
            current.report.roles.push(role);
            if !matches!(next, Ok(Ok(Next::Continue))) {
                return next;
            }
        }
        Ok(Ok(Next::Continue))
    }

    fn role(
        &mut self,
        invoker: &Invoker,
        control: &CallControl,
        plugin: &Plugin,
        settings: &Arc<str>,
        role: Role,
        StepInProgress { report, logs }: &mut StepInProgress,
    ) -> Result<Result<Next, Fault>, Interrupted> {
        let state = State::new(
            &invoker.limits,
            std::mem::take(logs),
            Arc::clone(settings),
            Arc::clone(&self.secrets),
            Some(Arc::clone(&self.event)),
        )
        .with_control(control);
        let attributes = convert::pairs(&self.attributes);
        let event = convert::event(&self.event, &attributes, &self.data);
        Ok(match role {
            Role::Filter => {
                let Some(guest) = &plugin.filter else { return Ok(Ok(Next::Continue)) };
                let accepted = account(invoker.filter(plugin, guest, state, event)?, logs, report);
                accepted.map(|accepted| if accepted || self.every_role { Next::Continue } else { Next::Drop })
            }
            Role::Mapper => {
                let Some(guest) = &plugin.mapper else { return Ok(Ok(Next::Continue)) };
                let data = account(invoker.map(plugin, guest, state, event)?, logs, report);
                data.map(|data| self.mapped(data))
            }
            Role::Transformer => {
                let Some(guest) = &plugin.transformer else { return Ok(Ok(Next::Continue)) };
                let called = invoker.transform(plugin, guest, state, event, &self.draft)?;
                account(called, logs, report).and_then(|request| self.transformed(request, logs))
            }
        })
    }

    fn mapped(&mut self, data: Arc<str>) -> Next {
        if !self.written {
            self.draft.body = RequestBody::Text(Arc::clone(&data));
        }
        self.data = data;
        Next::Continue
    }

    fn transformed(&mut self, request: Option<Request>, logs: &mut LogSink) -> Result<Next, Fault> {
        let Some(mut request) = request else {
            return Ok(Next::Drop);
        };
        for name in sendable::check(&mut request)? {
            logs.write(
                LogLevel::Warn,
                &format!("the header `{name}` is set by the engine; the plugin's value is not sent"),
            );
        }
        self.draft = request;
        self.written = true;
        Ok(Next::Continue)
    }
}

/// Measures a step: by wall time, or by CPU time if the step may pause.
enum Clock {
    Wall(Instant),
    Cpu(CpuTime),
}

impl Clock {
    fn start(control: &CallControl) -> Self {
        match control.pace {
            Pace::Yields { .. } => Self::Cpu(CpuTime::start()),
            Pace::Unlimited | Pace::OneSlice => Self::Wall(clock::monotonic()),
        }
    }

    fn elapsed(&self) -> Duration {
        match self {
            Self::Wall(started) => clock::elapsed(*started),
            Self::Cpu(time) => time.elapsed(),
        }
    }
}

impl StepInProgress {
    fn new(step: &ReadyStep, invoker: &Invoker) -> Self {
        let report = StepReport {
            plugin: step.plugin.clone(),
            resolved: step.resolved.clone(),
            roles: Vec::new(),
            fuel: 0,
            fuel_granted: 0,
            duration: Duration::ZERO,
            memory_bytes: 0,
            output: StepOutput::default(),
            logs: Vec::new(),
            fault: None,
        };
        Self { report, logs: LogSink::new(&invoker.limits) }
    }
}

/// Adds the cost of a call to the report of its step.
fn account<T>(called: CallReport<T>, logs: &mut LogSink, report: &mut StepReport) -> Result<T, Fault> {
    report.fuel = report.fuel.saturating_add(called.fuel);
    report.fuel_granted = report.fuel_granted.saturating_add(called.fuel_granted);
    report.memory_bytes = report.memory_bytes.max(called.memory_bytes);
    report.output = called.output;
    *logs = called.logs;
    called.result
}
