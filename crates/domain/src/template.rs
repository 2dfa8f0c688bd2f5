//! Texts with `{{fields}}` of a message in them.

use crate::notice::Message;
use crate::run::words;
use chrono::SecondsFormat;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

words! {
    /// What a template may name.
    Field {
        /// One line.
        Subject = "subject",
        /// A line for each event.
        Text = "text",
        /// The gravest kind.
        Kind = "kind",
        /// The machine.
        Node = "node",
        /// When, RFC 3339.
        At = "at",
        /// How many events.
        Count = "count",
        /// The message's identity.
        Id = "id",
        /// In JSON alone: the events themselves, a list.
        Events = "events",
    }
}

/// A text in which each `{{field}}` gives way to what a message says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Field(Field),
}

impl FromStr for Template {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find("{{") {
            if at > 0 {
                parts.push(Part::Text(rest[..at].to_owned()));
            }
            let inner = &rest[at + 2..];
            let end = inner
                .find("}}")
                .ok_or_else(|| "a \"{{\" has no \"}}\" after it".to_owned())?;
            let name = inner[..end].trim();
            let field = name
                .parse()
                .map_err(|_| format!("{{{{{name}}}}} is no field of a message"))?;
            parts.push(Part::Field(field));
            rest = &inner[end + 2..];
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Self(parts))
    }
}

impl Template {
    /// The text for a message.
    pub fn expand(&self, message: &Message) -> String {
        let parts = self.0.iter().map(|part| match part {
            Part::Text(text) => text.clone(),
            Part::Field(field) => match value(*field, message) {
                serde_json::Value::String(text) => text,
                other => other.to_string(),
            },
        });
        parts.collect()
    }

    /// The same within JSON: what is one field alone keeps its type.
    fn expand_json(&self, message: &Message) -> serde_json::Value {
        match self.0.as_slice() {
            [Part::Field(field)] => value(*field, message),
            _ => serde_json::Value::String(self.expand(message)),
        }
    }
}

fn value(field: Field, message: &Message) -> serde_json::Value {
    let text = match field {
        Field::Subject => message.subject.clone(),
        Field::Text => message.text.clone(),
        Field::Kind => message.kind.to_string(),
        Field::Node => message.node.to_string(),
        Field::At => message.at.to_rfc3339_opts(SecondsFormat::Secs, true),
        Field::Id => message.id.to_string(),
        Field::Count => return message.count.into(),
        Field::Events => return serde_json::to_value(&message.events).unwrap_or_default(),
    };
    serde_json::Value::String(text)
}

/// A JSON document whose texts are templates: whatever a message says, what comes of it is JSON.
#[derive(Clone, Debug, PartialEq)]
pub struct JsonTemplate(serde_json::Value);

impl Default for JsonTemplate {
    fn default() -> Self {
        let fields = Field::ALL.iter().map(|field| {
            let name = field.as_str();
            (name.to_owned(), format!("{{{{{name}}}}}").into())
        });
        Self(serde_json::Value::Object(fields.collect()))
    }
}

impl FromStr for JsonTemplate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let value = serde_json::from_str(text).map_err(|error| format!("this is not JSON: {error}"))?;
        check(&value)?;
        Ok(Self(value))
    }
}

fn check(value: &serde_json::Value) -> Result<(), String> {
    match value {
        serde_json::Value::String(text) => text.parse::<Template>().map(drop),
        serde_json::Value::Array(items) => items.iter().try_for_each(check),
        serde_json::Value::Object(map) => map.values().try_for_each(check),
        _ => Ok(()),
    }
}

impl JsonTemplate {
    /// The document for a message.
    pub fn expand(&self, message: &Message) -> serde_json::Value {
        expand(&self.0, message)
    }
}

fn expand(value: &serde_json::Value, message: &Message) -> serde_json::Value {
    match value {
        serde_json::Value::String(text) => match text.parse::<Template>() {
            Ok(template) => template.expand_json(message),
            Err(_) => value.clone(),
        },
        serde_json::Value::Array(items) => items.iter().map(|item| expand(item, message)).collect(),
        serde_json::Value::Object(map) => map
            .iter()
            .map(|(key, value)| (key.clone(), expand(value, message)))
            .collect(),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notice::{Notice, NoticeKind};
    use chrono::DateTime;

    fn message(said: &str) -> Message {
        let notice = Notice {
            at: DateTime::UNIX_EPOCH,
            kind: NoticeKind::Failure,
            topic: "job nightly".to_owned(),
            message: said.to_owned(),
            run: None,
            bk_id: None,
        };
        let node = crate::NodeName::new("db1").unwrap();
        Message::of(&node, DateTime::UNIX_EPOCH, vec![notice]).unwrap()
    }

    #[test]
    fn whatever_a_tool_said_json_stays_json() {
        let template: JsonTemplate =
            r#"{"text": "*{{subject}}*: {{ text }}", "n": "{{count}}", "all": ["{{events}}"], "k": 1}"#
                .parse()
                .unwrap();
        let said = r#"it said "x\y" {{node}} </script>"#;
        let value = template.expand(&message(said));
        assert_eq!(value["n"], 1);
        assert_eq!(value["all"][0][0]["message"], said);
        let text = value["text"].as_str().unwrap();
        assert!(
            text.starts_with("*mykeeper on db1: failure: job nightly*: "),
            "{text}"
        );
        assert!(text.contains(said), "what a message says is no template: {text}");
    }

    #[test]
    fn what_cannot_be_expanded_is_refused() {
        for (text, cause) in [
            (r#"{"text": "{{subjekt}}"}"#, "{{subjekt}} is no field"),
            (r#"{"text": ["{{subject}"]}"#, "has no \"}}\""),
            (r#"{"text": {{subject}}}"#, "not JSON"),
        ] {
            let error = text.parse::<JsonTemplate>().unwrap_err();
            assert!(error.contains(cause), "{text}: {error}");
        }
        assert!("{{text}} {".parse::<Template>().is_ok());
    }
}
