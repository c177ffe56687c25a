//! The sequence of steps and roles.

use super::guest::{ACCEPT, Guest, REJECT, changing, returning};
use super::*;
use crate::domain::Verdict;
use crate::domain::attempt::LogLevel;
use crate::domain::plugin::Role;

fn kept(run: &PipelineRun) -> &Request {
    match &run.end {
        PipelineEnd::Verdict(Verdict::Keep(request)) => request,
        other => panic!("not kept: {other:?}"),
    }
}

#[tokio::test]
async fn a_pipeline_without_steps_sends_the_draft() {
    let run = TestSandbox::new().run(1, &[]).await;
    assert_eq!(*kept(&run), job(1, &[]).draft);
    assert!(run.steps.is_empty());
}

/// Resident size of a plugin's compiled code, mapped from `dir`.
#[cfg(target_os = "linux")]
fn resident_kilobytes(dir: &std::path::Path, digest: &Digest) -> u64 {
    let name = format!("{}/{}", dir.display(), digest.to_hex());
    let (mut in_mapping, mut kilobytes) = (false, 0);
    for line in std::fs::read_to_string("/proc/self/smaps").unwrap().lines() {
        match line.split_once(':') {
            Some(("Rss", value)) if in_mapping => {
                kilobytes += value.trim().trim_end_matches(" kB").parse::<u64>().unwrap();
            }
            // The first line of a mapping starts with a hexadecimal range.
            _ if line.split('-').next().is_some_and(|start| u64::from_str_radix(start, 16).is_ok()) => {
                in_mapping = line.contains(&name);
            }
            _ => {}
        }
    }
    kilobytes
}

#[tokio::test]
async fn code_with_released_pages_runs_as_before() {
    let TestSandbox { sandbox, store, dir } = TestSandbox::new();
    drop(sandbox);
    let cold = dir.path().join("cold");
    let cache_dir = cold.clone();
    let config =
        SandboxConfig { threads: 2, limits: limits(), warm_code_bytes: 0, ..SandboxConfig::new(cache_dir) };
    let sandbox = Sandbox::start(config, Arc::clone(&store) as Arc<dyn WasmSource>).unwrap();
    let test = TestSandbox { sandbox, store, dir };
    let one = test.upload(returning("[1]").component()).await;
    let two = test.upload(returning("[2]").component()).await;
    let first = test.run(1, &[one, two]).await;
    assert_eq!(kept(&first).body, RequestBody::Text(Arc::from("[2]")));
    // The last used plugin stays warm; the pages of the other are released.
    #[cfg(target_os = "linux")]
    {
        test.run(1, &[one]).await;
        let (one_used, two_released) = [one, two].map(|it| resident_kilobytes(&cold, &it)).into();
        test.run(1, &[two]).await;
        let (one_released, two_used) = [one, two].map(|it| resident_kilobytes(&cold, &it)).into();
        // The first pages of linear memories are in the same file and stay resident.
        assert!(one_released < one_used, "{one_released} of {one_used} KB");
        assert!(two_released < two_used, "{two_released} of {two_used} KB");
    }
    for _ in 0..50 {
        // Each step releases the pages of the other plugin.
        let (there, back) = ([one, two], [two, one]);
        let (run, other) = tokio::join!(test.run(1, &there), test.run(2, &back));
        assert_eq!(run.end, first.end);
        assert_eq!(kept(&other).body, RequestBody::Text(Arc::from("[1]")));
    }
}

#[tokio::test]
async fn a_filter_that_rejects_ends_the_pipeline() {
    let test = TestSandbox::new();
    let accept = test.upload(Guest::filter(ACCEPT).component()).await;
    let reject = test.upload(Guest::filter(REJECT).component()).await;
    let run = test.run(1, &[accept, reject, accept]).await;
    assert_eq!(run.end, PipelineEnd::Verdict(Verdict::Drop { step: 1 }));
    assert_eq!(run.steps.len(), 2);
    assert_eq!(run.steps[1].roles, [Role::Filter]);
}

#[tokio::test]
async fn a_step_reports_its_cost_and_log_deterministically() {
    let test = TestSandbox::new();
    let log = "(call $write (i32.const 3) (i32.const 2048) (i32.const 2))";
    let guest = Guest::filter(&format!("{log} {ACCEPT}")).log().with(r#"(data (i32.const 2048) "hi")"#);
    let digest = test.upload(guest.component()).await;
    let first = test.run(1, &[digest]).await.steps.remove(0);
    let second = test.run(1, &[digest]).await.steps.remove(0);
    assert_eq!((first.fuel, first.memory_bytes), (second.fuel, second.memory_bytes));
    assert!(first.fuel > 1_000 && first.fuel < 2_000, "{}", first.fuel);
    assert_eq!(first.memory_bytes, 3 << 16);
    assert!(!first.duration.is_zero());
    assert_eq!(
        first.logs,
        [crate::domain::attempt::LogLine { level: LogLevel::Error, message: "hi".to_owned() }]
    );
    assert_eq!(first.resolved.unwrap().digest, digest);
}

#[tokio::test]
async fn the_body_equals_the_data_until_a_transformer_has_run() {
    let test = TestSandbox::new();
    let one = test.upload(returning("[1]").component()).await;
    let two = test.upload(returning("[2]").component()).await;
    // Returns its draft with the event's data, at 32 of the arguments, as the body.
    let data = "(i32.store8 (i32.const 1056) (i32.const 1)) \
        (i64.store align=4 (i32.const 1060) (i64.load align=4 (i32.add (local.get $args) (i32.const 32))))";
    let body = test.upload(changing(data).component()).await;
    let as_it_is = test.upload(changing("").component()).await;
    for (steps, text) in [
        (vec![one], "[1]"),
        (vec![one, two], "[2]"),
        (vec![one, as_it_is], "[1]"),
        (vec![as_it_is, one], r#"{"a":1}"#),
        (vec![as_it_is, one, body], "[1]"),
        (vec![one, body, two], "[1]"),
    ] {
        let run = test.run(1, &steps).await;
        assert_eq!(kept(&run).body, RequestBody::Text(Arc::from(text)));
    }
}

#[tokio::test]
async fn a_transformer_that_returns_none_drops_the_delivery() {
    let test = TestSandbox::new();
    let none = test.upload(Guest::transformer("(i32.const 1024)").component()).await;
    assert_eq!(test.run(1, &[none]).await.end, PipelineEnd::Verdict(Verdict::Drop { step: 0 }));
}

#[tokio::test]
async fn a_header_that_the_engine_sets_is_removed_with_a_log_line() {
    let test = TestSandbox::new();
    let headers = "(i32.store (i32.const 2048) (i32.const 3072)) (i32.store (i32.const 2052) (i32.const 4)) \
        (i32.store (i32.const 2056) (i32.const 3072)) (i32.store (i32.const 2060) (i32.const 4)) \
        (i32.store (i32.const 1048) (i32.const 2048)) (i32.store (i32.const 1052) (i32.const 1))";
    let guest = changing(headers).with(r#"(data (i32.const 3072) "Host")"#);
    let digest = test.upload(guest.component()).await;
    let run = test.run(1, &[digest]).await;
    assert!(kept(&run).headers.is_empty());
    assert_eq!(
        run.steps[0].logs[0].message,
        "the header `host` is set by the engine; the plugin's value is not sent"
    );
}

#[tokio::test]
async fn a_plugin_reads_its_settings() {
    let test = TestSandbox::new();
    // Returns the settings as data.
    let guest = Guest::mapper("(call $get (i32.const 1028)) (i32.const 1024)").import(
        "hookwright:plugin/config@1.0.0",
        "get",
        "(param i32)",
    );
    let digest = test.upload(guest.component()).await;
    let mut job = job(1, &[digest]);
    job.steps[0].settings = Arc::from(r#"{"key":"value"}"#);
    let run = test.sandbox.run(job).await.unwrap();
    assert_eq!(kept(&run).body, RequestBody::Text(Arc::from(r#"{"key":"value"}"#)));
}

#[tokio::test]
async fn a_plugin_hashes_with_secrets_that_it_never_sees() {
    let test = TestSandbox::new();
    let hash = |len: usize| {
        let call = format!(
            "(call $hmac-sha256 (i32.const 2048) (i32.const {len}) (i32.const 2048) (i32.const 0) (i32.const 3072))"
        );
        // Logs the text of an error. Accepts a result of 32 bytes.
        let body = format!(
            "{call} (if (i32.load8_u (i32.const 3072)) (then (call $write (i32.const 1) \
             (i32.load (i32.const 3076)) (i32.load (i32.const 3080))))) \
             (i32.store8 (i32.const 1028) (i32.eq (i32.load (i32.const 3080)) (i32.const 32))) (i32.const 1024)"
        );
        Guest::filter(&body)
            .log()
            .import("hookwright:plugin/secrets@1.0.0", "hmac-sha256", "(param i32 i32 i32 i32 i32)")
            .with(r#"(data (i32.const 2048) "signing")"#)
    };
    let known = test.upload(hash(7).component()).await;
    let run = test.run(1, &[known]).await;
    kept(&run);
    let unknown = test.upload(hash(4).component()).await;
    let run = test.run(1, &[unknown]).await;
    assert_eq!(run.steps[0].logs[0].message, "unknown secret `sign`; this hook has `signing`");
}

#[tokio::test]
async fn an_unresolved_step_ends_with_its_fault() {
    let test = TestSandbox::new();
    let mut job = job(1, &[Digest([0; 32])]);
    let fault = Fault::new(crate::domain::FaultKind::Unavailable, "there is no plugin `x`");
    job.steps[0].resolved = Err(fault.clone());
    let run = test.sandbox.run(job).await.unwrap();
    assert_eq!(run.end, PipelineEnd::Fault { step: 0, fault });
    assert_eq!(run.steps[0].resolved, None);
}

#[tokio::test]
async fn a_run_after_shutdown_fails_at_once() {
    let test = TestSandbox::new();
    test.sandbox.shutdown();
    let error = test.sandbox.run(job(1, &[])).await.unwrap_err();
    assert!(matches!(error, SandboxError::ShutDown));
}
