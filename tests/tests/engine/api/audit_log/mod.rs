//! The audit log.

mod contents;
mod coverage;

use hookwright_tests::Client;
use serde_json::Value;

/// All entries that `client` sees with these query parameters, newest first.
async fn entries(client: &Client, query: &str) -> Vec<Value> {
    let (mut all, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = client.get(&format!("/audit-log?limit=100{query}{cursor}")).await.expect(200);
        all.extend(page["data"].as_array().unwrap().iter().cloned());
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return all,
        }
    }
}
