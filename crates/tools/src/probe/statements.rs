//! Statements that are to be asserted of sets, looked at by the server that the sets come from.

use super::{Probe, bounded, quoted_name};
use crate::error::ToolError;
use crate::prove::asserts::{is_mistake, prepare};

/// Database, table, column, routine, or anything of these by way of a view: the account may not read it.
const FOR_WANT_OF_RIGHTS: [u16; 5] = [1044, 1142, 1143, 1227, 1370];

/// What the server thinks of a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It could be carried out.
    Fits,
    /// It is no statement that can be asserted, or names what is not there: why, in the server's words.
    Mistaken(String),
    /// The account may not know.
    Forbidden,
    /// It cannot be told; the server's words.
    Unknown(String),
}

impl Probe {
    /// Has the server look at one SELECT in `database` without carrying it out.
    ///
    /// # Errors
    /// The connection is gone.
    pub async fn look_at_statement(&mut self, database: &str, sql: &str) -> Result<Verdict, ToolError> {
        const ACTION: &str = "have a statement looked at";
        let chosen = self.raw(ACTION, format!("USE {}", quoted_name(database))).await;
        let looked = match chosen {
            Ok(_) => {
                let health = (self.query_limit, &mut self.health);
                bounded(ACTION, &self.server, health, prepare(&mut self.connection, sql)).await
            }
            Err(error) => Err(error),
        };
        let error = match looked {
            Ok(None) => return Ok(Verdict::Fits),
            Ok(Some(why)) => return Ok(Verdict::Mistaken(why)),
            Err(error) if self.is_gone() => return Err(error),
            Err(error) => error,
        };
        let said = match error {
            ToolError::Query { cause, .. } => cause,
            other => other.to_string(),
        };
        Ok(match self.error_number() {
            code if FOR_WANT_OF_RIGHTS.contains(&code) => Verdict::Forbidden,
            code if is_mistake(code) => Verdict::Mistaken(format!("ERROR {code}: {said}")),
            _ => Verdict::Unknown(said),
        })
    }
}
