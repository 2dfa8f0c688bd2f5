//! From columns to domain values, naming the place when one cannot be read.

use crate::error::CatalogError;
use chrono::{DateTime, Utc};
use std::fmt::Display;
use std::str::FromStr;

/// Which row is being read.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) table: &'static str,
    pub(crate) id: &'a str,
}

impl Place<'_> {
    pub(crate) fn error(&self, column: &'static str, cause: impl Display) -> CatalogError {
        CatalogError::Row {
            table: self.table,
            column,
            id: self.id.to_owned(),
            cause: cause.to_string(),
        }
    }

    /// A name, an id, a word.
    pub(crate) fn parse<T: FromStr>(&self, column: &'static str, text: &str) -> Result<T, CatalogError>
    where
        T::Err: Display,
    {
        text.parse().map_err(|error| self.error(column, error))
    }

    pub(crate) fn parse_some<T: FromStr>(
        &self,
        column: &'static str,
        text: Option<&String>,
    ) -> Result<Option<T>, CatalogError>
    where
        T::Err: Display,
    {
        text.map(|text| self.parse(column, text)).transpose()
    }

    /// Milliseconds since the epoch.
    pub(crate) fn instant(&self, column: &'static str, ms: i64) -> Result<DateTime<Utc>, CatalogError> {
        DateTime::from_timestamp_millis(ms).ok_or_else(|| self.error(column, format!("{ms} is no instant")))
    }

    pub(crate) fn instant_some(
        &self,
        column: &'static str,
        ms: Option<i64>,
    ) -> Result<Option<DateTime<Utc>>, CatalogError> {
        ms.map(|ms| self.instant(column, ms)).transpose()
    }

    pub(crate) fn count<T: TryFrom<i64>>(&self, column: &'static str, number: i64) -> Result<T, CatalogError>
    where
        T::Error: Display,
    {
        T::try_from(number).map_err(|error| self.error(column, format!("{number}: {error}")))
    }

    pub(crate) fn json<T: serde::de::DeserializeOwned>(
        &self,
        column: &'static str,
        text: &str,
    ) -> Result<T, CatalogError> {
        serde_json::from_str(text).map_err(|error| self.error(column, error))
    }
}

/// JSON text of a domain value.
pub(crate) fn to_json<T: serde::Serialize>(action: &'static str, value: &T) -> Result<String, CatalogError> {
    serde_json::to_string(value).map_err(|error| CatalogError::Statement {
        action,
        cause: error.to_string(),
    })
}

/// Bytes and counts: the engines' integers are signed.
pub(crate) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Milliseconds since the epoch.
pub(crate) fn ms(at: DateTime<Utc>) -> i64 {
    at.timestamp_millis()
}
