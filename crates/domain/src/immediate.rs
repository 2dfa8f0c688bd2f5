//! Sets that are proven as soon as they are complete: by what, and under which name.

use crate::ids::{InvalidName, JobName, MAX_NAME_CHARS};
use crate::job::{Assertion, Job, Task, ValidationTask};
use crate::selection::Select;
use std::fmt;
use std::time::Duration;

/// When the sets of a backup job are proven.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Prove {
    /// When a validation job comes to them.
    #[default]
    InTurn,
    /// As soon as they are complete; what cannot be tried then is left to a validation job.
    Immediately,
}

/// What stands before the name of the backup job.
const PROOF_OF: &str = "proof of ";

/// The name that the proofs of a backup job's sets run under.
///
/// # Errors
/// None that a job's own name does not have.
pub fn proof_of(backup: &JobName) -> Result<JobName, InvalidName> {
    let left = MAX_NAME_CHARS.saturating_sub(PROOF_OF.chars().count());
    let name: String = backup.as_str().chars().take(left).collect();
    JobName::new(format!("{PROOF_OF}{name}"))
}

/// What the validation jobs of a schedule ask of a set that was just made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Demands {
    /// The jobs that would choose it, by name: at least one.
    pub jobs: Vec<JobName>,
    /// What any of them asks for: every assert, the shortest `max_restore_time`.
    pub task: ValidationTask,
    /// The longest that one of them allows.
    pub timeout: Option<Duration>,
    /// So with the silence of a tool.
    pub stall: Option<Duration>,
}

impl Demands {
    /// Of the jobs that would choose a set of the server with this tag; `None` where there is none.
    pub fn of<'a>(jobs: impl IntoIterator<Item = &'a Job>, tag: &str) -> Option<Self> {
        let mut demands: Option<Self> = None;
        for job in jobs {
            let Task::Validation(task) = &job.task else {
                continue;
            };
            if !task.tags.is_empty() && !task.tags.iter().any(|wanted| wanted == tag) {
                continue;
            }
            match &mut demands {
                None => demands = Some(Self::of_one(job, task)),
                Some(demands) => demands.join(job, task),
            }
        }
        demands
    }

    fn of_one(job: &Job, task: &ValidationTask) -> Self {
        Self {
            jobs: vec![job.name.clone()],
            task: ValidationTask {
                select: Select::Newest,
                within: None,
                tags: Vec::new(),
                asserts: task.asserts.clone(),
                max_restore_time: task.max_restore_time,
                verify_every: None,
            },
            timeout: job.timeout,
            stall: job.stall,
        }
    }

    fn join(&mut self, job: &Job, task: &ValidationTask) {
        self.jobs.push(job.name.clone());
        let known = &mut self.task.asserts;
        let others: Vec<Assertion> = task
            .asserts
            .iter()
            .filter(|assert| !known.contains(assert))
            .cloned()
            .collect();
        known.extend(others);
        let limits = [self.task.max_restore_time, task.max_restore_time];
        self.task.max_restore_time = limits.into_iter().flatten().min();
        // None is no limit.
        let longest = |one: Option<Duration>, other: Option<Duration>| Some(one?.max(other?));
        self.timeout = longest(self.timeout, job.timeout);
        self.stall = longest(self.stall, job.stall);
    }
}

/// The jobs, as what a set is left to.
impl fmt::Display for Demands {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.jobs.iter().map(JobName::as_str).collect();
        match names.as_slice() {
            [name] => write!(f, "validation job {name}"),
            names => write!(f, "validation jobs {}", names.join(", ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{Missed, Overlap};
    use crate::retry::RetryPolicy;
    use crate::schedule::Schedule;

    fn validation(name: &str, tags: &[&str], (assert, hours): (&str, u64)) -> Job {
        Job {
            name: name.parse().unwrap(),
            schedule: Schedule::parse("@daily", chrono_tz::Tz::UTC).unwrap(),
            timeout: Some(Duration::from_secs(hours * 3600)),
            stall: Some(Duration::from_secs(60)),
            retry: RetryPolicy::NONE,
            missed: Missed::Skip,
            overlap: Overlap::Skip,
            jitter: Duration::ZERO,
            task: Task::Validation(ValidationTask {
                select: Select::Oldest,
                within: Some(Duration::from_secs(1)),
                tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
                asserts: vec![Assertion {
                    database: "shop".to_owned(),
                    sql: assert.to_owned(),
                }],
                max_restore_time: Some(Duration::from_secs(hours * 60)),
                verify_every: None,
            }),
        }
    }

    #[test]
    fn what_every_job_asks_for_that_would_choose_the_set_is_asked_for() {
        let jobs = [
            validation("all", &[], ("SELECT 1", 3)),
            validation("other", &["audit"], ("SELECT 2", 1)),
            validation("same", &["audit", "shop"], ("SELECT 1", 2)),
        ];
        let demands = Demands::of(&jobs, "shop").unwrap();
        assert_eq!(demands.to_string(), "validation jobs all, same");
        assert_eq!(demands.task.asserts.len(), 1, "the same statement is asked once");
        assert_eq!(demands.task.max_restore_time, Some(Duration::from_secs(120)));
        assert_eq!(demands.timeout, Some(Duration::from_secs(3 * 3600)));
        assert_eq!(Demands::of(&jobs[1..2], "shop"), None);
        let one = Demands::of(&jobs[..1], "shop").unwrap();
        assert_eq!(one.to_string(), "validation job all");
    }

    #[test]
    fn also_the_longest_name_of_a_job_gives_a_name_for_its_proofs() {
        let longest = JobName::new("é".repeat(MAX_NAME_CHARS)).unwrap();
        let name = proof_of(&longest).unwrap();
        assert_eq!(name.as_str().chars().count(), MAX_NAME_CHARS);
        assert_eq!(
            proof_of(&"shop-nightly".parse().unwrap()).unwrap().as_str(),
            "proof of shop-nightly"
        );
    }
}
