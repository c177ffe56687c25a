//! The settings.

use std::fmt;
use std::marker::PhantomData;

use hookwright_json_tree::Pointer;
use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The settings of the plugin; `README.md` defines each member.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    pub(crate) pick: Option<Vec<Pointer>>,
    pub(crate) rename: Pairs<String>,
    pub(crate) copy: Pairs<Pointer>,
    #[serde(rename = "move")]
    pub(crate) moves: Pairs<Pointer>,
    pub(crate) set: Pairs<Box<RawValue>>,
    pub(crate) default: Pairs<Box<RawValue>>,
    pub(crate) drop: Vec<Pointer>,
}

/// An object whose names are pointers. It keeps its order, which is the order of execution.
#[derive(Debug)]
pub struct Pairs<V>(Vec<(Pointer, V)>);

impl<V> Default for Pairs<V> {
    fn default() -> Self {
        Pairs(Vec::new())
    }
}

impl<V> Pairs<V> {
    pub(crate) fn iter(&self) -> std::slice::Iter<'_, (Pointer, V)> {
        self.0.iter()
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &Pointer> {
        self.0.iter().map(|(pointer, _)| pointer)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

impl<'a, V> IntoIterator for &'a Pairs<V> {
    type Item = &'a (Pointer, V);
    type IntoIter = std::slice::Iter<'a, (Pointer, V)>;
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Pairs<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PairsVisitor<V>(PhantomData<V>);
        impl<'de, V: Deserialize<'de>> Visitor<'de> for PairsVisitor<V> {
            type Value = Pairs<V>;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object whose names are JSON pointers")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs<V>, A::Error> {
                let mut pairs: Vec<(Pointer, V)> = Vec::new();
                while let Some((pointer, value)) = map.next_entry::<Pointer, V>()? {
                    if pairs.iter().any(|(other, _)| *other == pointer) {
                        return Err(A::Error::custom(format_args!("duplicate member `{pointer}`")));
                    }
                    pairs.push((pointer, value));
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(PairsVisitor(PhantomData))
    }
}
