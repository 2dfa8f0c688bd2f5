//! Functions: what stands in one is done where it is called, each time, under what the call stands under.

use super::{Condition, Part, RawCommand, plain};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// Functions that call functions.
const DEEPEST_CALLS: usize = 8;
/// More are no backup script's; what comes to more is told where it is read.
const MOST_COMMANDS: usize = 20_000;

/// What functions do, by their names.
pub(in super::super) type Bodies = BTreeMap<String, Vec<RawCommand>>;

/// Where a function is called, and what its commands get of that.
struct Call<'c> {
    command: &'c RawCommand,
    /// What is added to the numbers of shells and loops, which are others at each call.
    base: usize,
    depth: usize,
}

struct Caller<'c> {
    bodies: BTreeMap<&'c str, Vec<&'c RawCommand>>,
    functions: &'c [String],
    called: BTreeSet<String>,
    done: Vec<RawCommand>,
    /// How many calls have been looked into.
    calls: usize,
    /// One more than the largest number of a shell or a loop in the text.
    numbers: usize,
    /// What the next call adds to them.
    base: usize,
}

/// The commands in the order in which they are run. What nobody calls stays where it is, and is never run.
pub(super) fn call_functions(commands: Vec<RawCommand>, functions: &[String]) -> Vec<RawCommand> {
    if functions.is_empty() {
        return commands;
    }
    let mut caller = Caller::new(&commands, functions);
    caller.find_called(&commands);
    for command in &commands {
        match &command.function {
            None => caller.add(command, None),
            Some(function) if !caller.called.contains(function) => caller.add_never(command),
            Some(_) => {}
        }
    }
    caller.done
}

/// What each function does, for who reads the text in.
pub(super) fn bodies(commands: &[RawCommand], functions: &[String]) -> Bodies {
    let call = |name: &String| RawCommand {
        words: vec![vec![Part::Text(name.clone())]],
        ..RawCommand::default()
    };
    let calls: Vec<RawCommand> = functions.iter().map(call).collect();
    let body = |(name, call)| {
        let mut caller = Caller::new(commands, functions);
        caller.add(call, None);
        (String::clone(name), caller.done)
    };
    functions.iter().zip(&calls).map(body).collect()
}

impl<'c> Caller<'c> {
    fn new(commands: &'c [RawCommand], functions: &'c [String]) -> Self {
        let mut bodies: BTreeMap<&str, Vec<&RawCommand>> = BTreeMap::new();
        for command in commands {
            if let Some(function) = &command.function {
                bodies.entry(function.as_str()).or_default().push(command);
            }
        }
        let numbers = commands
            .iter()
            .flat_map(|command| command.within.iter().chain(&command.loops));
        let numbers = numbers.max().map_or(1, |most| most + 1);
        Self {
            bodies,
            functions,
            called: BTreeSet::new(),
            done: Vec::new(),
            calls: 0,
            numbers,
            base: numbers,
        }
    }

    /// Of two functions of one name either may be the one that is called.
    fn is_ambiguous(&self, name: &str) -> bool {
        self.functions.iter().filter(|function| *function == name).count() > 1
    }

    /// The function that a command calls.
    fn called_by(&self, command: &RawCommand) -> Option<String> {
        let program = command.words.first().and_then(plain)?;
        self.functions.contains(&program).then_some(program)
    }

    fn find_called(&mut self, commands: &[RawCommand]) {
        let outside = commands.iter().filter(|command| command.function.is_none());
        let mut found: Vec<String> = outside.filter_map(|command| self.called_by(command)).collect();
        while let Some(function) = found.pop() {
            let body = self.bodies.get(function.as_str());
            let inner = body
                .into_iter()
                .flatten()
                .filter_map(|command| self.called_by(command));
            let inner: Vec<String> = inner.collect();
            if self.called.insert(function) {
                found.extend(inner);
            }
        }
    }

    fn add(&mut self, command: &'c RawCommand, call: Option<&Call<'_>>) {
        if self.done.len() >= MOST_COMMANDS {
            return;
        }
        let mut placed = command.clone();
        if let Some(Call {
            command: call, base, ..
        }) = call
        {
            let moved = |numbers: &[usize]| numbers.iter().map(|number| number + base).collect::<Vec<_>>();
            placed.under = [call.under.as_slice(), &command.under].concat();
            placed.within = [call.within.clone(), moved(&command.within)].concat();
            placed.loops = [call.loops.clone(), moved(&command.loops)].concat();
            placed.is_tested |= call.is_tested;
            if command
                .function
                .as_ref()
                .is_some_and(|name| self.is_ambiguous(name))
            {
                placed.under.push(Rc::new(Condition {
                    line: command.line,
                    holds: true,
                    ..Condition::default()
                }));
            }
        }
        let depth = call.map_or(0, |call| call.depth);
        let is_too_much = depth >= DEEPEST_CALLS || self.calls >= MOST_COMMANDS;
        let Some(function) = self.called_by(command).filter(|_| !is_too_much) else {
            return self.done.push(placed);
        };
        self.calls += 1;
        let inner = Call {
            command: &placed,
            base: self.base,
            depth: depth + 1,
        };
        self.base += self.numbers;
        for command in self.bodies.get(function.as_str()).cloned().unwrap_or_default() {
            self.add(command, Some(&inner));
        }
    }

    fn add_never(&mut self, command: &RawCommand) {
        if self.called_by(command).is_some() {
            return;
        }
        let mut never = command.clone();
        never.under.push(Rc::new(Condition {
            line: command.line,
            is_never: true,
            holds: true,
            ..Condition::default()
        }));
        self.done.push(never);
    }
}
