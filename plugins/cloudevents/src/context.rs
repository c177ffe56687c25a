//! The context attributes of an event (CE, section 3).

use std::borrow::Cow;

use hookwright_json_tree::{Kind, Node, kind, unescape};
use hookwright_plugin::{Event, Failure, JsonText, time};

use crate::settings::{Settings, Value};

/// The attributes in the order in which they are written, without `datacontenttype`, which depends on the mode.
pub struct Context<'a> {
    pub attributes: Vec<(&'a str, Attribute<'a>)>,
}

/// The value of an attribute (CE, section 2.1).
pub enum Attribute<'a> {
    Text(Cow<'a, str>),
    Integer(i32),
    Boolean(bool),
}

impl<'a> Context<'a> {
    pub fn of(event: &'a Event<JsonText>, settings: &'a Settings) -> Result<Self, Failure> {
        let event_type = match settings.type_prefix.as_str() {
            "" => Cow::Borrowed(event.event_type.as_str()),
            prefix => Cow::Owned(format!("{prefix}{}", event.event_type)),
        };
        let mut attributes = vec![
            ("specversion", Attribute::Text("1.0".into())),
            ("id", Attribute::Text(event.id.as_str().into())),
            ("source", Attribute::Text(settings.source.as_str().into())),
            ("type", Attribute::Text(event_type)),
            ("time", Attribute::Text(time::rfc3339(event.occurred_at).into())),
        ];
        let mut data = Node::new(&event.data.0);
        let subject = settings.subject.as_ref().map(|value| ("subject", value));
        let extensions = settings.extensions.iter().map(|(name, value)| (name.as_str(), value));
        for (name, value) in subject.into_iter().chain(extensions) {
            if let Some(attribute) = resolve(event, &mut data, value)? {
                attributes.push((name, attribute));
            }
        }
        for (name, attribute) in &attributes {
            check(name, attribute)?;
        }
        Ok(Context { attributes })
    }
}

/// Returns the value, or `None` if it is missing: the attribute is omitted then, because there is no null (CE,
/// section 2).
fn resolve<'a>(
    event: &'a Event<JsonText>,
    data: &mut Node<'a>,
    value: &'a Value,
) -> Result<Option<Attribute<'a>>, Failure> {
    let pointer = match value {
        Value::Text(text) => return Ok(Some(Attribute::Text(text.as_str().into()))),
        Value::Integer(number) => return Ok(Some(Attribute::Integer(*number))),
        Value::Boolean(value) => return Ok(Some(Attribute::Boolean(*value))),
        Value::Attribute(name) => return Ok(event.attribute(name).map(|text| Attribute::Text(text.into()))),
        Value::Pointer(pointer) => pointer,
    };
    let node =
        data.get(pointer).map_err(|error| Failure::new("bad-data", format!("data is not JSON: {error}")))?;
    let Some(&mut Node::Text(text)) = node else { return Ok(None) };
    Ok(match kind(text) {
        Kind::Null | Kind::Array | Kind::Object => None,
        Kind::Boolean => Some(Attribute::Boolean(text == "true")),
        Kind::String => unescape(text).map(Attribute::Text),
        // A number that is not a 32-bit integer becomes text.
        Kind::Number => Some(match text.parse() {
            Ok(number) => Attribute::Integer(number),
            Err(_) => Attribute::Text(text.into()),
        }),
    })
}

/// Refuses control characters (CE, section 2.1), and empty values of required attributes and `subject` (section 3.1).
fn check(name: &str, attribute: &Attribute<'_>) -> Result<(), Failure> {
    let Attribute::Text(text) = attribute else { return Ok(()) };
    if text.chars().any(char::is_control) {
        return Err(Failure::new(
            "bad-event",
            format!("the attribute `{name}` must not contain control characters"),
        ));
    }
    if text.is_empty() && ["id", "type", "subject"].contains(&name) {
        return Err(Failure::new("bad-event", format!("the attribute `{name}` must not be empty")));
    }
    Ok(())
}
