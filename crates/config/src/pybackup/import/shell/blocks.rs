//! Where a command stands: within `if`, `while`, `case`, a group, a function, after `&&` and `||`.

use super::{Condition, End, RawCommand};
use std::rc::Rc;

/// Deeper ones are no script of anybody's; what stands in them has the conditions of those above.
const DEEPEST_BLOCKS: usize = 200;

#[derive(PartialEq, Eq)]
enum Kind {
    /// `if`, `while`, `until`: what is read before `then` or `do`.
    Test,
    /// After that.
    Body,
    /// `for`
    For,
    /// `case`, where a pattern may come next.
    Patterns,
    /// `case`, after a pattern.
    Arm,
    /// `{ ... }`, `( ... )`
    Group,
}

struct Block {
    kind: Kind,
    /// `while`, `until`: how often what it holds is run is not told by its test.
    is_loop: bool,
    /// Where what it holds may be run several times.
    round: Option<usize>,
    line: usize,
    /// What the block as a whole stands under besides the blocks around it.
    outer: Vec<Rc<Condition>>,
    /// What its body stands under.
    own: Option<Rc<Condition>>,
    /// The commands of its test.
    test: Vec<RawCommand>,
    function: Option<String>,
    /// Where it is a shell of its own.
    shell: Option<usize>,
    /// `( ... )`
    is_subshell: bool,
    /// The first command in it.
    first: usize,
}

/// The blocks that are open, and what came before in the list of commands that is being read.
#[derive(Default)]
pub(super) struct Blocks {
    open: Vec<Block>,
    /// What `&&` and `||` put the next command under.
    chain: Vec<Rc<Condition>>,
    /// Whether the list goes on, also on the next line.
    goes_on: bool,
    /// How many commands of the list have been tests.
    tests: usize,
    /// The function whose body comes next.
    function: Option<String>,
    /// How many commands there are by now.
    pub(super) count: usize,
    /// How many shells of their own.
    last_shell: usize,
    /// How many loops.
    last_loop: usize,
    /// Whether what comes next reads from a pipe.
    is_after_pipe: bool,
    /// The block that has just been closed: its first command, and the shells around it.
    closed: Option<(usize, usize)>,
}

impl Blocks {
    fn push(&mut self, kind: Kind, line: usize) {
        if self.open.len() >= DEEPEST_BLOCKS {
            return;
        }
        let is_after_pipe = std::mem::take(&mut self.is_after_pipe);
        let shell = is_after_pipe.then(|| self.new_shell());
        self.open.push(Block {
            shell,
            is_subshell: false,
            first: self.count,
            kind,
            is_loop: false,
            round: None,
            line,
            outer: std::mem::take(&mut self.chain),
            own: None,
            test: Vec::new(),
            function: self.function.take(),
        });
        (self.goes_on, self.tests) = (false, 0);
    }

    /// Closes the innermost block of these kinds, and those that were left open within it.
    fn pop(&mut self, kinds: &[Kind]) {
        let Some(at) = self.open.iter().rposition(|block| kinds.contains(&block.kind)) else {
            return;
        };
        let block = self.open.drain(at..).next();
        if let Some(block) = block {
            self.closed = Some((block.first, self.shells()));
            self.chain = block.outer;
            (self.goes_on, self.tests) = (false, 1);
        }
    }

    /// A number that no shell of its own has.
    pub(super) fn new_shell(&mut self) -> usize {
        self.last_shell += 1;
        self.last_shell
    }

    /// How many of them are around what comes next.
    pub(super) fn shells(&self) -> usize {
        self.open.iter().filter(|block| block.shell.is_some()).count()
    }

    fn top(&mut self, kind: &Kind) -> Option<&mut Block> {
        self.open.last_mut().filter(|block| block.kind == *kind)
    }

    /// A word that opens or closes something.
    pub(super) fn keyword(&mut self, word: &str, line: usize) {
        match word {
            "if" | "while" | "until" => {
                self.push(Kind::Test, line);
                if word != "if" {
                    self.begin_loop(&Kind::Test);
                }
            }
            "then" => self.begin_body(),
            "do" => self.begin_body(),
            "elif" | "else" => self.begin_other(word == "elif", line),
            "fi" => self.pop(&[Kind::Body, Kind::Test]),
            "done" => self.pop(&[Kind::Body, Kind::For, Kind::Test]),
            "esac" => self.pop(&[Kind::Patterns, Kind::Arm]),
            "{" => self.open_group(false),
            "}" => self.close_group(),
            _ => {}
        }
    }

    fn begin_body(&mut self) {
        self.forget_list();
        let Some(block) = self.top(&Kind::Test) else {
            return;
        };
        block.kind = Kind::Body;
        // Nothing is known of a test that is several commands, or that comes after another that failed.
        let first = match block.test.as_slice() {
            [only] if block.own.is_none() && !block.is_loop => Some(only.clone()),
            _ => None,
        };
        let is_negated = first.as_ref().is_some_and(|first| first.is_negated);
        block.own = Some(Rc::new(Condition {
            line: block.line,
            test: first.map(|first| first.words).unwrap_or_default(),
            holds: !is_negated,
            is_never: false,
        }));
        block.test.clear();
    }

    fn begin_other(&mut self, is_test: bool, line: usize) {
        self.forget_list();
        let Some(block) = self.top(&Kind::Body) else {
            return;
        };
        block.line = line;
        let before = block.own.take().unwrap_or_default();
        block.own = Some(Rc::new(match is_test {
            // Its test is made where another failed; what it puts its body under is not one command.
            true => Condition {
                line,
                holds: true,
                ..Condition::default()
            },
            false => Condition {
                line: if before.test.is_empty() { line } else { before.line },
                test: before.test.clone(),
                holds: before.test.is_empty() || !before.holds,
                is_never: false,
            },
        }));
        if is_test {
            block.kind = Kind::Test;
        }
    }

    fn forget_list(&mut self) {
        self.chain.clear();
        (self.goes_on, self.tests) = (false, 0);
    }

    /// `for NAME in WORDS`, up to its `done`.
    pub(super) fn open_for(&mut self, line: usize) {
        self.push(Kind::For, line);
        self.begin_loop(&Kind::For);
    }

    fn begin_loop(&mut self, kind: &Kind) {
        self.last_loop += 1;
        let round = Some(self.last_loop);
        if let Some(block) = self.top(kind) {
            (block.is_loop, block.round) = (true, round);
        }
    }

    /// `{` or `(`; the body of a function where its name has been read.
    pub(super) fn open_group(&mut self, is_shell: bool) {
        self.is_after_pipe |= is_shell;
        self.push(Kind::Group, 0);
        if let Some(block) = self.top(&Kind::Group) {
            block.is_subshell = is_shell;
        }
    }

    pub(super) fn close_group(&mut self) {
        self.pop(&[Kind::Group]);
    }

    pub(super) fn open_case(&mut self, line: usize) {
        self.push(Kind::Patterns, line);
        if let Some(block) = self.top(&Kind::Patterns) {
            let condition = Condition {
                line,
                holds: true,
                ..Condition::default()
            };
            block.own = Some(Rc::new(condition));
        }
    }

    pub(super) fn awaits_pattern(&self) -> bool {
        self.open.last().is_some_and(|block| block.kind == Kind::Patterns)
    }

    pub(super) fn begin_arm(&mut self) {
        self.forget_list();
        if let Some(block) = self.top(&Kind::Patterns) {
            block.kind = Kind::Arm;
        }
    }

    pub(super) fn end_arm(&mut self) {
        self.forget_list();
        if let Some(block) = self.top(&Kind::Arm) {
            block.kind = Kind::Patterns;
        }
    }

    /// The next block is the body of this function.
    pub(super) fn name_function(&mut self, name: String) {
        self.function = Some(name);
    }

    /// The function whose body comes next.
    pub(super) fn named_function(&self) -> Option<String> {
        self.function.clone()
    }

    /// Tells a command where it stands.
    pub(super) fn tell(&self, command: &mut RawCommand) {
        for block in &self.open {
            command.under.extend(block.outer.iter().cloned());
            // What is tested after a test that failed is tested for its own sake.
            command
                .under
                .extend(block.own.iter().filter(|_| block.kind != Kind::Test).cloned());
        }
        command.under.extend(self.chain.iter().cloned());
        command.around = self.around();
        command.within = self.open.iter().filter_map(|block| block.shell).collect();
        command.loops = self.open.iter().filter_map(|block| block.round).collect();
        let around = || self.open.iter().rev().find_map(|block| block.function.clone());
        command.function = self.function.clone().or_else(around);
    }

    fn around(&self) -> String {
        let mut around = String::new();
        for block in &self.open {
            if !block.outer.is_empty() {
                around.push('&');
            }
            around.push(match block.kind {
                Kind::Test if block.is_loop => 'w',
                Kind::Test => 'i',
                Kind::Body if block.is_loop => 'd',
                Kind::Body => 't',
                Kind::For => 'd',
                Kind::Patterns | Kind::Arm => 'c',
                Kind::Group if block.is_subshell => 's',
                Kind::Group => 'g',
            });
        }
        if !self.chain.is_empty() {
            around.push('&');
        }
        around
    }

    /// Tells a command where it stands, and what it puts the next one under.
    pub(super) fn place(&mut self, command: &mut RawCommand, end: End) {
        self.tell(command);
        (self.closed, self.function) = (None, None);
        let is_test = self.top(&Kind::Test).is_some();
        command.is_tested = is_test || command.is_negated || matches!(end, End::And | End::Or | End::Pipe);
        if std::mem::replace(&mut self.is_after_pipe, end == End::Pipe) || end == End::Pipe {
            let shell = self.new_shell();
            command.within.push(shell);
        }
        if let Some(block) = self.top(&Kind::Test)
            && end != End::Pipe
        {
            block.test.push(command.clone());
        }
        match end {
            End::Plain | End::Aside => self.forget_list(),
            // The rest of the pipe stands where this does.
            End::Pipe => self.goes_on = true,
            End::And | End::Or => self.join(command.line, Some(command), end),
        }
    }

    /// The end of a command that had no words: of a block, or of a line that is empty. Gives the block where that was
    /// in a shell of its own.
    pub(super) fn end_nothing(&mut self, end: End) -> Option<(usize, usize)> {
        self.is_after_pipe |= end == End::Pipe;
        let closed = match end {
            End::Pipe | End::Aside => self.closed.take(),
            End::Plain | End::And | End::Or => None,
        };
        match end {
            End::Plain if self.goes_on => {}
            End::Plain | End::Aside => self.forget_list(),
            End::Pipe => self.goes_on = true,
            End::And | End::Or => self.join(0, None, end),
        }
        closed
    }

    fn join(&mut self, line: usize, command: Option<&RawCommand>, end: End) {
        // The line of a block's end is not kept; that of the list's first command is.
        let line = match (line, self.chain.first()) {
            (0, Some(first)) => first.line,
            (0, None) => 1,
            (line, _) => line,
        };
        // After `a && b || c` it is not one command that has failed.
        let known = command.filter(|_| end == End::And || self.tests == 0);
        let is_negated = known.is_some_and(|command| command.is_negated);
        let condition = Condition {
            line,
            test: known.map(|command| command.words.clone()).unwrap_or_default(),
            holds: (end == End::And) != is_negated,
            is_never: false,
        };
        if end == End::Or {
            self.chain.clear();
        }
        self.chain.push(Rc::new(condition));
        self.tests += 1;
        self.goes_on = true;
    }
}
