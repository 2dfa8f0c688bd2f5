//! What someone probably meant.

/// The candidate that is most like `name`; `None` when none is like it enough to be worth suggesting.
///
/// Case, `-`, `_` and spaces do not count as differences. A beginning of at least three characters is
/// enough when only one candidate begins so (`dir` for `directory`).
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = fold(name);
    let length = wanted.chars().count();
    if length == 0 {
        return None;
    }
    let mut best: Option<(usize, &'a str)> = None;
    let mut begins: Vec<&'a str> = Vec::new();
    for candidate in candidates {
        let folded = fold(candidate);
        let longest = length.max(folded.chars().count());
        let distance = strsim::osa_distance(&wanted, &folded);
        if distance <= (longest / 3).max(1)
            && distance < longest
            && best.is_none_or(|(least, _)| distance < least)
        {
            best = Some((distance, candidate));
        }
        if length >= 3 && folded.starts_with(&wanted) {
            begins.push(candidate);
        }
    }
    match (best, begins.as_slice()) {
        (Some((_, candidate)), _) => Some(candidate),
        (None, [only]) => Some(only),
        (None, _) => None,
    }
}

fn fold(name: &str) -> String {
    name.chars()
        .filter(|c| !matches!(c, '-' | '_' | ' '))
        .flat_map(char::to_lowercase)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_misspelt_name_finds_its_neighbour_and_a_strange_one_finds_none() {
        let keys = [
            "server",
            "databases",
            "directory",
            "transfer_to",
            "stream",
            "timeout",
            "timezone",
        ];
        for (written, meant) in [
            ("sever", Some("server")),
            ("Server", Some("server")),
            ("database", Some("databases")),
            ("transfer-to", Some("transfer_to")),
            ("dir", Some("directory")),
            ("tim", None),
            ("retention", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(nearest(written, keys), meant, "{written:?}");
        }
    }

    #[test]
    fn chinese_names_are_compared_by_characters() {
        assert_eq!(nearest("国内平台2", ["国内平台1", "海外"]), Some("国内平台1"));
    }

    #[test]
    fn one_letter_names_are_not_suggested_for_each_other() {
        assert_eq!(nearest("a", ["b"]), None);
    }
}
