//! A record of requests and their responses, without what differs from run to run.

use std::collections::HashMap;
use std::fmt::Write as _;

use hookwright_tests::{Client, Response};
use serde_json::Value;

/// The prefixes of ids.
const IDS: [&str; 6] = ["ten_", "key_", "hook_", "evt_", "dlv_", "atp_"];
/// The beginnings of texts that differ as a whole.
const RANDOM: [&str; 3] = ["whsec_", "hwk_", "sha256:"];
/// Headers whose values differ.
const HEADERS: [&str; 5] = ["date", "etag", "user-agent", "webhook-signature", "webhook-timestamp"];
/// Members whose numbers or texts differ.
const MEMBERS: [&str; 7] =
    ["duration_ms", "duration_us", "fuel", "fuel_granted", "password", "size_bytes", "webhook-timestamp"];

/// Requests of one client, and their responses.
pub(super) struct Transcript {
    client: Client,
    text: String,
    /// What each id is shown as.
    ids: HashMap<String, String>,
}

impl Transcript {
    pub(super) fn new(client: Client) -> Self {
        Self { client, text: String::new(), ids: HashMap::new() }
    }

    /// Continues with another client.
    pub(super) fn with(self, client: Client) -> Self {
        Self { client, ..self }
    }

    /// The record so far.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Sends a request to a path under `/api/v3`, with a JSON body if there is one. Returns the response's body, unmasked.
    pub(super) async fn call(&mut self, method: &str, path: &str, body: Value) -> Value {
        let sent = if body.is_null() { String::new() } else { body.to_string() };
        let kind = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
        self.text_body(method, path, kind, &sent).await
    }

    /// Posts lines of JSON.
    pub(super) async fn lines(&mut self, path: &str, lines: &str) -> Value {
        self.text_body("POST", path, "application/x-ndjson", lines).await
    }

    /// Sends a text of this content type.
    pub(super) async fn text_body(&mut self, method: &str, path: &str, kind: &str, body: &str) -> Value {
        let headers = [("content-type", kind)];
        let headers = if body.is_empty() { &[][..] } else { &headers[..] };
        let response = self.client.send(method, &format!("/api/v3{path}"), body.to_owned(), headers).await;
        self.record(method, path, body, &response)
    }

    /// Uploads a plugin.
    pub(super) async fn upload(&mut self, path: &str, wasm: Vec<u8>) -> Value {
        let headers = [("content-type", "application/wasm")];
        let response = self.client.send("PUT", &format!("/api/v3{path}"), wasm, &headers).await;
        self.record("PUT", path, "(Wasm)", &response)
    }

    fn record(&mut self, method: &str, path: &str, sent: &str, response: &Response) -> Value {
        let body = response.json();
        let mut text = format!("{method} {path}");
        if !sent.is_empty() {
            text += &format!("\n{}", sent.trim_end());
        }
        text += &format!("\n\n{}", response.status);
        for name in ["content-type", "location", "allow", "retry-after", "cache-control"] {
            if let Some(value) = response.headers.get(name) {
                text += &format!("\n{name}: {}", value.to_str().unwrap());
            }
        }
        let mut masked = body.clone();
        self.mask(&mut masked);
        if !body.is_null() {
            text += &format!("\n{}", serde_json::to_string_pretty(&masked).unwrap());
        }
        let text = self.mask_text(&text);
        writeln!(self.text, "{text}\n\n---\n").unwrap();
        body
    }

    fn mask(&mut self, value: &mut Value) {
        match value {
            Value::String(text) => *text = self.mask_text(text),
            Value::Array(elements) => elements.iter_mut().for_each(|element| self.mask(element)),
            Value::Object(members) => {
                let is_header = members.get("name").and_then(Value::as_str).is_some_and(differs);
                for (name, member) in members {
                    let hides =
                        MEMBERS.contains(&name.as_str()) || differs(name) || (is_header && name == "value");
                    if hides && !member.is_null() {
                        *member = "(masked)".into();
                    } else {
                        self.mask(member);
                    }
                }
            }
            _ => {}
        }
    }

    /// Numbers ids in the order of their appearance, and masks times, random texts and ports.
    fn mask_text(&mut self, text: &str) -> String {
        let is_part = |letter: char| letter.is_ascii_alphanumeric() || "_-+/=:.".contains(letter);
        let mut masked = String::new();
        let mut rest = text;
        while let Some(start) = rest.find(is_part) {
            masked += &rest[..start];
            rest = &rest[start..];
            let end = rest.find(|letter| !is_part(letter)).unwrap_or(rest.len());
            masked += &self.mask_word(&rest[..end]);
            rest = &rest[end..];
        }
        masked + rest
    }

    fn mask_word(&mut self, word: &str) -> String {
        if let Some(prefix) =
            RANDOM.iter().find(|prefix| word.len() > prefix.len() && word.starts_with(**prefix))
        {
            return format!("{prefix}(masked)");
        }
        if word.len() >= 20 && word.ends_with('Z') && word.as_bytes()[10] == b'T' {
            return "(time)".to_owned();
        }
        if let Some((before, after)) = word.split_once("127.0.0.1:")
            && after.starts_with(|letter: char| letter.is_ascii_digit())
        {
            return format!(
                "{before}127.0.0.1:(port){}",
                after.trim_start_matches(|digit: char| digit.is_ascii_digit())
            );
        }
        // Ids also appear in paths.
        let parts = word.split('/').map(|part| match IDS.iter().find(|prefix| part.starts_with(**prefix)) {
            Some(prefix) if part.len() > prefix.len() + 8 => {
                let known = self.ids.values().filter(|shown| shown.starts_with(*prefix)).count();
                self.ids.entry(part.to_owned()).or_insert_with(|| format!("{prefix}{}", known + 1)).clone()
            }
            _ => part.to_owned(),
        });
        parts.collect::<Vec<_>>().join("/")
    }
}

fn differs(header: &str) -> bool {
    HEADERS.iter().any(|name| header.eq_ignore_ascii_case(name))
}
