//! Where commands read from and write to: left out, with the texts that stand in the script.

use super::{Part, RawWord, Reader, plain};

impl Reader<'_> {
    pub(super) fn redirect(&mut self, sign: char) {
        // `<(command)` is a word.
        if self.take('(') {
            let text = self.until_closed('(', ')');
            let is_quoted = true;
            return self.part().push(Part::Output { text, is_quoted });
        }
        // `2>`: the number belongs to the sign.
        if let Some([Part::Text(text)]) = self.word.as_deref()
            && text.bytes().all(|byte| byte.is_ascii_digit())
        {
            self.word = None;
        }
        self.end_word();
        let is_text = sign == '<' && self.take('<');
        if is_text {
            let may_have_tabs = self.take('-');
            self.heredoc = (!self.take('<')).then_some(may_have_tabs);
        }
        let is_made = self.take('>');
        let is_open = self.take('&');
        self.reads = sign == '<' && !is_text && !is_made && !is_open;
        self.take('|');
        self.redirects = true;
    }

    pub(super) fn skip_heredocs(&mut self) {
        for (end, may_have_tabs) in std::mem::take(&mut self.heredocs) {
            loop {
                let mut line = String::new();
                let mut is_last = true;
                while let Some(next) = self.next() {
                    if next == '\n' {
                        is_last = false;
                        break;
                    }
                    line.push(next);
                }
                let text = match may_have_tabs {
                    true => line.trim_start_matches('\t'),
                    false => &line,
                };
                if is_last || text == end {
                    break;
                }
            }
        }
    }

    /// The word after `<` is a file, and the word after `<<` what ends the text.
    pub(super) fn end_target(&mut self, word: &RawWord) {
        match self.reads {
            true => self.command.sources.push(word.clone()),
            false if self.heredoc.is_none() => self.command.targets.push(word.clone()),
            false => {}
        }
        let is_always_there = || plain(word).as_deref() == Some("/dev/null");
        self.command.reads |= std::mem::take(&mut self.reads) && !is_always_there();
        if let Some(may_have_tabs) = self.heredoc.take() {
            // Nothing is put in there.
            let text = word.iter().map(|part| match part {
                Part::Text(text) => text.clone(),
                Part::Variable { name, .. } => format!("${name}"),
                Part::Output { text, .. } => format!("$({text})"),
            });
            self.heredocs.push((text.collect(), may_have_tabs));
        }
    }
}
