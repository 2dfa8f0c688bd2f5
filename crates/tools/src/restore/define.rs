//! Routines and triggers, views, events: what stands upon tables.
//!
//! Each statement is for itself: one that the server refuses is told, and the others go on. A client ends at the first
//! refusal, so another one takes up behind it.

mod fit;
mod heard;
mod views;

use super::RestoreRequest;
use super::client::{Client, Heard, Piece, mark};
use super::load::Loaded;
use super::naming::Naming;
use super::scope::Scope;
use super::unit::{Unit, disabled, enabled_pattern, event_name, event_pattern, own_settings, read_unit};
use crate::blocking::{READ_WITHIN, off_thread};
use crate::env::ToolEnv;
use crate::error::ToolError;
use crate::prove::define::{is_excused, unsettled_bases};
use crate::prove::feed::{Complaint, MODES, SYNTAX_ERROR, is_setting};
use crate::prove::layout::{Layout, SetFile};
use crate::prove::written::Written;
use heard::{Outcome, note, note_code};
use mykeeper_domain::inventory::Inventory;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Mutex, PoisonError};
use uuid::Uuid;

/// The server's numbers for a value that a variable cannot take (a mode of another series), a time zone that it does not
/// know, and a variable that it does not have.
const CANNOT_BE_SET: [u16; 3] = [1231, 1298, 1193];
/// What the server adds to an event whose only time has passed: it is not kept.
const EVENT_IS_OVER: u16 = 1588;
/// And to one that is kept all the same (`ON COMPLETION PRESERVE`): disabled.
const EVENT_IS_DISABLED: u16 = 1544;
/// The client's own numbers: the connection is not, or is no more.
const CLIENTS_OWN: std::ops::Range<u16> = 2000..3000;
/// Numbers with which the server takes its leave.
const FAREWELLS: [u16; 4] = [1040, 1053, 1077, 1927];

/// What is to be said of one database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Complaints {
    /// What the server refused.
    pub(super) refusals: Vec<String>,
    /// Views that stand on what is not part of the restore, nor in the server.
    pub(super) excused_views: BTreeSet<String>,
    /// Events that are over, and not kept.
    pub(super) past_events: BTreeSet<String>,
    /// Events that do not run, whether the set's did: they are over, and kept, or those of a copy.
    pub(super) disabled_events: BTreeSet<String>,
}

/// Where a statement stands: unit, statement.
type Place = (usize, usize);

/// Where a client takes up.
#[derive(Clone, Copy, Debug, Default)]
struct From {
    place: Place,
    /// How often the statement there has been tried.
    tries: usize,
}

/// Creates everything that is defined upon tables.
pub(super) struct Definer<'a> {
    client: &'a Client<'a>,
    layout: &'a Layout,
    /// How objects are known to have been written.
    known: Option<&'a Inventory>,
    scope: &'a Scope,
    naming: Naming,
    written: Written,
    env: &'a ToolEnv<'a>,
    delimiter: String,
}

impl<'a> Definer<'a> {
    /// # Errors
    /// A defect of ours.
    pub(super) fn new(
        client: &'a Client<'a>,
        (layout, request): (&'a Layout, &'a RestoreRequest<'a>),
        env: &'a ToolEnv<'a>,
    ) -> Result<Self, ToolError> {
        // A body holds every sign that ends statements; no body holds this.
        let delimiter = format!("$${}", &Uuid::new_v4().simple().to_string()[..10]);
        Ok(Self {
            client,
            layout,
            known: request.set.evidence.map(|evidence| &evidence.inventory),
            scope: request.scope,
            naming: Naming::new()?,
            written: Written::new()?,
            env,
            delimiter,
        })
    }

    /// All but events.
    ///
    /// # Errors
    /// The server or the client is gone, or the run was ended.
    pub(super) async fn run(&self, loaded: &mut Loaded) -> Result<(), ToolError> {
        let is_event = event_pattern()?;
        let mut definers: BTreeMap<String, u64> = BTreeMap::new();
        // A view may call a function: these come first.
        let programs = self
            .programs(move |statement| !is_event.is_match(statement))
            .await?;
        let outcome = self.define(&programs).await?;
        note(&programs, &outcome, (loaded, &mut definers));
        self.define_views((loaded, &mut definers)).await?;
        tell_definers(definers, loaded);
        Ok(())
    }

    /// Events: they may begin at once, and change what is there.
    ///
    /// # Errors
    /// As of [`Self::run`].
    pub(super) async fn run_events(&self, loaded: &mut Loaded) -> Result<(), ToolError> {
        let is_event = event_pattern()?;
        let mut definers: BTreeMap<String, u64> = BTreeMap::new();
        let pattern = is_event.clone();
        let events = self
            .programs(move |statement| is_setting(statement) || pattern.is_match(statement))
            .await?;
        let events: Vec<Unit> = events
            .into_iter()
            .filter(|unit| !unit.statements.iter().all(|sql| is_setting(sql)))
            .collect();
        let events = self.disable(events, loaded)?;
        let outcome = self.define(&events).await?;
        for ((unit, statement), line) in &outcome.notes {
            let code = note_code(line).filter(|code| [EVENT_IS_OVER, EVENT_IS_DISABLED].contains(code));
            let (Some(unit), Some(code)) = (events.get(*unit), code) else {
                continue;
            };
            let name = unit
                .statements
                .get(*statement)
                .and_then(|sql| event_name(&is_event, sql));
            if let Some(name) = name {
                let there = self.scope.there(&unit.database);
                let complaints = loaded.complaints.entry(unit.database.clone()).or_default();
                loaded.warnings.push(if code == EVENT_IS_OVER {
                    complaints.past_events.insert(name.clone());
                    format!(
                        "{there}: event {name} was due once, or until a time, which is over: the server does not keep it"
                    )
                } else {
                    complaints.disabled_events.insert(name.clone());
                    format!("{there}: event {name} is disabled: its last time has passed")
                });
            }
        }
        note(&events, &outcome, (loaded, &mut definers));
        tell_definers(definers, loaded);
        loaded.with_events = events.into_iter().map(|unit| unit.database).collect();
        Ok(())
    }

    /// What a copy's events do would be done beside what the database's own do, and to its tables where they name it:
    /// they come disabled, which [`super::notes`] tells with what enables them.
    fn disable(&self, mut events: Vec<Unit>, loaded: &mut Loaded) -> Result<Vec<Unit>, ToolError> {
        let patterns = (event_pattern()?, enabled_pattern()?);
        for unit in &mut events {
            if self.scope.old_name(&unit.database).is_none() {
                continue;
            }
            let complaints = loaded.complaints.entry(unit.database.clone()).or_default();
            for statement in &mut unit.statements {
                let Some(text) = disabled((&patterns.0, &patterns.1), statement) else {
                    continue;
                };
                complaints
                    .disabled_events
                    .extend(event_name(&patterns.0, statement));
                *statement = text;
            }
        }
        Ok(events)
    }

    async fn programs(
        &self,
        wanted: impl Fn(&[u8]) -> bool + Send + 'static,
    ) -> Result<Vec<Unit>, ToolError> {
        let files = self.layout.databases.iter().flat_map(|(database, files)| {
            let files = files.post.iter().chain(&files.triggers);
            files.map(move |file| (database.clone(), None, file.clone()))
        });
        let mut units = self.read_units(files.collect(), wanted).await?;
        for unit in &mut units {
            self.fit(unit);
        }
        self.leave_doubles(&mut units);
        units.retain(|unit| !unit.statements.is_empty());
        Ok(units)
    }

    /// Of each file, with its database and view, the statements that are wanted.
    async fn read_units(
        &self,
        files: Vec<(String, Option<String>, SetFile)>,
        wanted: impl Fn(&[u8]) -> bool + Send + 'static,
    ) -> Result<Vec<Unit>, ToolError> {
        let Some(first) = files.first().map(|(_, _, file)| file.real.clone()) else {
            return Ok(Vec::new());
        };
        off_thread(("read", &first), READ_WITHIN, &self.env.cancel, move || {
            files
                .into_iter()
                .map(|(database, view, file)| read_unit(&database, view, &file, &wanted))
                .collect()
        })
        .await
    }

    /// Feeds all units, behind each refusal with another client.
    async fn define(&self, units: &[Unit]) -> Result<Outcome, ToolError> {
        let mut outcome = Outcome::default();
        let mut from = From::default();
        let mut settings_refused: BTreeSet<Place> = BTreeSet::new();
        let mut sessions_refused: BTreeSet<Place> = BTreeSet::new();
        while from.place.0 < units.len() {
            let plan = self.plan(units, from, (&settings_refused, &sessions_refused));
            let Some((place, refusal)) = self.feed(plan, &mut outcome.notes).await? else {
                break;
            };
            let Some(statement) = units.get(place.0).and_then(|unit| unit.statements.get(place.1)) else {
                break;
            };
            if refusal.code == 0 || CLIENTS_OWN.contains(&refusal.code) || FAREWELLS.contains(&refusal.code) {
                let message = format!("cannot load {}: {}", refusal.path, refusal.text);
                return Err(ToolError::Failed {
                    message,
                    passing: false,
                });
            }
            let tries = if place == from.place { from.tries } else { 0 };
            if CANNOT_BE_SET.contains(&refusal.code) && sessions_refused.insert(place) {
                // Its session cannot be made here: the definition in another is better than none.
                from = From { place, tries };
                continue;
            }
            if is_setting(statement) {
                // A variable that this server does not know: what follows shows whether it matters.
                settings_refused.insert(place);
            } else if refusal.code == SYNTAX_ERROR && tries <= MODES.len() {
                from = From {
                    place,
                    tries: tries + 1,
                };
                continue;
            } else {
                let first = if tries > 0 {
                    "in no SQL mode that was tried: "
                } else {
                    ""
                };
                let text = format!("{first}{}{}", refusal.text, hint(refusal.code));
                let list = if self.is_unsettled(units.get(place.0), statement) {
                    &mut outcome.unsettled
                } else {
                    &mut outcome.refused
                };
                list.push((place.0, Complaint { text, ..refusal }));
            }
            from = From {
                place: (place.0, place.1 + 1),
                tries: 0,
            };
        }
        Ok(outcome)
    }

    /// Whether a statement creates what came or went while the set was made: what it stands on need not be there.
    fn is_unsettled(&self, unit: Option<&Unit>, statement: &[u8]) -> bool {
        let content = self.known.zip(unit);
        let content = content.and_then(|(known, unit)| known.databases.get(&unit.database));
        let object = self.written.object(statement);
        content
            .zip(object)
            .is_some_and(|(content, object)| content.unsettled.contains(&object))
    }

    /// What one client is fed with: text, and the place that is done when it is.
    fn plan(
        &self,
        units: &[Unit],
        from: From,
        (refused, without_session): (&BTreeSet<Place>, &BTreeSet<Place>),
    ) -> Plan {
        let mut plan = Plan::default();
        plan.steps
            .push_back((format!("DELIMITER {}\n", self.delimiter).into_bytes(), None));
        for (index, unit) in units.iter().enumerate().skip(from.place.0) {
            let own = own_settings(unit, self.scope.there(&unit.database));
            let mut text: Vec<u8> = own.iter().flat_map(|sql| self.ended(sql.as_bytes())).collect();
            for (number, statement) in unit.statements.iter().enumerate() {
                let place = (index, number);
                if place < from.place {
                    if is_setting(statement) && !refused.contains(&place) {
                        text.extend(self.ended(statement));
                    }
                    continue;
                }
                let known = self.known.and_then(|known| known.databases.get(&unit.database));
                let mut session = self.written.session(statement, known);
                if without_session.contains(&place) {
                    session.clear();
                }
                text.extend(session.iter().flat_map(|sql| self.ended(sql.as_bytes())));
                let other_mode = (place == from.place).then(|| mode_of_try(from.tries)).flatten();
                if let Some(mode) = other_mode {
                    text.extend(self.ended(format!("SET SESSION sql_mode='{mode}'").as_bytes()));
                }
                text.extend(self.ended(&self.written.without_added_spaces(statement, known)));
                plan.steps
                    .push_back((std::mem::take(&mut text), Some((place, unit.path.clone()))));
                if other_mode.is_some() || !session.is_empty() {
                    let back = b"SET SESSION sql_mode=@@GLOBAL.sql_mode, time_zone=@@GLOBAL.time_zone";
                    text.extend(self.ended(back));
                }
            }
        }
        plan
    }

    /// A statement with its end. What ends in a comment needs a line's end before.
    fn ended(&self, statement: &[u8]) -> Vec<u8> {
        let last = statement.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
        let may_comment = last.contains(&b'#') || last.windows(2).any(|two| two == b"--");
        let gap: &[u8] = if may_comment { b"\n" } else { b"" };
        [statement, gap, self.delimiter.as_bytes(), b"\n"].concat()
    }

    /// One client. Yields what was refused, and where.
    async fn feed(
        &self,
        plan: Plan,
        notes: &mut Vec<(Place, String)>,
    ) -> Result<Option<(Place, Complaint)>, ToolError> {
        let waiting: VecDeque<(Place, String)> =
            plan.steps.iter().filter_map(|(_, place)| place.clone()).collect();
        if waiting.is_empty() {
            return Ok(None);
        }
        let heard = Mutex::new((waiting, Vec::new()));
        let lock = || heard.lock().unwrap_or_else(PoisonError::into_inner);
        let mut pieces = plan.steps.into_iter().flat_map(|(text, place)| {
            let mark = place.map(|_| Piece::Text(mark(&self.delimiter)));
            std::iter::once(Piece::Text(text)).chain(mark)
        });
        let hear = |sound: Heard<'_>| {
            let mut state = lock();
            match sound {
                Heard::Mark => {
                    state.0.pop_front();
                }
                Heard::Note(line) => {
                    let place = state.0.front().map(|(place, _)| *place);
                    state.1.extend(place.map(|place| (place, line.to_owned())));
                }
                Heard::Bytes(_) => {}
            }
        };
        let refusal = self
            .client
            .feed(&self.env.cancel, &mut || pieces.next(), &hear)
            .await?;
        let mut state = lock();
        let (waiting, heard_notes) = &mut *state;
        notes.append(heard_notes);
        let Some((place, path)) = waiting.pop_front() else {
            return Ok(None);
        };
        let complaint = refusal.map_or_else(
            || Complaint {
                path: path.clone(),
                code: 0,
                text: "the client ended before all of it was done".to_owned(),
            },
            |refusal| Complaint {
                path: path.clone(),
                code: refusal.code,
                text: refusal.text,
            },
        );
        Ok(Some((place, complaint)))
    }
}

/// What is said of definitions whose definers are not there.
fn tell_definers(definers: BTreeMap<String, u64>, loaded: &mut Loaded) {
    for (definer, count) in definers {
        loaded.warnings.push(format!(
            "{count} definitions name the definer {definer}, which the server does not have: they fail when used \
             until there is such an account"
        ));
    }
}

/// Text, and the place that is done with it, with its file.
type Step = (Vec<u8>, Option<(Place, String)>);

/// What one client is to do.
#[derive(Debug, Default)]
struct Plan {
    steps: VecDeque<Step>,
}

/// What to do about a refusal.
fn hint(code: u16) -> &'static str {
    match code {
        1227 => "; the account needs the privilege to define in the name of others (SET USER, SUPER)",
        1418 => "; set log_bin_trust_function_creators for as long as the restore takes",
        _ => "",
    }
}

/// Another mode for another try: first none at all.
fn mode_of_try(tries: usize) -> Option<&'static str> {
    match tries {
        0 => None,
        1 => Some(""),
        more => MODES.get(more - 2).copied(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_told_from_routines() {
        let pattern = event_pattern().unwrap();
        for (statement, is, name) in [
            (
                "CREATE DEFINER=`root`@`localhost` EVENT `a``b` ON SCHEDULE",
                true,
                Some("a`b"),
            ),
            ("CREATE DEFINER=`a b`@`%` EVENT e ON SCHEDULE", true, Some("e")),
            (
                "CREATE DEFINER=`role` EVENT IF NOT EXISTS `日` DO SELECT 1",
                true,
                Some("日"),
            ),
            ("DROP EVENT IF EXISTS `e`", true, None),
            (
                "CREATE DEFINER=`event`@`%` PROCEDURE event () SELECT 1",
                false,
                None,
            ),
            (
                "CREATE PROCEDURE `p`()\nBEGIN\n CREATE EVENT e DO SELECT 1; \nEND",
                false,
                None,
            ),
        ] {
            assert_eq!(pattern.is_match(statement.as_bytes()), is, "{statement}");
            assert_eq!(
                event_name(&pattern, statement.as_bytes()).as_deref(),
                name,
                "{statement}"
            );
        }
    }

    #[test]
    fn modes_are_tried_in_turn_and_then_no_more() {
        let modes: Vec<_> = (0..=5).map(mode_of_try).collect();
        assert_eq!(
            modes,
            [
                None,
                Some(""),
                Some("ANSI_QUOTES"),
                Some("NO_BACKSLASH_ESCAPES"),
                Some("ORACLE"),
                None
            ]
        );
    }
}
