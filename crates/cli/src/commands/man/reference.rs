//! A manual page made of a documented example: remarks become text, keys become entries.

/// One of the two files.
pub(super) struct Reference {
    pub(super) file: &'static str,
    pub(super) about: &'static str,
    pub(super) example: &'static str,
    pub(super) other: &'static str,
}

/// The page, for `man`.
pub(super) fn page_of(reference: &Reference) -> String {
    let mut page = Page::default();
    page.text.push_str(&format!(
        ".TH {} 5 \"\" \"mykeeper {}\" mykeeper\n.SH NAME\n{} \\- {}\n.SH SYNOPSIS\n/etc/mykeeper/{}\n.SH DESCRIPTION\n",
        reference.file.to_uppercase(),
        env!("CARGO_PKG_VERSION"),
        reference.file,
        escaped(reference.about),
        reference.file,
    ));
    for line in reference.example.lines() {
        page.take(line);
    }
    page.flush();
    page.text.push_str(&format!(
        ".SH SEE ALSO\n.BR mykeeper (1),\n.BR mykeeper\\-check (1),\n.BR {} (5)\n",
        reference.other
    ));
    page.text
}

#[derive(Default)]
struct Page<'a> {
    text: String,
    /// Remarks that wait for the key, or the section, that they are about.
    remarks: Vec<&'a str>,
    /// Keys that are one entry with the remarks before them.
    keys: Vec<&'a str>,
    /// The remarks go on an entry that has been written.
    goes_on: bool,
}

impl<'a> Page<'a> {
    fn take(&mut self, line: &'a str) {
        let bare = line.strip_prefix('#').unwrap_or(line);
        if bare.starts_with(|c: char| c.is_ascii_lowercase()) && bare.contains('=') {
            self.keys.push(line);
        } else if let Some(remark) = line.strip_prefix('#') {
            if !self.keys.is_empty() {
                self.flush();
                self.goes_on = true;
            }
            self.remarks.push(remark.strip_prefix(' ').unwrap_or(remark));
        } else if line.starts_with('[') {
            let remarks = std::mem::take(&mut self.remarks);
            self.text.push_str(&format!(".SH \"{}\"\n", quoted(line)));
            self.remarks = remarks;
            self.flush();
        } else {
            self.flush();
        }
    }

    /// Writes what has been gathered: an entry, more of one, or a paragraph where no key follows.
    fn flush(&mut self) {
        for (number, key) in std::mem::take(&mut self.keys).iter().enumerate() {
            let head = if number == 0 { ".TP" } else { ".TQ" };
            self.text.push_str(&format!("{head}\n.B \"{}\"\n", quoted(key)));
            self.goes_on = true;
        }
        let paragraph = if self.goes_on { ".IP\n" } else { ".PP\n" };
        let remarks = std::mem::take(&mut self.remarks);
        let is_entry = self.text.ends_with("\"\n") && self.goes_on;
        if !remarks.is_empty() && !is_entry {
            self.text.push_str(paragraph);
        }
        let mut is_example = false;
        for remark in remarks {
            // What is indented is to be typed as it stands.
            let indented = remark.starts_with("  ");
            if indented != is_example {
                self.text.push_str(if indented { ".nf\n" } else { ".fi\n" });
                is_example = indented;
            }
            match (remark.trim(), indented) {
                ("", _) => self.text.push_str(paragraph),
                (words, true) => self.text.push_str(&format!("    {}\n", escaped(words))),
                (words, false) => self.text.push_str(&format!("{}\n", escaped(words))),
            }
        }
        if is_example {
            self.text.push_str(".fi\n");
        }
        self.goes_on = false;
    }
}

/// Text that is no request: nothing in it means anything to `man`.
fn escaped(text: &str) -> String {
    let plain = text.replace('\\', "\\e").replace('-', "\\-");
    if plain.starts_with(['.', '\'']) {
        format!("\\&{plain}")
    } else {
        plain
    }
}

/// The same as one argument of a request.
fn quoted(text: &str) -> String {
    escaped(text).replace('"', "\\(dq")
}
