//! Two files on disk, read as the daemon reads them.

#[cfg(test)]
mod contradictions;
#[cfg(test)]
mod defaults;
#[cfg(test)]
mod examples;
#[cfg(test)]
mod files;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod report;
#[cfg(test)]
mod secrets;
