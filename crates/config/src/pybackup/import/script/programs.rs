//! What is known of programs by their names.

/// Programs that run another, whose words follow; the letters of their options that take a value, and how many operands
/// of their own stand before it.
pub(super) const WRAPPERS: [(&str, &str, usize); 17] = [
    ("sudo", "ugphCrtTURD", 0),
    ("nohup", "", 0),
    ("nice", "n", 0),
    ("ionice", "cn", 0),
    ("time", "fo", 0),
    ("timeout", "ks", 1),
    ("flock", "wE", 1),
    ("env", "uC", 0),
    ("exec", "a", 0),
    ("command", "", 0),
    ("setsid", "", 0),
    ("chrt", "TPD", 1),
    ("taskset", "", 1),
    ("chronic", "", 0),
    ("su", "gGsw", 1),
    ("runuser", "ugGsw", 1),
    ("systemd-cat", "tp", 0),
];
pub(super) const SHELLS: [&str; 5] = ["sh", "bash", "dash", "ksh", "zsh"];

/// Programs that change nothing that mykeeper would have to do.
pub(super) const HARMLESS: [&str; 53] = [
    "mkdir", "echo", "printf", "date", "ps", "pgrep", "grep", "egrep", "fgrep", "wc", "awk", "sed", "cut",
    "head", "tail", "sort", "uniq", "tr", "cat", "tee", "true", "false", ":", "sleep", "test", "[", "[[",
    "exit", "return", "set", "unset", "umask", "ulimit", "trap", "ls", "du", "df", "chmod", "chown", "touch",
    "pwd", "logger", "break", "continue", "wait", "shift", "let", "read", "hostname", "id", "expr", "case",
    "pidof",
];

/// Programs that make backups of a server.
pub(in super::super) const BACKUP_TOOLS: [&str; 14] = [
    "mysqldump",
    "mariadb-dump",
    "mysqlpump",
    "mydumper",
    "xtrabackup",
    "innobackupex",
    "mariabackup",
    "mariadb-backup",
    "mysqlbackup",
    "mysqlhotcopy",
    "mysqlsh",
    "mylvmbackup",
    "holland",
    "automysqlbackup",
];

/// Where programs lie that come with the system: none of them is a script of this host's own.
pub(super) const SYSTEM_FOLDERS: [&str; 8] = [
    "/bin/",
    "/sbin/",
    "/usr/bin/",
    "/usr/sbin/",
    "/usr/lib/",
    "/usr/libexec/",
    "/lib/",
    "/etc/cron.",
];
/// Where a host's own programs lie that are called by their names alone.
pub(super) const OWN_FOLDERS: [&str; 2] = ["/usr/local/bin", "/usr/local/sbin"];
/// Programs that run a script in a language that is not read here.
pub(super) const INTERPRETERS: [&str; 7] = ["python", "perl", "php", "ruby", "node", "lua", "tclsh"];
/// How the names of scripts end that are read by somebody else, or by a shell.
pub(super) const SCRIPT_ENDS: [&str; 8] = [".sh", ".bash", ".ksh", ".py", ".pl", ".rb", ".php", ".lua"];
/// Programs that run what they are given somewhere else.
pub(super) const ELSEWHERE: [&str; 6] = ["ssh", "rsh", "chroot", "nsenter", "systemd-run", "at"];
/// Options of `xargs` whose value is a word of its own.
pub(super) const XARGS_VALUES: [&str; 8] = ["-n", "-I", "-P", "-L", "-s", "-d", "-a", "-E"];
