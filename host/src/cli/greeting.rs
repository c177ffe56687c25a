//! What `hookwright serve` writes to standard output when the engine serves.

use std::io::{self, Write};
use std::path::Path;

use serde_json::json;
use tracing::Level;

use super::style::{BAD, FAINT, HEAD, PLAIN};
use crate::app::Origin;
use crate::config::LogFormat;
use crate::telemetry::json_line;

/// Where the engine is, and the operator's key if it was just generated.
pub(super) struct Greeting<'a> {
    pub(super) api: Origin,
    pub(super) admin: Option<Origin>,
    pub(super) data_dir: &'a Path,
    pub(super) has_console: bool,
    pub(super) new_key: Option<&'a str>,
}

impl Greeting<'_> {
    pub(super) fn write(&self, out: &mut impl Write, format: LogFormat) -> io::Result<()> {
        match format {
            LogFormat::Text => self.write_text(out)?,
            LogFormat::Json => self.write_json(out)?,
        }
        out.flush()
    }

    fn write_text(&self, out: &mut impl Write) -> io::Result<()> {
        let Self { api, admin, .. } = self;
        let data_dir = std::path::absolute(self.data_dir).unwrap_or_else(|_| self.data_dir.to_owned());
        writeln!(out, "{HEAD}Hookwright {}{PLAIN}", env!("CARGO_PKG_VERSION"))?;
        writeln!(out, "  listening on  {api}")?;
        if let Some(admin) = admin {
            writeln!(out, "  admin on      {admin}")?;
        }
        writeln!(out, "  data in       {}", data_dir.display())?;
        writeln!(out, "  API           {api}/api/v3/openapi.json")?;
        if self.has_console {
            writeln!(out, "  console       {api}/")?;
        }
        if let Some(key) = self.new_key {
            writeln!(out)?;
            writeln!(out, "  {BAD}The operator's key, shown only once:{PLAIN} {HEAD}{key}{PLAIN}")?;
            writeln!(
                out,
                "  {FAINT}Save it: the engine stores only its hash. HOOKWRIGHT_ADMIN_KEY sets another key.{PLAIN}"
            )?;
        }
        Ok(())
    }

    /// Two lines of a log, as collectors of a container's output expect them.
    fn write_json(&self, out: &mut impl Write) -> io::Result<()> {
        let data_dir = std::path::absolute(self.data_dir).unwrap_or_else(|_| self.data_dir.to_owned());
        if let Some(key) = self.new_key {
            let message = "the operator's key, shown only once: the engine stores only its hash";
            writeln!(out, "{}", json_line(Level::WARN, message, json!({"operator_key": key})))?;
        }
        let fields = json!({
            "version": env!("CARGO_PKG_VERSION"),
            "listen": self.api.to_string(),
            "admin": self.admin.map(|admin| admin.to_string()),
            "data_dir": data_dir,
            "openapi": format!("{}/api/v3/openapi.json", self.api),
            "console": self.has_console.then(|| format!("{}/", self.api)),
        });
        writeln!(out, "{}", json_line(Level::INFO, "serving", fields))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn greeting(format: LogFormat, new_key: Option<&str>) -> String {
        let mut out = anstream::StripStream::new(Vec::new());
        let api = Origin { is_tls: false, address: ([127, 0, 0, 1], 8080).into() };
        let admin = Some(Origin { is_tls: true, address: ([127, 0, 0, 1], 8081).into() });
        let data_dir = Path::new("/var/lib/hookwright");
        Greeting { api, admin, data_dir, has_console: true, new_key }.write(&mut out, format).unwrap();
        String::from_utf8(out.into_inner()).unwrap()
    }

    #[test]
    fn the_greeting_contains_the_addresses_and_the_directory() {
        let greeting = greeting(LogFormat::Text, None);
        assert!(greeting.contains("listening on  http://127.0.0.1:8080\n"), "{greeting}");
        assert!(greeting.contains("admin on      https://127.0.0.1:8081\n"), "{greeting}");
        assert!(greeting.contains("data in       /var/lib/hookwright\n"), "{greeting}");
        assert!(greeting.contains("console       http://127.0.0.1:8080/\n"), "{greeting}");
        assert!(!greeting.contains("key"), "{greeting}");
    }

    #[test]
    fn a_generated_key_is_shown() {
        assert!(greeting(LogFormat::Text, Some("hwk_1")).contains("shown only once: hwk_1\n"));
        assert!(greeting(LogFormat::Json, Some("hwk_1")).contains(r#""operator_key":"hwk_1""#));
        assert!(!greeting(LogFormat::Json, None).contains("key"));
    }
}
