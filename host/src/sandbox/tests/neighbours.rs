//! Measures the throughput of a tenant beside tenants with long calls, in the sandbox alone:
//!
//! ```text
//! MEASURE=../plugins/dist/javascript.wasm cargo test --lib sandbox::tests::neighbours -- --ignored --nocapture
//! ```

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::join_all;

use super::guest::Guest;
use super::*;

use crate::clock;

const SECONDS: u64 = 4;
/// Concurrent runs of each tenant.
const CONCURRENCY: usize = 16;

const GROWING: &str = "(loop $again (drop (memory.grow (i32.const 0))) (br $again)) (unreachable)";
const LOOPING: &str = "(loop $again (br $again)) (unreachable)";

struct Abuse {
    name: &'static str,
    digest: Digest,
    settings: &'static str,
    data: Arc<str>,
}

#[expect(clippy::print_stdout, clippy::disallowed_methods, reason = "a measurement, run by hand")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement without assertions"]
async fn throughput_beside_tenants_with_long_calls() {
    let test = Arc::new(TestSandbox::with(Limits::default(), crate::cores::count()));
    let path = std::env::var_os("MEASURE").expect("MEASURE is the path of javascript.wasm");
    let javascript = test.upload(std::fs::read(path).unwrap()).await;
    let small: Arc<str> = Arc::from(r#"{"a":1}"#);
    let large: Arc<str> = Arc::from(format!(r#"{{"a":"{}"}}"#, "x".repeat(900_000)));
    let abuses = [
        Abuse {
            name: "memory.grow",
            digest: test.keep(&Guest::filter(GROWING).component()),
            settings: "{}",
            data: Arc::clone(&small),
        },
        Abuse {
            name: "memory.grow, 0.9 MB",
            digest: test.keep(&Guest::filter(GROWING).component()),
            settings: "{}",
            data: Arc::clone(&large),
        },
        Abuse {
            name: "loop",
            digest: test.keep(&Guest::filter(LOOPING).component()),
            settings: "{}",
            data: Arc::clone(&large),
        },
        Abuse {
            name: "for(;;);",
            digest: javascript,
            settings: r#"{"script":"for(;;);"}"#,
            data: Arc::clone(&large),
        },
        Abuse {
            name: "3 ms each",
            digest: javascript,
            settings: r#"{"script":"let i = 0; while (i < 60000) i++; return event.data"}"#,
            data: Arc::clone(&small),
        },
    ];
    println!("alone: {}", measured(&test, javascript, None, 0).await);
    for abuse in &abuses {
        for tenants in [1, 3, 10] {
            println!(
                "beside {tenants} × {}: {}",
                abuse.name,
                measured(&test, javascript, Some(abuse), tenants).await
            );
        }
    }
    println!("alone: {}", measured(&test, javascript, None, 0).await);
}

async fn measured(test: &Arc<TestSandbox>, victim: Digest, abuse: Option<&Abuse>, tenants: i64) -> String {
    let over = Arc::new(AtomicBool::new(false));
    let mut hostile = Vec::new();
    for tenant in 0..tenants {
        for _ in 0..CONCURRENCY {
            let Abuse { digest, settings, data, .. } = abuse.unwrap();
            let (digest, settings, data) = (*digest, *settings, Arc::clone(data));
            let (test, over) = (Arc::clone(test), Arc::clone(&over));
            hostile.push(tokio::spawn(async move {
                let mut calls = 0;
                while !over.load(Ordering::Relaxed) {
                    let job = with(1_000 + tenant, digest, settings, &data);
                    tokio::time::timeout(Duration::from_millis(700), test.sandbox.run(job)).await.ok();
                    calls += 1;
                }
                calls
            }));
        }
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let until = clock::monotonic() + Duration::from_secs(SECONDS);
    let mine = (0..CONCURRENCY).map(|_| {
        let test = Arc::clone(test);
        tokio::spawn(async move {
            let mut times = Vec::new();
            while clock::monotonic() < until {
                let started = clock::monotonic();
                let job = with(1, victim, r#"{"script":"return event.data"}"#, r#"{"a":1}"#);
                test.sandbox.run(job).await.unwrap();
                times.push(clock::elapsed(started));
            }
            times
        })
    });
    let mut times: Vec<_> = join_all(mine).await.into_iter().flat_map(Result::unwrap).collect();
    over.store(true, Ordering::Relaxed);
    join_all(hostile).await;
    times.sort();
    let rate = times.len() as u64 / SECONDS;
    let at = |percent: usize| times.get(times.len() * percent / 100).copied().unwrap_or_default();
    format!(
        "{rate}/s, p50 {:?}, p99 {:?}, longest {:?}",
        at(50),
        at(99),
        times.last().copied().unwrap_or_default()
    )
}

fn with(tenant: i64, digest: Digest, settings: &str, data: impl AsRef<str>) -> PipelineJob {
    let data: Arc<str> = Arc::from(data.as_ref());
    let mut job = job(tenant, &[digest]);
    job.event = Arc::new(Event { data: Arc::clone(&data), ..event(tenant) });
    job.draft.body = RequestBody::Text(data);
    job.steps[0].settings = Arc::from(settings);
    job
}
