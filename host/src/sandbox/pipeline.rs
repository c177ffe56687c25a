//! A pipeline on its way through its steps.
//!
//! Within a step the roles that the plugin exports run in order: filter, mapper, transformer, each
//! in an instance of its own. `event.data` is what the last mapper answered. Until a transformer
//! has run, the draft's body follows the data, so that a pipeline of mappers alone sends what the
//! last of them made.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::domain::attempt::{LogLevel, ResolvedPlugin};
use crate::domain::plugin::Role;
use crate::domain::{
    Event, Fault, PluginRef, Request, RequestBody, ShortText, StepReport, TenantId, Verdict,
};

use super::deadline::{OwnTime, Pace, Watch};
use super::invoke::{Called, Interrupted, Invoker};
use super::logs::LogSink;
use super::plugin::Plugin;
use super::state::{Secrets, State};
use super::v1::convert;
use super::{PipelineEnd, PipelineRun, sendable};

/// A step whose plugin has been made ready, or not.
pub(super) struct ReadyStep {
    pub(super) plugin: PluginRef,
    pub(super) resolved: Option<ResolvedPlugin>,
    pub(super) settings: Arc<str>,
    pub(super) ready: Result<Arc<Plugin>, Fault>,
}

/// How far a pipeline has come.
pub(super) struct Progress {
    event: Arc<Event>,
    attributes: Vec<(String, String)>,
    secrets: Arc<Secrets>,
    steps: Vec<ReadyStep>,
    reports: Vec<StepReport>,
    /// The step that was interrupted.
    begun: Option<BegunStep>,
    /// The event's data as the next role sees it.
    data: Arc<str>,
    draft: Request,
    /// Whether a transformer has written the draft.
    written: bool,
    /// Whether the steps go on where a filter does not take the event.
    every_role: bool,
}

/// A step on its way through its roles.
struct BegunStep {
    report: StepReport,
    logs: LogSink,
}

/// What a role says of the pipeline.
enum Said {
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
        let (begun, written, every_role) = (None, false, false);
        Self { event, attributes, secrets, steps, reports, begun, data, draft, written, every_role }
    }

    pub(super) fn with_every_role(self) -> Self {
        Self { every_role: true, ..self }
    }

    /// Who pays.
    pub(super) fn tenant(&self) -> TenantId {
        self.event.tenant
    }

    /// Runs the next step; `None` if there are more to come.
    ///
    /// # Errors
    /// After an interruption the next call goes on with the role that was interrupted, from its beginning.
    pub(super) fn advance(
        &mut self,
        invoker: &Invoker,
        watch: &Watch,
    ) -> Result<Option<PipelineEnd>, Interrupted> {
        let index = self.reports.len();
        let Some(step) = self.steps.get(index) else {
            return Ok(Some(self.keep()));
        };
        let mut begun = self.begun.take().unwrap_or_else(|| BegunStep::new(step, invoker));
        let clock = Clock::start(watch);
        let said = match &step.ready {
            Ok(plugin) => {
                let (plugin, settings) = (Arc::clone(plugin), Arc::clone(&step.settings));
                match self.step(invoker, watch, &plugin, &settings, &mut begun) {
                    Ok(said) => said,
                    Err(interrupted) => {
                        self.begun = Some(begun);
                        return Err(interrupted);
                    }
                }
            }
            Err(fault) => Err(fault.clone()),
        };
        let BegunStep { mut report, logs } = begun;
        report.logs = logs.into_lines();
        report.duration += clock.elapsed();
        report.fault = said.as_ref().err().cloned();
        self.reports.push(report);
        Ok(match said {
            Ok(Said::Drop) => Some(PipelineEnd::Verdict(Verdict::Drop { step: index })),
            Err(fault) => Some(PipelineEnd::Fault { step: index, fault }),
            Ok(Said::Continue) if self.reports.len() == self.steps.len() => Some(self.keep()),
            Ok(Said::Continue) => None,
        })
    }

    /// With the reports of the steps that ran.
    pub(super) fn finish(self, end: PipelineEnd) -> PipelineRun {
        PipelineRun { steps: self.reports, end }
    }

    fn keep(&mut self) -> PipelineEnd {
        let nothing = Request {
            method: ShortText::default(),
            url: String::new(),
            headers: Vec::new(),
            body: RequestBody::None,
        };
        PipelineEnd::Verdict(Verdict::Keep(std::mem::replace(&mut self.draft, nothing)))
    }

    fn step(
        &mut self,
        invoker: &Invoker,
        watch: &Watch,
        plugin: &Plugin,
        settings: &Arc<str>,
        begun: &mut BegunStep,
    ) -> Result<Result<Said, Fault>, Interrupted> {
        for role in plugin.roles().into_iter().skip(begun.report.roles.len()) {
            // Copied only if something has been written to it.
            let logs = begun.logs.clone();
            let said = self.role(invoker, watch, plugin, settings, role, begun);
            if said.is_err() {
                begun.logs = logs;
                return said;
            }
            begun.report.roles.push(role);
            if !matches!(said, Ok(Ok(Said::Continue))) {
                return said;
            }
        }
        Ok(Ok(Said::Continue))
    }

    fn role(
        &mut self,
        invoker: &Invoker,
        watch: &Watch,
        plugin: &Plugin,
        settings: &Arc<str>,
        role: Role,
        BegunStep { report, logs }: &mut BegunStep,
    ) -> Result<Result<Said, Fault>, Interrupted> {
        let state = State::new(
            &invoker.limits,
            std::mem::take(logs),
            Arc::clone(settings),
            Arc::clone(&self.secrets),
            Some(Arc::clone(&self.event)),
        )
        .watched(watch);
        let attributes = convert::pairs(&self.attributes);
        let event = convert::event(&self.event, &attributes, &self.data);
        Ok(match role {
            Role::Filter => {
                let Some(guest) = &plugin.filter else { return Ok(Ok(Said::Continue)) };
                let accepted = account(invoker.filter(plugin, guest, state, event)?, logs, report);
                accepted.map(|accepted| if accepted || self.every_role { Said::Continue } else { Said::Drop })
            }
            Role::Mapper => {
                let Some(guest) = &plugin.mapper else { return Ok(Ok(Said::Continue)) };
                let data = account(invoker.map(plugin, guest, state, event)?, logs, report);
                data.map(|data| self.mapped(data))
            }
            Role::Transformer => {
                let Some(guest) = &plugin.transformer else { return Ok(Ok(Said::Continue)) };
                let called = invoker.transform(plugin, guest, state, event, &self.draft)?;
                account(called, logs, report).and_then(|request| self.transformed(request, logs))
            }
        })
    }

    fn mapped(&mut self, data: Arc<str>) -> Said {
        if !self.written {
            self.draft.body = RequestBody::Text(Arc::clone(&data));
        }
        self.data = data;
        Said::Continue
    }

    fn transformed(&mut self, request: Option<Request>, logs: &mut LogSink) -> Result<Said, Fault> {
        let Some(mut request) = request else {
            return Ok(Said::Drop);
        };
        for name in sendable::check(&mut request)? {
            logs.write(
                LogLevel::Warn,
                &format!("`{name}` is written by the engine; the plugin's is not sent"),
            );
        }
        self.draft = request;
        self.written = true;
        Ok(Said::Continue)
    }
}

/// Measures a step. Of one that pauses for others, only what it takes of the processor counts.
enum Clock {
    Wall(Instant),
    Own(OwnTime),
}

impl Clock {
    fn start(watch: &Watch) -> Self {
        match watch.pace {
            Pace::GivesWay { .. } => Self::Own(OwnTime::start()),
            Pace::Free | Pace::OneSlice => Self::Wall(Instant::now()),
        }
    }

    fn elapsed(&self) -> Duration {
        match self {
            Self::Wall(started) => started.elapsed(),
            Self::Own(time) => time.elapsed(),
        }
    }
}

impl BegunStep {
    fn new(step: &ReadyStep, invoker: &Invoker) -> Self {
        let report = StepReport {
            plugin: step.plugin.clone(),
            resolved: step.resolved.clone(),
            roles: Vec::new(),
            fuel: 0,
            fuel_granted: 0,
            duration: Duration::ZERO,
            memory_bytes: 0,
            logs: Vec::new(),
            fault: None,
        };
        Self { report, logs: LogSink::new(&invoker.limits) }
    }
}

/// Puts a call's costs on its step's report.
fn account<T>(called: Called<T>, logs: &mut LogSink, report: &mut StepReport) -> Result<T, Fault> {
    report.fuel = report.fuel.saturating_add(called.fuel);
    report.fuel_granted = report.fuel_granted.saturating_add(called.fuel_granted);
    report.memory_bytes = report.memory_bytes.max(called.memory_bytes);
    *logs = called.logs;
    called.answer
}
