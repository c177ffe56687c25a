//! Measures the calls of a plugin with the default limits:
//!
//! ```text
//! MEASURE=plugin.wasm CARGO_PROFILE_TEST_OPT_LEVEL=3 cargo test --lib sandbox::tests::measure -- --ignored --nocapture
//! ```

use std::time::Duration;

use super::*;

use crate::clock;

const CALLS: u32 = 3000;

#[expect(clippy::print_stdout, clippy::disallowed_methods, reason = "a measurement, run by hand")]
#[tokio::test]
#[ignore = "a measurement without assertions"]
async fn cost_of_a_call() {
    let path = std::env::var_os("MEASURE").expect("MEASURE is a plugin's path");
    let settings = std::env::var("MEASURE_SETTINGS").unwrap_or_else(|_| "{}".to_owned());
    let test = TestSandbox::with(Limits::default(), 1);
    let started = clock::monotonic();
    let digest = test.upload(std::fs::read(path).unwrap()).await;
    println!("inspected in {:?}", clock::elapsed(started));
    for bytes in [1_000, 10_000, 100_000] {
        let items = vec![r#"{"name":"value","number":12.5,"list":[1,2,3]}"#; bytes / 46].join(",");
        let data: Arc<str> = Arc::from(format!(r#"{{"a":1,"items":[{items}]}}"#));
        let mut times = Vec::new();
        let started = clock::monotonic();
        let mut last = None;
        for _ in 0..CALLS {
            let mut job = job(1, &[digest]);
            job.event = Arc::new(Event { data: Arc::clone(&data), ..event(1) });
            job.draft.body = RequestBody::Text(Arc::clone(&data));
            job.steps[0].settings = Arc::from(settings.as_str());
            let run = test.sandbox.run(job).await.unwrap();
            times.push(run.steps[0].duration);
            last = Some(run);
        }
        let each = clock::elapsed(started) / CALLS;
        times.sort();
        let mean = times.iter().sum::<Duration>() / CALLS;
        let run = last.unwrap();
        println!(
            "{} bytes: step median {:?}, mean {mean:?}, p99 {:?}; with queue {each:?}; fuel {}, memory {}; {}",
            data.len(),
            times[times.len() / 2],
            times[times.len() * 99 / 100],
            run.steps[0].fuel,
            run.steps[0].memory_bytes,
            match &run.end {
                PipelineEnd::Fault { fault, .. } => format!("{fault:?}"),
                PipelineEnd::Verdict(crate::domain::Verdict::Keep(_)) => "keep".to_owned(),
                PipelineEnd::Verdict(crate::domain::Verdict::Drop { .. }) => "drop".to_owned(),
            }
        );
    }
}
