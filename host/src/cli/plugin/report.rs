//! The output of `plugin check` and `plugin run`.

use std::io::{self, Write};

use crate::cli::json::indented;
use crate::cli::style::{BAD, FAINT, GOOD, HEAD, MUTED, PLAIN};
use crate::domain::attempt::{LogLevel, LogLine};
use crate::domain::{Fault, FaultKind, Request, RequestBody, StepReport, Verdict};
use crate::sandbox::{Count, Inspected, Limits, PipelineEnd, PipelineRun};

/// Describes an accepted plugin.
pub(super) fn inspected(out: &mut impl Write, inspected: &Inspected) -> io::Result<()> {
    let roles: Vec<_> = inspected.roles.iter().map(|role| role.as_str()).collect();
    writeln!(out, "{GOOD}accepted{PLAIN}")?;
    row(out, "digest", &inspected.digest.to_string())?;
    row(out, "roles", &roles.join(", "))?;
    let imports = if inspected.imports.is_empty() { "none".to_owned() } else { inspected.imports.join(", ") };
    row(out, "imports", &imports)?;
    row(out, "size", &format!("{} bytes", Count(inspected.size_bytes)))?;
    inspected.warnings.iter().try_for_each(|words| warning(out, words))
}

/// Writes a warning about a likely mistake.
pub(super) fn warning(out: &mut impl Write, words: &str) -> io::Result<()> {
    writeln!(out, "{BAD}warning{PLAIN}  {words}")
}

/// Writes the result of a run. Returns whether it ended in a fault.
pub(super) fn run(out: &mut impl Write, run: &PipelineRun, limits: &Limits) -> io::Result<bool> {
    match &run.end {
        PipelineEnd::Verdict(Verdict::Keep(request)) => {
            writeln!(out, "{GOOD}keep{PLAIN}")?;
            show_request(out, request)?;
        }
        PipelineEnd::Verdict(Verdict::Drop { .. }) => writeln!(out, "{MUTED}drop{PLAIN}")?,
        PipelineEnd::Fault { fault, .. } => show_fault(out, fault)?,
    }
    for step in &run.steps {
        show_logs(out, &step.logs)?;
        show_cost(out, step, limits)?;
    }
    Ok(matches!(run.end, PipelineEnd::Fault { .. }))
}

fn show_request(out: &mut impl Write, request: &Request) -> io::Result<()> {
    writeln!(out, "\n{HEAD}{} {}{PLAIN}", request.method, request.url)?;
    for (name, value) in &request.headers {
        writeln!(out, "{name}: {value}")?;
    }
    writeln!(out)?;
    match &request.body {
        RequestBody::None => writeln!(out, "{FAINT}(no body){PLAIN}"),
        RequestBody::Text(text) => writeln!(out, "{}", indented(text)),
        RequestBody::Binary(bytes) => {
            writeln!(out, "{FAINT}({} bytes){PLAIN}", Count(bytes.len() as u64))
        }
    }
}

fn show_fault(out: &mut impl Write, fault: &Fault) -> io::Result<()> {
    let code = fault.code.as_ref().map(|code| format!(" ({code})")).unwrap_or_default();
    writeln!(out, "{BAD}{}{code}{PLAIN}: {}", fault.kind, fault.message)?;
    if fault.retryable {
        writeln!(out, "  the plugin reported that the same call may succeed later")?;
    }
    for frame in &fault.backtrace {
        writeln!(out, "    {FAINT}at {frame}{PLAIN}")?;
    }
    Ok(())
}

fn show_logs(out: &mut impl Write, logs: &[LogLine]) -> io::Result<()> {
    if !logs.is_empty() {
        writeln!(out, "\n{HEAD}log{PLAIN}")?;
    }
    for LogLine { level, message } in logs {
        let style = match level {
            LogLevel::Debug => FAINT,
            LogLevel::Info => HEAD,
            LogLevel::Warn => MUTED,
            LogLevel::Error => BAD,
        };
        writeln!(out, "  {style}{:<5}{PLAIN} {message}", level.as_str())?;
    }
    Ok(())
}

/// Writes the used and the allowed resources of a step; a limit that was reached is red.
fn show_cost(out: &mut impl Write, step: &StepReport, limits: &Limits) -> io::Result<()> {
    writeln!(out)?;
    let hit = step.fault.as_ref().map(|fault| fault.kind);
    let mut line = |name: &str, kind: FaultKind, text: String| {
        let (on, off) =
            if hit == Some(kind) { (format!("{BAD}"), format!("{PLAIN}")) } else { Default::default() };
        writeln!(out, "{on}{name:<8}{text}{off}")
    };
    let fuel = format!("{} of {}", Count(step.fuel), Count(step.fuel_granted));
    let memory = format!("{} of {} bytes", Count(step.memory_bytes), Count(limits.memory_bytes as u64));
    let micros = step.duration.as_micros();
    let time = format!("{}.{:03} ms of {} ms", micros / 1000, micros % 1000, limits.deadline_ms);
    line("fuel", FaultKind::OutOfFuel, fuel)?;
    line("memory", FaultKind::OutOfMemory, memory)?;
    line("time", FaultKind::Deadline, time)
}

fn row(out: &mut impl Write, name: &str, value: &str) -> io::Result<()> {
    writeln!(out, "  {HEAD}{name:<8}{PLAIN} {value}")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::domain::{Digest, StepOutput};

    fn text(show: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) -> String {
        let mut colored = Vec::new();
        show(&mut colored).unwrap();
        let mut out = anstream::StripStream::new(Vec::new());
        out.write_all(&colored).unwrap();
        String::from_utf8(out.into_inner()).unwrap()
    }

    fn step(fault: Option<Fault>) -> StepReport {
        StepReport {
            plugin: "plugin".parse().unwrap(),
            resolved: None,
            roles: Vec::new(),
            fuel: 1_234_567,
            fuel_granted: 50_034_000,
            duration: Duration::from_micros(1_042),
            memory_bytes: 65_536,
            output: StepOutput::default(),
            logs: vec![LogLine { level: LogLevel::Warn, message: "odd".to_owned() }],
            fault,
        }
    }

    #[test]
    fn the_request_and_the_used_resources_are_shown() {
        let request = Request {
            method: "POST".into(),
            url: "https://receiver.example/".to_owned(),
            headers: vec![("content-type".into(), "application/json".into())],
            body: RequestBody::Text(Arc::from(r#"{"a":1}"#)),
        };
        let kept = PipelineRun { steps: vec![step(None)], end: PipelineEnd::Verdict(Verdict::Keep(request)) };
        let limits = Limits::default();
        let shown = text(|out| run(out, &kept, &limits).map(|faulted| assert!(!faulted)));
        assert_eq!(
            shown,
            "keep\n\nPOST https://receiver.example/\ncontent-type: application/json\n\n{\n  \"a\": 1\n}\n\n\
             log\n  warn  odd\n\nfuel    1,234,567 of 50,034,000\n\
             memory  65,536 of 67,108,864 bytes\ntime    1.042 ms of 500 ms\n"
        );
    }

    #[test]
    fn a_limit_that_was_reached_is_red() {
        let fault = Fault::new(FaultKind::OutOfFuel, "used up its fuel");
        let end = PipelineEnd::Fault { step: 0, fault: fault.clone() };
        let faulted = PipelineRun { steps: vec![step(Some(fault))], end };
        let mut out = Vec::new();
        assert!(run(&mut out, &faulted, &Limits::default()).unwrap());
        let shown = String::from_utf8(out).unwrap();
        assert!(shown.contains(&format!("\n{BAD}fuel")), "{shown:?}");
        assert!(shown.contains("\nmemory"), "{shown:?}");
    }

    #[test]
    fn an_accepted_plugin_is_described() {
        let imports = vec!["hookwright:plugin/log@1.0.0".to_owned()];
        let roles = vec![crate::domain::Role::Filter, crate::domain::Role::Mapper];
        let plugin = Inspected {
            digest: Digest([0; 32]),
            roles,
            imports,
            size_bytes: 12_345,
            warnings: vec!["odd".to_owned()],
        };
        let shown = text(|out| inspected(out, &plugin));
        assert!(shown.contains("roles    filter, mapper\n"), "{shown}");
        assert!(
            shown.contains("imports  hookwright:plugin/log@1.0.0\n  size     12,345 bytes\nwarning  odd\n"),
            "{shown}"
        );
    }
}
