//! The view on a terminal: a real program on a real pseudo-terminal, whose screen an emulator reads.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering::SeqCst};

use hookwright_tests::{Client, Receiver, Reply, Server, TIMEOUT};
use pty_process::{Pty, Size};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Child;

use super::forward::is_signed;
use crate::{BINARY, engine, hook};

/// Runs the command, and says how it left the terminal.
const SCRIPT: &str =
    r#"trap : TERM; "$0" listen "$@"; code=$?; stty -a | tail -n 2; echo "ended with $code, done""#;

struct Terminal {
    pty: Pty,
    emulator: vt100::Parser,
    child: Child,
}

impl Terminal {
    fn start(server: &Server, key: &str, options: &[&str], environment: &[(&str, &str)]) -> Self {
        let (pty, pts) = pty_process::open().unwrap();
        pty.resize(Size::new(24, 110)).unwrap();
        let child = pty_process::Command::new("sh")
            .args(["-c", SCRIPT])
            .arg(BINARY)
            .args(options)
            .env("HOOKWRIGHT_URL", server.base())
            .env("HOOKWRIGHT_KEY", key)
            .env("TERM", "xterm-256color")
            .env_remove("NO_COLOR")
            .envs(environment.iter().copied())
            .kill_on_drop(true)
            .spawn(pts)
            .unwrap();
        Self { pty, emulator: vt100::Parser::new(24, 110, 1_000), child }
    }

    fn text(&self) -> String {
        self.emulator.screen().contents()
    }

    /// Reads until the screen is as wanted.
    async fn until(&mut self, wanted: impl Fn(&vt100::Screen) -> bool) {
        let mut bytes = [0; 4096];
        while !wanted(self.emulator.screen()) {
            let read = tokio::time::timeout(TIMEOUT, self.pty.read(&mut bytes)).await;
            match read {
                Ok(Ok(count)) if count > 0 => self.emulator.process(&bytes[..count]),
                _ => panic!("the screen stays so:\n{}", self.text()),
            }
        }
    }

    async fn until_text(&mut self, text: &str) {
        self.until(|screen| screen.contents().contains(text)).await;
    }

    async fn until_gone(&mut self, text: &str) {
        self.until(|screen| !screen.contents().contains(text)).await;
    }

    async fn press(&mut self, keys: &str) {
        self.pty.write_all(keys.as_bytes()).await.unwrap();
    }

    /// Waits for its end, and checks that the terminal is as before.
    async fn ended(mut self, code: i32) -> String {
        self.until_text(", done").await;
        let screen = self.emulator.screen();
        assert!(!screen.alternate_screen() && !screen.hide_cursor());
        let text = screen.contents();
        assert!(text.contains(&format!("ended with {code}, done")), "{text}");
        let words: Vec<&str> = text.split_whitespace().collect();
        assert!(words.contains(&"icanon") && words.contains(&"echo"), "{text}");
        text
    }
}

async fn key(client: &Client) -> String {
    client.post("/keys", json!({"name": "k"})).await.expect(201)["key"].as_str().unwrap().to_owned()
}

/// The line on which the selection is.
fn selected(screen: &vt100::Screen) -> String {
    screen.contents().lines().find(|line| line.starts_with("> ")).unwrap_or_default().to_owned()
}

#[tokio::test]
async fn deliveries_are_selected_opened_and_retried_by_key() {
    let (server, client) = engine().await;
    let status = Arc::new(AtomicU16::new(500));
    let current = Arc::clone(&status);
    let receiver = Receiver::responding(move |_| {
        Reply::Status(current.load(SeqCst), Vec::new(), b"the answer\x1b[2J of the receiver".to_vec())
    })
    .await;
    hook(&client, &receiver, json!({"retry": {"schedule_s": [600]}})).await;
    let earlier = client.publish("order.earlier", json!({})).await;
    client.deliveries_when(&earlier, |delivery| delivery["state"] == "waiting").await;
    let mut terminal = Terminal::start(&server, &key(&client).await, &[], &[]);
    terminal.until_text("connected").await;
    terminal.until_text("order.earlier").await;
    assert!(terminal.emulator.screen().alternate_screen());
    let event = client.publish("order.paid", json!({"n": 1.5})).await;
    terminal.until(|screen| selected(screen).contains("order.paid")).await;
    terminal.until(|screen| selected(screen).contains("waiting     500")).await;
    terminal.press("j").await;
    terminal.until(|screen| selected(screen).contains("order.earlier")).await;
    terminal.press("\x1b[A").await;
    terminal.until(|screen| selected(screen).contains("order.paid")).await;
    terminal.press("\r").await;
    terminal.until_text("the answer of the receiver").await;
    for text in ["waiting: the last attempt failed", &event, "attempt 1", "> POST http"] {
        assert!(terminal.text().contains(text), "{text}: {}", terminal.text());
    }
    terminal.press("G").await;
    terminal.until_text("\"n\": 1.5").await;
    assert!(!terminal.text().contains("waiting: the last attempt failed"));
    terminal.press("\x1b").await;
    terminal.until_text("TIME UTC").await;
    status.store(200, SeqCst);
    terminal.press("r").await;
    terminal.until(|screen| selected(screen).contains("succeeded   200")).await;
    assert_eq!(client.finished(&event).await[0]["state"], "succeeded");
    terminal.press("?").await;
    terminal.until_text("Ctrl-C").await;
    terminal.press("q").await;
    terminal.ended(0).await;
}

#[tokio::test]
async fn a_paused_view_counts_and_another_size_is_used() {
    let (server, client) = engine().await;
    let receiver = Receiver::start().await;
    hook(&client, &receiver, json!({})).await;
    let mut terminal = Terminal::start(&server, &key(&client).await, &[], &[("NO_COLOR", "1")]);
    terminal.until_text("connected").await;
    terminal.press("p").await;
    terminal.until_text("paused, 0 new").await;
    client.publish("order.paid", json!({})).await;
    terminal.until_text("paused, 1 new").await;
    assert!(!terminal.text().contains("order.paid"));
    terminal.press("p").await;
    terminal.until_text("order.paid").await;
    terminal.pty.resize(Size::new(12, 60)).unwrap();
    terminal.emulator.screen_mut().set_size(12, 60);
    // The hook has no room any more, and the last line is where the screen ends.
    terminal.until_gone("HOOK").await;
    terminal.until(|screen| screen.contents().lines().count() == 12).await;
    assert!(terminal.text().lines().last().unwrap().contains("q quit"), "{}", terminal.text());
    for row in 0..12 {
        for column in 0..60 {
            let cell = terminal.emulator.screen().cell(row, column);
            assert_eq!(cell.unwrap().fgcolor(), vt100::Color::Default);
        }
    }
    terminal.press("\x03").await;
    terminal.ended(0).await;
}

#[tokio::test]
async fn deliveries_are_forwarded_and_forwarded_again_by_key() {
    let (server, client) = engine().await;
    let (remote, local) = (Receiver::start().await, Receiver::responding(|_| Reply::status(201)).await);
    hook(&client, &remote, json!({"paused": true})).await;
    let target = local.url("/");
    let mut terminal = Terminal::start(&server, &key(&client).await, &["--forward", &target], &[]);
    terminal.until_text("signed with whsec_").await;
    terminal.until_text("  connected").await;
    let text = terminal.text();
    let secret = text.split("signed with ").nth(1).unwrap().split_whitespace().next().unwrap();
    client.publish("order.paid", json!({})).await;
    terminal.until(|screen| selected(screen).contains("201 ")).await;
    assert!(is_signed(&local.next().await, secret));
    assert_eq!(local.so_far().len(), 0);
    terminal.press("f").await;
    terminal.until_text("forwarded: 201 in").await;
    assert!(is_signed(&local.next().await, secret));
    terminal.press("q").await;
    terminal.ended(0).await;
}

#[tokio::test]
async fn the_terminal_is_restored_by_a_signal_and_by_an_error() {
    let (server, client) = engine().await;
    let mut terminal = Terminal::start(&server, &key(&client).await, &[], &[]);
    terminal.until_text("  connected").await;
    let group = format!("-{}", terminal.child.id().unwrap());
    let killed = tokio::process::Command::new("kill").args(["-TERM", "--", &group]).status().await.unwrap();
    assert!(killed.success());
    terminal.ended(0).await;

    let made = client.post("/keys", json!({"name": "k"})).await.expect(201);
    let mut terminal = Terminal::start(&server, made["key"].as_str().unwrap(), &[], &[]);
    terminal.until_text("  connected").await;
    client
        .send("DELETE", &format!("/api/v3/keys/{}", made["id"].as_str().unwrap()), "", &[])
        .await
        .expect(204);
    let text = terminal.ended(2).await;
    assert!(text.contains("401"), "{text}");
}
