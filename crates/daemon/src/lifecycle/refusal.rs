//! Why both files are not put in force.

use mykeeper_config::ConfigErrors;

/// As the log and who asked are told, and as people are told elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Perhaps many lines, with the lines of the files.
    pub text: String,
    /// One line.
    pub line: String,
}

impl From<String> for Refusal {
    fn from(text: String) -> Self {
        Self {
            line: text.clone(),
            text,
        }
    }
}

impl From<&ConfigErrors> for Refusal {
    fn from(errors: &ConfigErrors) -> Self {
        Self {
            text: errors.to_string(),
            line: errors.in_one_line(),
        }
    }
}
