//! Replays with a pipeline of their own, and which of their deliveries may have been sent twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hookwright_tests::{Receiver, Reply, Server};
use serde_json::json;

use super::jobs::{START, deliveries_in, has_ended, job_when, publish, start};
use crate::start::patch_hook;
use crate::{BINARY, hook};

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_runs_its_own_pipeline_also_after_kills_and_in_retries() {
    let fails = Arc::new(AtomicBool::new(true));
    let failing = Arc::clone(&fails);
    let receiver = Receiver::responding(move |_| match failing.load(Ordering::SeqCst) {
        true => Reply::status(500),
        false => Reply::status(200),
    })
    .await;
    let mut server = Server::start(BINARY).await;
    let mut client = server.tenant("acme").await;
    let script = |name: &str| {
        let script = format!("return {{ body: {{ by: {name:?}, n: event.data.n }} }};");
        json!([{"plugin": "javascript", "settings": {"script": script}}])
    };
    let waits = json!({"schedule_s": [604_800]});
    let own = json!({"enabled": false, "pipeline": script("hook"), "retry": waits});
    let id = hook(&client, &receiver, own).await;
    publish(&client, "t", 9).await;
    patch_hook(&client, &id, json!({"enabled": true})).await;
    let path = format!("/hooks/{id}/replays");
    let mut replay = json!({"since": START, "missed": true, "pipeline": script("replay"), "dry_run": true});
    let shown = client.post(&path, replay.clone()).await.expect(200);
    let first = &shown["first"][0];
    assert_eq!(first["now"]["request"]["body"], r#"{"by":"replay","n":0}"#, "{first:#}");
    assert_eq!(first["hook_pipeline"]["request"]["body"], r#"{"by":"hook","n":0}"#);
    assert_eq!(first["differs_from_hook"], json!(["body"]));
    replay["dry_run"] = json!(false);
    let job = start(&client, &path, replay).await;
    job_when(&client, &job, |job| has_ended(job) && job["outstanding"] == 0).await;
    assert_eq!(deliveries_in(&client, "waiting", 9).await[0]["job"], job);
    server.kill().await;
    server = server.restart().await;
    client = client.at(server.base());
    // Now the request that is stored for a retry is of no use any more.
    patch_hook(&client, &id, json!({"headers": {"x-a": "1"}})).await;
    fails.store(false, Ordering::SeqCst);
    let retry = json!({"hook": id, "states": ["waiting"]});
    let retried = start(&client, "/deliveries/retries", retry).await;
    job_when(&client, &retried, has_ended).await;
    deliveries_in(&client, "succeeded", 9).await;
    assert!(receiver.so_far().iter().all(|arrival| arrival.json()["by"] == "replay"));
    let shown = client.get(&format!("/jobs/{job}")).await.expect(200);
    assert_eq!(shown["plugins"], json!(["javascript"]));
    client.publish("t", json!({"n": 9})).await;
    assert_eq!(receiver.next().await.json(), json!({"by": "hook", "n": 9}));
    // Without plugins, the event is sent as it is.
    let plain = json!({"since": START, "types": ["t"], "states": ["succeeded"], "pipeline": []});
    let job = start(&client, &path, plain).await;
    assert_eq!(job_when(&client, &job, |job| has_ended(job) && job["outstanding"] == 0).await["made"], 10);
    deliveries_in(&client, "succeeded", 20).await;
    assert!(receiver.so_far().iter().all(|arrival| arrival.json()["by"].is_null()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_have_been_sent_twice_is_shown() {
    let hangs = Arc::new(AtomicBool::new(true));
    let hanging = Arc::clone(&hangs);
    let receiver = Receiver::responding(move |_| match hanging.load(Ordering::SeqCst) {
        true => Reply::Never,
        false => Reply::status(200),
    })
    .await;
    let mut server = Server::start(BINARY).await;
    let mut client = server.tenant("acme").await;
    let id = hook(&client, &receiver, json!({"enabled": false})).await;
    publish(&client, "t", 3).await;
    patch_hook(&client, &id, json!({"enabled": true})).await;
    let replay = json!({"since": START, "missed": true});
    let job = start(&client, &format!("/hooks/{id}/replays"), replay).await;
    receiver.next().await;
    let before = client.get(&format!("/deliveries?job={job}")).await.expect(200);
    assert!(before["data"].as_array().unwrap().iter().all(|it| it["interrupted"] == 0), "{before:#}");
    server.kill().await;
    hangs.store(false, Ordering::SeqCst);
    server = server.restart().await;
    client = client.at(server.base());
    deliveries_in(&client, "succeeded", 3).await;
    let ended = job_when(&client, &job, has_ended).await;
    let twice = client.get(&format!("/deliveries?job={job}&interrupted=true")).await.expect(200);
    let twice = twice["data"].as_array().unwrap();
    assert!(!twice.is_empty() && ended["interrupted"] == twice.len(), "{ended:#} {twice:#?}");
    let one = client.get(&format!("/deliveries/{}", twice[0]["id"].as_str().unwrap())).await.expect(200);
    assert_eq!((&one["interrupted"], &one["job"]), (&json!(1), &json!(job)));
    let none = client.get("/deliveries?interrupted=true&state=exhausted").await.expect(200);
    assert_eq!(none["data"], json!([]));
    client.get("/deliveries?interrupted=maybe").await.expect(400);
    // What a process that is told to stop has not begun is not among them.
    assert_eq!(server.terminate().await, Some(0));
    server = server.restart().await;
    client = client.at(server.base());
    let after = client.get("/deliveries?interrupted=true").await.expect(200);
    assert_eq!(after["data"].as_array().unwrap().len(), twice.len());
}
