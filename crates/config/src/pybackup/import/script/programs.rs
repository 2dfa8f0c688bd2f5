//! What is known of programs by their names.

/// Programs that run another, whose words follow.
pub(super) const WRAPPERS: [&str; 17] = [
    "sudo",
    "nohup",
    "nice",
    "ionice",
    "time",
    "timeout",
    "flock",
    "env",
    "exec",
    "command",
    "setsid",
    "chrt",
    "taskset",
    "chronic",
    "su",
    "runuser",
    "systemd-cat",
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
