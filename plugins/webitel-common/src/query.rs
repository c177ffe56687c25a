//! Query strings in the default format of the npm package `qs`.

use std::borrow::Cow;

use hookwright_json_tree::{Kind, Node, depth, kind};
use hookwright_plugin::Failure;

use crate::js;

/// Maximum nesting depth of a value. Writing is recursive.
const DEPTH: usize = 64;

/// Parameters for a URL.
#[derive(Debug, Default)]
pub struct Query {
    /// `name=value`, encoded, separated by `&`.
    text: String,
    /// Names of the members, including those without parameters.
    names: Vec<String>,
}

impl Query {
    /// Creates parameters from names and texts.
    pub fn of_texts<'t>(texts: impl Iterator<Item = (&'t str, String)>) -> Self {
        let mut query = Query::default();
        for (name, value) in texts {
            let mut key = String::new();
            percent_encode(name, &mut key);
            query.push(&key, &value);
            query.names.push(name.to_owned());
        }
        query
    }

    /// Creates parameters from a JSON value: the members of an object, or the elements of an array by index. Nested
    /// values are written as `name[member]=…` and `name[0]=…` with encoded brackets, `null` as an empty value, and
    /// empty arrays and objects not at all. Other values have no parameters.
    ///
    /// # Errors
    /// `bad-data` if the text is not JSON or is nested too deeply.
    pub fn of_json(text: &str) -> Result<Self, Failure> {
        if depth(text) > DEPTH {
            let message = format!("data nested more than {DEPTH} levels deep cannot be written into a URL");
            return Err(Failure::new("bad-data", message));
        }
        let mut query = Query::default();
        for (name, mut value) in members(&mut Node::new(text))? {
            let mut key = String::new();
            percent_encode(&name, &mut key);
            query.write(&mut key, &mut value)?;
            query.names.push(name.into_owned());
        }
        Ok(query)
    }

    fn write(&mut self, key: &mut String, value: &mut Node<'_>) -> Result<(), Failure> {
        if let Node::Text(text) = value
            && !matches!(kind(text), Kind::Array | Kind::Object)
        {
            let text = if kind(text) == Kind::Null { String::new() } else { js::text_of(text) };
            self.push(key, &text);
            return Ok(());
        }
        for (name, mut inner) in members(value)? {
            let outer = key.len();
            key.push_str("%5B");
            percent_encode(&name, key);
            key.push_str("%5D");
            self.write(key, &mut inner)?;
            key.truncate(outer);
        }
        Ok(())
    }

    fn push(&mut self, key: &str, value: &str) {
        if !self.text.is_empty() {
            self.text.push('&');
        }
        self.text.push_str(key);
        self.text.push('=');
        percent_encode(value, &mut self.text);
    }

    /// Appends the parameters to a URL. Existing parameters with the same name are removed; the others are not changed.
    pub fn merged_into(&self, url: &str) -> String {
        if self.names.is_empty() {
            return url.to_owned();
        }
        let (address, fragment) = url.find('#').map_or((url, ""), |hash| url.split_at(hash));
        let (address, own) = address.split_once('?').unwrap_or((address, ""));
        let kept = own
            .split('&')
            .filter(|parameter| !parameter.is_empty() && !self.names.contains(&top_name(parameter)));
        let added = Some(self.text.as_str()).filter(|text| !text.is_empty());
        let query = kept.chain(added).collect::<Vec<_>>().join("&");
        let mark = if query.is_empty() { "" } else { "?" };
        format!("{address}{mark}{query}{fragment}")
    }
}

/// Returns the members of an object by name, or the elements of an array by index.
fn members<'a>(value: &mut Node<'a>) -> Result<Vec<(Cow<'a, str>, Node<'a>)>, Failure> {
    value.divide().map_err(|error| Failure::new("bad-data", format!("data is not JSON: {error}")))?;
    Ok(match std::mem::replace(value, Node::Text("null")) {
        Node::Object(members) => members,
        Node::Array(elements) => {
            let indexed = elements.into_iter().enumerate();
            indexed.map(|(index, element)| (index.to_string().into(), element)).collect()
        }
        Node::Text(_) => Vec::new(),
    })
}

/// Returns the name of the member that a parameter belongs to: `o` for `o%5Bb%5D=1`.
fn top_name(parameter: &str) -> String {
    let name = parameter.split('=').next().unwrap_or_default();
    let name = percent_decode(name);
    match name.find('[') {
        Some(bracket) if bracket > 0 => name[..bracket].to_owned(),
        _ => name,
    }
}

/// Encodes all characters except unreserved ones (RFC 3986, section 2.3).
fn percent_encode(text: &str, out: &mut String) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
}

fn percent_decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        let hex = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let code = hex.filter(|hex| !hex.starts_with('+')).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match (byte, code) {
            (b'%', Some(code)) => {
                bytes.push(code);
                rest = &after[2..];
            }
            (b'+', _) => bytes.push(b' '),
            _ => bytes.push(*byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The results of `qs.stringify` 6.17.1, except that numbers keep their text.
    #[test]
    fn values_are_written_as_by_qs() {
        for (json, expected) in [
            (r#"{"a":1,"b":null,"c":"x y&é😀"}"#, "a=1&b=&c=x%20y%26%C3%A9%F0%9F%98%80"),
            (
                r#"{"o":{"b":1,"c":{"d":[1,{"e":2},[3,null]]}}}"#,
                "o%5Bb%5D=1&o%5Bc%5D%5Bd%5D%5B0%5D=1&o%5Bc%5D%5Bd%5D%5B1%5D%5Be%5D=2&o%5Bc%5D%5Bd%5D%5B2%5D%5B0%5D=3\
                 &o%5Bc%5D%5Bd%5D%5B2%5D%5B1%5D=",
            ),
            (r#"{"l":[0,"",true],"e":{},"m":[]}"#, "l%5B0%5D=0&l%5B1%5D=&l%5B2%5D=true"),
            (
                r#"{"k[x]":"~!*'()_-. +/?@:,;=$#%"}"#,
                "k%5Bx%5D=~%21%2A%27%28%29_-.%20%2B%2F%3F%40%3A%2C%3B%3D%24%23%25",
            ),
            (r#"{"sp ace":false,"":1,"n":1.50}"#, "sp%20ace=false&=1&n=1.50"),
            ("[1,2]", "0=1&1=2"),
            ("\"str\"", ""),
            ("null", ""),
            ("{}", ""),
        ] {
            assert_eq!(Query::of_json(json).expect(json).text, expected, "{json}");
        }
    }

    #[test]
    fn existing_parameters_are_kept_unless_they_are_replaced() {
        let query = Query::of_json(r#"{"a":1,"o":{"x":2},"e":[]}"#).expect("JSON");
        let written = "a=1&o%5Bx%5D=2";
        for (url, expected) in [
            ("https://r.example/p", format!("https://r.example/p?{written}")),
            ("https://r.example", format!("https://r.example?{written}")),
            ("https://r.example/?", format!("https://r.example/?{written}")),
            ("https://r.example/?k=%2f&&q=a+b#top", format!("https://r.example/?k=%2f&q=a+b&{written}#top")),
            ("https://r.example/?a=0&b&%61=9&aa=1", format!("https://r.example/?b&aa=1&{written}")),
            ("https://r.example/?o%5By%5D=0&o[z]=1&e=1&[o]=1", format!("https://r.example/?[o]=1&{written}")),
        ] {
            assert_eq!(query.merged_into(url), expected, "{url}");
        }
    }

    #[test]
    fn without_parameters_the_url_is_not_changed() {
        for json in ["{}", "[]", "1"] {
            let url = "https://r.example/?#x";
            assert_eq!(Query::of_json(json).expect(json).merged_into(url), url, "{json}");
        }
        let nothing = Query::of_json(r#"{"a":[]}"#).expect("JSON");
        assert_eq!(nothing.merged_into("https://r.example/?a=1"), "https://r.example/");
    }

    #[test]
    fn texts_become_parameters() {
        let texts = [("k y", String::new()), ("t", "1&2".to_owned())];
        let query = Query::of_texts(texts.into_iter());
        assert_eq!(query.merged_into("https://r.example/?t=0"), "https://r.example/?k%20y=&t=1%262");
    }

    #[test]
    fn depth_is_limited() {
        let deep = format!("{}{}", "[".repeat(65), "]".repeat(65));
        assert_eq!(Query::of_json(&deep).expect_err("deep").code, "bad-data");
    }
}
