//! Compares the lazy tree with serde_json, which parses the whole text.

use std::cmp::Ordering;

use hookwright_json_tree::{Node, Pointer, checked, compare_numbers, depth, equal, unescape, write_string};
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::Value;
use serde_json::value::RawValue;

fn space() -> impl Strategy<Value = String> {
    "[ \\t\\r\\n]{0,2}"
}

/// A JSON string, some with unnecessary escapes.
fn string() -> impl Strategy<Value = String> {
    let any = any::<String>().prop_map(|text| serde_json::to_string(&text).unwrap());
    let escaped = "[ab]{0,3}".prop_map(|text| {
        let escape = |c: char| format!("\\u{:04x}", u32::from(c));
        format!("\"{}\"", text.chars().map(escape).collect::<String>())
    });
    prop_oneof![3 => "\"[ab]{0,2}\"", 1 => any, 1 => escaped]
}

/// A number that a double holds exactly.
fn small_number() -> impl Strategy<Value = String> {
    "-?(0|[1-9][0-9]{0,8})(\\.(5|25|125|0))?"
}

/// Any number.
fn number() -> impl Strategy<Value = String> {
    "-?(0|[1-9][0-9]{0,25})(\\.[0-9]{1,25})?([eE][+-]?[0-9]{1,4})?"
}

/// JSON with these numbers, white space and duplicate members.
fn json(number: impl Strategy<Value = String> + 'static) -> impl Strategy<Value = String> {
    let word = prop_oneof![Just("null"), Just("true"), Just("false")].prop_map(str::to_owned);
    let leaf = prop_oneof![word, number, string()];
    let value = leaf.prop_recursive(5, 40, 6, |inner| {
        let element = (space(), inner.clone(), space())
            .prop_map(|(before, value, after)| before + &value + &after)
            .boxed();
        let member = (space(), string(), space(), element.clone());
        let member = member.prop_map(|(before, name, after, value)| format!("{before}{name}{after}:{value}"));
        let array = vec(element, 0..6).prop_map(|elements| format!("[{}]", elements.join(",")));
        let object = vec(member, 0..6).prop_map(|members| format!("{{{}}}", members.join(",")));
        prop_oneof![array, object]
    });
    (space(), value, space()).prop_map(|(before, value, after)| before + &value + &after)
}

/// The text of a pointer that often refers to a value.
fn pointer() -> impl Strategy<Value = String> {
    let token = prop_oneof![3 => "[ab]{0,2}", 3 => "[0-5]", 1 => "0[0-9]", 1 => "[~/]{1,2}"];
    let token = token.prop_map(|token| format!("/{}", token.replace('~', "~0").replace('/', "~1")));
    vec(token, 0..4).prop_map(|tokens| tokens.concat())
}

fn deepest(value: &Value) -> usize {
    match value {
        Value::Array(elements) => 1 + elements.iter().map(deepest).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(deepest).max().unwrap_or(0),
        _ => 0,
    }
}

/// Formats `digits` times ten to the power of `exponent` in one of three ways.
fn formatted(digits: i64, exponent: u32, way: u32) -> String {
    match way % 3 {
        0 => format!("{digits}e{exponent}"),
        1 => format!("{}.00", i128::from(digits) * 10_i128.pow(exponent)),
        _ => format!("{}E{}", digits * 100, i64::from(exponent) - 2),
    }
}

proptest! {
    #[test]
    fn json_is_accepted_and_trimmed(text in json(number())) {
        prop_assert_eq!(checked(&text).unwrap(), text.trim());
    }

    #[test]
    fn changed_json_is_accepted_exactly_if_serde_json_accepts_it(text in json(number()), at: prop::sample::Index, put in "[\"\\\\{}\\[\\],:0e.a]{0,2}", cut in 0_usize..3) {
        let mut chars: Vec<char> = text.chars().collect();
        let at = at.index(chars.len());
        chars.splice(at..(at + cut).min(chars.len()), put.chars());
        let broken: String = chars.into_iter().collect();
        let theirs = serde_json::from_str::<&RawValue>(&broken).ok().map(RawValue::get);
        prop_assert_eq!(checked(&broken).ok(), theirs);
    }

    #[test]
    fn a_pointer_finds_the_same_value_as_in_serde_json(text in json(small_number()), path in pointer()) {
        let whole: Value = serde_json::from_str(&text).unwrap();
        let mut node = Node::new(&text);
        let found = node.get(&Pointer::parse(&path).unwrap()).unwrap().map(|node| node.text().into_owned());
        let found = found.map(|text| serde_json::from_str::<Value>(&text).unwrap());
        prop_assert_eq!(found.as_ref(), whole.pointer(&path));
        // Values on the path are written member by member, the others as their original text.
        prop_assert_eq!(serde_json::from_str::<Value>(&node.text()).unwrap(), whole);
    }

    #[test]
    fn the_depth_is_at_least_that_of_the_parsed_value(text in json(small_number())) {
        // serde_json drops duplicate members, so its value may be less deep.
        prop_assert!(depth(&text) >= deepest(&serde_json::from_str(&text).unwrap()));
    }

    #[test]
    fn a_value_equals_itself_in_another_form(text in json(small_number()), other in json(small_number())) {
        let (value, other_value): (Value, Value) = (serde_json::from_str(&text).unwrap(), serde_json::from_str(&other).unwrap());
        let text = checked(&text).unwrap();
        prop_assert!(equal(text, &value.to_string()));
        let are_equal = equal(text, checked(&other).unwrap());
        prop_assert_eq!(are_equal, equal(&value.to_string(), &other_value.to_string()));
    }

    #[test]
    fn numbers_have_the_order_of_integers(left in (-9_999_i64..9_999, 0_u32..12, 0_u32..3), right in (-9_999_i64..9_999, 0_u32..12, 0_u32..3)) {
        let exact = |(digits, exponent, _): (i64, u32, u32)| i128::from(digits) * 10_i128.pow(exponent);
        let text = |(digits, exponent, way)| formatted(digits, exponent, way);
        let order = compare_numbers(&text(left), &text(right));
        prop_assert_eq!(order, exact(left).cmp(&exact(right)), "{} {}", text(left), text(right));
        prop_assert_eq!(compare_numbers(&text(right), &text(left)), order.reverse());
        prop_assert_eq!(compare_numbers(&text(left), &text(left)), Ordering::Equal);
    }

    #[test]
    fn strings_are_written_and_read_as_serde_json_does(text: String) {
        let mut ours = String::new();
        write_string(&text, &mut ours);
        prop_assert_eq!(&serde_json::from_str::<String>(&ours).unwrap(), &text);
        let theirs = serde_json::to_string(&text).unwrap();
        prop_assert_eq!(unescape(&theirs).unwrap(), text);
    }
}
