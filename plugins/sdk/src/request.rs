//! Helpers for the request that a transformer writes.

use crate::{Body, Request};

impl Request {
    /// Returns the value of the first header with this name, case-insensitive.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// Sets a header and removes all others with this name.
    pub fn set_header(&mut self, name: &str, value: impl Into<String>) {
        self.remove_header(name);
        self.headers.push((name.to_ascii_lowercase(), value.into()));
    }

    /// Removes all headers with this name.
    pub fn remove_header(&mut self, name: &str) {
        self.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
    }

    /// Sets a JSON body and its content type.
    pub fn set_json(&mut self, text: impl Into<String>) {
        self.body = Body::Text(text.into());
        self.set_header("content-type", "application/json");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_names_are_case_insensitive() {
        let mut request = Request {
            method: "POST".into(),
            url: "https://receiver.example/".into(),
            headers: vec![("Content-Type".into(), "text/plain".into()), ("x-a".into(), "1".into())],
            body: Body::None,
        };
        request.set_json("{}");
        assert_eq!(request.header("CONTENT-type"), Some("application/json"));
        assert_eq!(request.headers.len(), 2);
        assert_eq!(request.body, Body::Text("{}".into()));
        request.remove_header("X-A");
        assert_eq!(request.header("x-a"), None);
    }
}
