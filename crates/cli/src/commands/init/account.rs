//! The statements that make the account for backups.

use super::answers::Answers;

/// Who the account is, as SQL has it. A socket is this host; elsewhere it is not known where mykeeper comes from.
pub(super) fn account(answers: &Answers) -> String {
    let at = if answers.socket.is_some() {
        "localhost"
    } else {
        "%"
    };
    format!("{}@{}", sql_text(&answers.user), sql_text(at))
}

fn sql_text(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

/// The databases by name or pattern, which a GRANT takes as LIKE does; `None` where all may come to be dumped.
fn named(databases: &[String]) -> Option<Vec<String>> {
    let is_open = |pattern: &String| pattern.starts_with('!') || pattern.chars().all(|c| c == '%');
    let quoted = |pattern: &String| format!("`{}`.*", pattern.replace('`', "``"));
    (!databases.iter().any(is_open)).then(|| databases.iter().map(quoted).collect())
}

/// The statements, with the password in its place.
pub(super) fn account_text(answers: &Answers, password: &str) -> String {
    let account = account(answers);
    let mut text = format!(
        "-- Holds a password: remove this file when the account is there.\n\
         CREATE USER {account} IDENTIFIED BY {};\n",
        sql_text(password)
    );
    let read = |on: &str| format!("GRANT SELECT, SHOW VIEW, TRIGGER, EVENT ON {on} TO {account};\n");
    let on_all = match named(&answers.databases) {
        None => {
            text.push_str("-- Databases, what is in them, and one point in time over all of them.\n");
            text.push_str(&read("*.*"));
            "RELOAD, SHOW DATABASES, PROCESS, REPLICATION CLIENT"
        }
        Some(databases) => {
            text.push_str(
                "-- The databases that are dumped and what is in them, and one point in time over them.\n",
            );
            text.extend(databases.iter().map(|on| read(on)));
            text.push_str(&format!(
                "-- MariaDB, for the bodies of routines:\n\
                 /*M! GRANT SELECT ON `mysql`.`proc` TO {account} */;\n\
                 -- With that it is shown `mysql`, and mydumper 0.10 asks each database that it is shown for its events:\n\
                 /*M! GRANT EVENT ON `mysql`.* TO {account} */;\n"
            ));
            // Without SHOW DATABASES: mydumper 0.10 enters every database that it sees.
            "RELOAD, PROCESS, REPLICATION CLIENT"
        }
    };
    text.push_str(&format!(
        "GRANT {on_all} ON *.* TO {account};\n\
         -- MariaDB 10.5 and later, for the position of a replica, by its own name there:\n\
         /*M!100502 GRANT BINLOG MONITOR, SLAVE MONITOR ON *.* TO {account} */;\n\
         -- MySQL 8.0.20 and later, for the bodies of routines:\n\
         /*!80020 GRANT SHOW_ROUTINE ON *.* TO {account} */;\n"
    ));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_names_the_databases_that_are_dumped_where_they_are_named() {
        let patterns = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        assert_eq!(
            named(&patterns(&["shop", "log_%", "a`b"])).unwrap(),
            ["`shop`.*", "`log_%`.*", "`a``b`.*"]
        );
        for open in [&["%"][..], &["!mysql"], &["shop", "%%"]] {
            assert_eq!(named(&patterns(open)), None);
        }
    }
}
