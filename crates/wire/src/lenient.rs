//! How what a server writes otherwise than the reference says is read all the same.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

pub(crate) fn null_is_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    reader: D,
) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(reader)?.unwrap_or_default())
}

/// Borrowed from the input where it can be.
pub(crate) fn null_is_empty<'de: 'a, 'a, D: Deserializer<'de>>(reader: D) -> Result<Cow<'a, str>, D::Error> {
    #[derive(Deserialize)]
    struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
    Ok(Option::<Text<'a>>::deserialize(reader)?.map(|text| text.0).unwrap_or_default())
}

pub(crate) fn unreadable_is_none<'de, D: Deserializer<'de>, T: DeserializeOwned>(
    reader: D,
) -> Result<Option<T>, D::Error> {
    Ok(serde_json::from_value(Value::deserialize(reader)?).unwrap_or_default())
}

pub(crate) fn empty_is_none<'de, D: Deserializer<'de>>(reader: D) -> Result<Option<String>, D::Error> {
    Ok(Option::<String>::deserialize(reader)?.filter(|id| !id.is_empty()))
}

/// The entries of an object that are texts.
pub(crate) fn texts<'de, D: Deserializer<'de>>(
    reader: D,
) -> Result<Option<BTreeMap<String, String>>, D::Error> {
    let Value::Object(entries) = Value::deserialize(reader)? else { return Ok(None) };
    let text = |(name, value)| if let Value::String(text) = value { Some((name, text)) } else { None };
    Ok(Some(entries.into_iter().filter_map(text).collect()))
}
